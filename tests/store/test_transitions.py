"""What became of an agent: noted with every change of it, kept when it is gone, forgotten when it is old."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
from store.world import agent_row, commit, sweep

from caxton.protocol.agents import AgentStatus
from caxton.store import Changes, Retention, Store, transitions

RUNNING = agent_row("one", agent_id="id-1", status=AgentStatus.RUNNING)
BROKEN = msgspec.structs.replace(RUNNING, status=AgentStatus.FAILED, status_reason="it does not start")


def told(store: Store, agent: str = "one") -> list[tuple[str, int, str | None]]:
    rows = store.reader.transitions.of(agent, limit=500).rows
    return [(row.status, row.version, row.reason) for row in rows]


def test_each_change_is_noted_once_and_stays_when_the_agent_is_gone(database: Path) -> None:
    store = Store.open(database)
    began = time.time()
    commit(store, Changes(agents=[RUNNING]))
    commit(store, Changes(agents=[msgspec.structs.replace(RUNNING, incarnation=7)]))
    commit(store, Changes(agents=[BROKEN]))
    commit(store, Changes(agents=[msgspec.structs.replace(RUNNING, version=2)]))
    commit(store, Changes(agents_removed=["one", "never"]))
    store.close()
    store = Store.open(database)
    assert told(store) == [
        ("removed", 2, None),
        ("running", 2, None),
        ("failed", 1, "it does not start"),
        ("running", 1, None),
    ]
    rows = store.reader.transitions.of("one", limit=2).rows
    assert all(began <= row.at <= time.time() for row in rows)
    assert (store.reader.transitions.called("id-1"), told(store, "never")) == ("one", [])
    store.close()


def test_of_an_agent_the_newest_are_kept_page_by_page(store: Store) -> None:
    count = transitions.KEPT + 3
    commit(store, Changes(agents=[msgspec.structs.replace(RUNNING, version=number) for number in range(count)]))
    assert [version for _, version, _ in told(store)] == list(range(count - 1, 2, -1))
    first = store.reader.transitions.of("one", limit=3)
    rest = store.reader.transitions.of("one", limit=500, cursor=first.next_cursor)
    assert [row.version for row in (*first.rows, *rest.rows)] == [version for _, version, _ in told(store)]


def test_what_is_old_goes_only_with_an_agent_that_is_gone(store: Store) -> None:
    other = agent_row("two", agent_id="id-2", status=AgentStatus.RUNNING)
    commit(store, Changes(agents=[RUNNING, other]))
    commit(store, Changes(agents_removed=["one"]))
    policy = Retention(slice_rows=1)
    sweep(store, policy, time.time())
    assert (len(told(store)), len(told(store, "two"))) == (2, 1)
    sweep(store, policy, time.time() + policy.retention + 60)
    assert (told(store), len(told(store, "two"))) == ([], 1)
