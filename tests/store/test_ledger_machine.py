"""Whatever happens in whatever order: the ledger balances, and an id counts once."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from store.world import accept, commit, message, settle, sweep

from caxton.protocol.ids import derived_id
from caxton.store import Changes, Retention, Store

NUMBERS = st.integers(0, 12)
AGENTS = ("a", "b", "c")
ENDS = st.sampled_from(["done", "dead", "expired", "cancelled", "forwarded"])


def numbered(number: int):
    return message(derived_id("machine", number), AGENTS[number % 3])


class LedgerMachine(RuleBasedStateMachine):
    """The model is a dict from message number to state; the store must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="cx"))
        self.store = Store.open(self.directory / "local.db", synchronous="OFF")
        self.model: dict[int, str] = {}
        self.accepted = 0
        self.clock = 1_000.0

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=20), end=st.none() | ENDS)
    def accepts(self, numbers: list[int], end: str | None) -> None:
        self.clock += 1
        fresh = {n for n in numbers if n not in self.model}
        messages = [numbered(n) for n in numbers]
        ends = [settle(numbered(n), end, self.clock) for n in sorted(fresh)] if end else []
        changes = Changes(accept=[accept(m, self.clock) for m in messages], settle=ends)
        result = commit(self.store, changes)
        twice = {n for n in numbers if numbers.count(n) > 1}
        assert result.duplicates == {numbered(n).message_id for n in set(numbers) - fresh | twice}
        assert result.missed == set()
        self.accepted += len(fresh)
        self.model.update(dict.fromkeys(fresh, end or "pending"))

    @rule(numbers=st.sets(NUMBERS, min_size=1), end=ENDS)
    def settles(self, numbers: set[int], end: str) -> None:
        self.clock += 1
        result = commit(self.store, Changes(settle=[settle(numbered(n), end, self.clock) for n in numbers]))
        pending = {n for n in numbers if self.model.get(n) == "pending"}
        assert result.missed == {numbered(n).message_id for n in numbers - pending}
        self.model.update(dict.fromkeys(pending, end))

    @rule(numbers=st.sets(NUMBERS, min_size=1))
    def revives(self, numbers: set[int]) -> None:
        result = commit(self.store, Changes(revive=[numbered(n).message_id for n in numbers]))
        dead = {n for n in numbers if self.model.get(n) == "dead"}
        assert result.missed == {numbered(n).message_id for n in numbers - dead}
        self.model.update(dict.fromkeys(dead, "pending"))

    @rule(numbers=st.sets(NUMBERS, min_size=1))
    def forgets(self, numbers: set[int]) -> None:
        commit(self.store, Changes(forget=[numbered(n).message_id for n in numbers]))
        for n in numbers:
            if self.model.get(n) == "dead":
                del self.model[n]

    @rule(count=st.integers(1, 5))
    def runs_unlisted(self, count: int) -> None:
        commit(self.store, Changes(unlisted={"a": {"accepted": count, "done": count}}))
        self.accepted += count

    @rule()
    def retention_passes(self) -> None:
        sweep(self.store, Retention(retention=0.0, dedup_window=0.0, slice_rows=3), self.clock + 1)
        self.model = {n: state for n, state in self.model.items() if state == "pending"}

    @rule()
    def restarts(self) -> None:
        self.store.close()
        self.store = Store.open(self.directory / "local.db", synchronous="OFF")

    @invariant()
    def ledger_balances(self) -> None:
        counts = self.store.reader.ledger()
        assert [name for name, count in counts.items() if count.imbalance] == []
        assert self.store.reader.recount() == []
        assert sum(count.accepted for count in counts.values()) == self.accepted

    @invariant()
    def rows_are_what_the_model_says(self) -> None:
        rows = self.store.reader.messages(limit=100).rows
        assert {row.message.message_id: row.state for row in rows} == {
            numbered(n).message_id: state for n, state in self.model.items()
        }

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)


LedgerMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLedgerMachine = LedgerMachine.TestCase
