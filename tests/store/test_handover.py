"""What an agent takes along: its state goes from one database to another whole, known ids hold, ledgers balance."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from store.world import accept, agent_row, commit, message, settle, sweep

from caxton.protocol.handover import HandoverRow, Side, Step
from caxton.protocol.messages import State
from caxton.protocol.snapshots import BLOCK_BYTES, Snapshot
from caxton.store import (
    Accept,
    Changes,
    ExecutionRow,
    FailedAttempt,
    Held,
    LogRow,
    Retention,
    ScheduleMark,
    SnapshotRow,
    Store,
)
from caxton.store.apply_handover import _STATE
from caxton.store.departure import TABLES, Told


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    old, new = Store.open(tmp_path / "old.db"), Store.open(tmp_path / "new.db")
    yield old, new
    old.close()
    new.close()


def full_agent(store: Store) -> None:
    """An agent with something in every table."""
    keys = [("echo", f"k{number:04}", bytes(range(7)) * (number % 40)) for number in range(1_100)]
    big = [("echo", f"z{number}", b"v" * 900_000) for number in range(3)]
    memory = Snapshot(BLOCK_BYTES * 300, b"g", [(n, bytes([n % 256]) * BLOCK_BYTES) for n in range(300)], True)
    commit(store, Changes(agents=[agent_row(agent_id="one", incarnation=4)]))
    commit(
        store,
        Changes(
            keys=[*keys, *big, ("other", "k", b"not mine")],
            timers_set=[("echo", 7, 99.0)],
            snapshots=[SnapshotRow("echo", "one", "ab" * 32, 4, 50.0, 0, memory)],
            holds=[Held("echo", "c1", "d1", 1.0)],
            schedule_marks=[ScheduleMark("echo", "nightly", 77.0)],
            logs=[LogRow("echo", float(n), "stdout", f"line {n}") for n in range(20)],
            executions=[ExecutionRow("e1", "echo", "m1", 1.0, "ok", 0.1, 0.1, 10)],
        ),
    )


def move(old: Store, new: Store, agent: str = "echo", attempt: int = 1) -> int:
    """Every page, received and unpacked; gives how many there were."""
    number = 0
    for table in TABLES:
        after = None
        while (found := old.reader.departures.page(agent, table, number, after)) is not None:
            page, after = found
            commit(new, Changes(handover_pages=[page]))
            number += 1
    commit(new, Changes(arriving=[agent], agents=[agent_row(agent_id="one", incarnation=4)]))
    for page_number in new.reader.arrived_pages(agent):
        commit(new, Changes(unpacked=[(agent, page_number)]))
    return number


def rows(store: Store, table: str, agent: str = "echo") -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(store.database)) as connection:
        found = connection.execute(f"SELECT * FROM {table} WHERE agent = ?", (agent,))
        skip = 1 if table in ("log_line", "execution", "agent_transition") else 0  # numbered by each database
        return sorted(row[skip:] for row in found)


def known(old: Store, new: Store, told: Told, agent: str = "echo") -> None:
    while (page := old.reader.departures.known(agent, told, 0.0)) is not None:
        commit(new, Changes(ended_elsewhere=[page]))


def balanced(*stores: Store) -> None:
    for store in stores:
        assert store.reader.recount() == []
        assert all(counts.imbalance == 0 for counts in store.reader.ledger().values())


def test_the_whole_state_is_the_same_elsewhere_and_nothing_of_an_earlier_one_is_left(
    stores: tuple[Store, Store],
) -> None:
    old, new = stores
    full_agent(old)
    commit(new, Changes(keys=[("echo", "of an earlier life", b"x")], timers_set=[("echo", 3, 5.0)]))
    pages = move(old, new)
    assert pages > 10, "keys of 2.7 MB are no single page"
    for table in _STATE:
        assert rows(new, table) == rows(old, table), table
    assert rows(old, "key_value")
    assert rows(old, "agent_transition")
    assert rows(old, "agent_snapshot_block")
    assert rows(new, "key_value", "other") == []
    assert new.reader.arrived_pages("echo") == []
    info = new.reader.snapshots.infos()["echo"]
    assert (info.agent_id, info.incarnation, info.known) == ("one", 4, 4)


def test_a_table_that_an_older_release_has_not_is_left_out(stores: tuple[Store, Store]) -> None:
    old, new = stores
    full_agent(old)
    with closing(sqlite3.connect(old.database)) as connection:
        connection.execute("DROP TABLE agent_transition")
        connection.commit()
    move(old, new)
    assert rows(new, "key_value") == rows(old, "key_value")
    assert rows(new, "agent_transition") == []


def test_a_page_is_unpacked_once(stores: tuple[Store, Store]) -> None:
    old, new = stores
    full_agent(old)
    move(old, new)
    before = rows(new, "log_line")
    commit(new, Changes(unpacked=[("echo", number) for number in range(20)]))
    assert rows(new, "log_line") == before


def test_pages_of_an_earlier_attempt_are_replaced(stores: tuple[Store, Store]) -> None:
    old, new = stores
    commit(old, Changes(agents=[agent_row()], keys=[("echo", "a", b"1"), ("echo", "b", b"2")]))
    found = old.reader.departures.page("echo", "key_value", 5, None)
    assert found is not None
    commit(new, Changes(handover_pages=[found[0]]))
    commit(new, Changes(handover_pages_dropped=["echo"]))
    assert new.reader.arrived_pages("echo") == []


def test_ended_messages_are_known_elsewhere_and_counted_where_they_ended(stores: tuple[Store, Store]) -> None:
    old, new = stores
    messages = [message(f"m{number}") for number in range(2_300)]  # more than one page, over the list's mark
    commit(old, Changes(accept=[accept(one) for one in messages]))
    commit(old, Changes(settle=[settle(message(f"m{number}")) for number in range(2_290)]))
    told = Told()
    known(old, new, told)
    assert len(told.pending) == 10
    commit(old, Changes(settle=[settle(message("m2290")), settle(message("m2291"))]))
    for page in old.reader.departures.known_late("echo", told, 0.0):
        commit(new, Changes(ended_elsewhere=[page]))
    found = new.reader.known(["m0", "m2289", "m2291", "m2292"])
    assert set(found) == {"m0", "m2289", "m2291"}
    assert found["m0"].state is State.DONE
    assert found["m0"].outcome == old.reader.known(["m0"])["m0"].outcome
    again = commit(new, Changes(accept=[accept(messages[0])]))
    assert again.duplicates == {"m0"}
    assert new.reader.ledger()["echo"].accepted == 0
    balanced(old, new)


def test_a_message_that_went_there_from_here_is_done_here_too_with_its_agent(
    stores: tuple[Store, Store],
) -> None:
    """One that is forwarded, and one whose answer was lost, so that it still waits here."""
    old, new = stores
    both = [message("m1"), message("m2")]
    commit(new, Changes(accept=[accept(one) for one in both]))
    commit(new, Changes(settle=[settle(message("m1"), state=State.FORWARDED)]))
    commit(old, Changes(accept=[accept(one) for one in both]))
    commit(old, Changes(settle=[settle(message("m1")), settle(message("m2"))]))
    known(old, new, Told())
    assert {one.state for one in new.reader.known(["m1", "m2"]).values()} == {State.DONE}
    assert new.reader.pending("echo") == []
    counts = new.reader.ledger()["echo"]
    assert (counts.accepted, counts.forwarded, counts.done) == (2, 2, 0)
    balanced(old, new)


def test_messages_that_come_back_keep_the_order_in_which_they_come(stores: tuple[Store, Store]) -> None:
    """m2 went to the agent's home through the outbox here, m1 directly: here only m2 is known when they come back."""
    _, new = stores
    commit(new, Changes(accept=[accept(message("m2"))], attempts=[FailedAttempt("m2", 1, 1.0, "AGENT_FAILED")]))
    commit(new, Changes(settle=[settle(message("m2"), state=State.FORWARDED)]))
    others = [accept(message(f"other {number}", receiver="other")) for number in range(2_500)]
    commit(new, Changes(accept=others))  # more than the lists may lack
    back = [Accept(message(one), time.time(), b"d" * 16, home=True, handed=True) for one in ("m1", "m2", "m3")]
    for handed in (back[:1], back[1:]):
        commit(new, Changes(accept=handed))
    assert [row.message.message_id for row in new.reader.waiting("echo")] == ["m1", "m2", "m3"]
    assert [row.message.message_id for row in new.reader.messages(agent="echo").rows] == ["m3", "m2", "m1"]
    assert [one.number for one in new.reader.attempts("m2")] == [1]
    balanced(new)


def test_a_message_that_comes_back_with_its_agent_waits_in_its_old_place(stores: tuple[Store, Store]) -> None:
    _, new = stores
    commit(new, Changes(accept=[accept(message("m1")), accept(message("m2"))]))
    commit(new, Changes(settle=[settle(message("m1"), state=State.FORWARDED)]))
    back = Accept(message("m1"), time.time(), b"d" * 16, home=True, handed=True)
    result = commit(new, Changes(accept=[back]))
    assert result.duplicates == frozenset()
    assert [(row.message.message_id, row.handed) for row in new.reader.waiting("echo")] == [
        ("m1", True),
        ("m2", False),
    ]
    assert commit(new, Changes(accept=[back])).duplicates == {"m1"}
    commit(new, Changes(settle=[settle(message("m1"))]))
    counts = new.reader.ledger()["echo"]
    assert (counts.accepted, counts.forwarded, counts.done, counts.pending) == (3, 1, 1, 1)
    balanced(new)


def test_dead_letters_go_along_and_can_be_replayed_there(stores: tuple[Store, Store]) -> None:
    old, new = stores
    commit(old, Changes(agents=[agent_row()], accept=[accept(message(f"m{n}")) for n in range(3)]))
    commit(old, Changes(attempts=[FailedAttempt("m0", 1, 1.0, "AGENT_FAILED")]))
    commit(old, Changes(settle=[settle(message("m0"), state=State.DEAD), settle(message("m1"), state=State.DEAD)]))
    commit(new, Changes(accept=[accept(message("m1"))]))
    commit(new, Changes(settle=[settle(message("m1"), state=State.FORWARDED)]))
    move(old, new)
    commit(old, Changes(departed=["echo"]))
    assert sorted(new.reader.dead_ids("echo")) == ["m0", "m1"]
    assert old.reader.dead_ids("echo") == []
    assert [row.message.message_id for row in old.reader.pending("echo")] == ["m2"], "what waits is the outbox"
    assert commit(new, Changes(revive=["m0", "m1"])).missed == frozenset()
    balanced(old, new)
    accepted = sum(store.reader.ledger()["echo"].accepted for store in stores)
    forwarded = sum(store.reader.ledger()["echo"].forwarded for store in stores)
    assert accepted - forwarded == 3, "so many different messages there were"


def test_what_is_left_behind_is_nothing_but_mail(stores: tuple[Store, Store]) -> None:
    old, _ = stores
    full_agent(old)
    commit(old, Changes(departed=["echo"]))
    assert all(rows(old, table) == [] for table in _STATE)
    assert old.reader.agents() == []
    assert rows(old, "key_value", "other") != []


def test_where_a_move_stands_is_kept(stores: tuple[Store, Store]) -> None:
    old, _ = stores
    row = HandoverRow(agent="echo", side=Side.OUT, peer="y", epoch=2, attempt=9, step=Step.HANDED, at=1.0)
    commit(old, Changes(handovers=[row]))
    assert old.reader.handovers() == [row]
    commit(old, Changes(handovers_ended=[("echo", Side.OUT)]))
    assert old.reader.handovers() == []


def test_ended_messages_that_retention_takes_leave_the_books_balanced(stores: tuple[Store, Store]) -> None:
    old, new = stores
    commit(old, Changes(accept=[accept(message("m1"))]))
    commit(old, Changes(settle=[settle(message("m1"))]))
    known(old, new, Told())
    swept = sweep(new, Retention(retention=1.0, dedup_window=1.0), time.time() + 1e9)
    assert swept.messages == 1
    balanced(new)
