"""Conversations, choices, subscriptions and tasks on disk: the last word stands, what is over is forgotten."""

from __future__ import annotations

from pathlib import Path

import msgspec
from store.world import accept, commit, message, sweep

from caxton.store import (
    BidRow,
    CapabilityRow,
    Changes,
    ChoiceRow,
    ConversationRow,
    ProviderRow,
    Retention,
    Store,
    TaskRow,
)

ROW = ConversationRow("talk", "fipa-request", "a", "b", "requested", "m1", 1_000.0, 1_000.0, deadline=2_000.0)
TASK = TaskRow(
    task_id="t1",
    state="calling",
    capability="build",
    owner="client:test",
    content=b"1",
    digest=b"d",
    created_at=1_000.0,
    reply_by=2_000.0,
    finish_by=3_000.0,
    field="price",
)


def test_the_last_standing_of_a_transaction_is_the_one_that_stays(database: Path) -> None:
    store = Store.open(database)
    agreed = msgspec.structs.replace(ROW, state="agreed", message_id="m2", steps=2)
    commit(store, Changes(conversations=[ROW, agreed], accept=[accept(message())]))
    (found,) = store.reader.talks.between("talk", "fipa-request", "b", "a")
    assert msgspec.structs.replace(found, seq=0) == agreed
    assert store.reader.talks.next_deadline() == 2_000.0
    assert [row.state for row in store.reader.talks.due(2_000.0, 10)] == ["agreed"]
    assert store.reader.talks.due(1_999.0, 10) == []
    done = msgspec.structs.replace(agreed, state="done", deadline=None, ended_at=1_500.0, steps=3)
    commit(store, Changes(conversations=[done]))
    assert store.reader.talks.next_deadline() is None
    (found,) = store.reader.talks.conversation("talk")
    assert (found.state, found.steps, found.seq) == ("done", 3, 1)
    store.close()


def test_a_bid_keeps_what_was_offered_when_only_its_state_changes(database: Path) -> None:
    store = Store.open(database)
    commit(store, Changes(tasks=[TASK], bids=[BidRow("t1", "a", "proposed", 1.0, 5.0, b'{"price":5}')]))
    commit(store, Changes(bids=[BidRow("t1", "a", "rejected", 2.0)]))
    assert store.reader.talks.bids("t1") == [BidRow("t1", "a", "rejected", 2.0, 5.0, b'{"price":5}')]
    assert store.reader.talks.open_tasks() == [TASK]
    store.close()


def test_subscriptions_and_registrations_come_and_go(database: Path) -> None:
    store = Store.open(database)
    row = CapabilityRow("build", "priority", [ProviderRow("a", 9)])
    commit(store, Changes(capabilities=[row], subscriptions=[("news", "a", 1.0), ("news", "b", 2.0)]))
    commit(store, Changes(subscriptions=[("news", "a", 9.0), ("news", "b", None)]))
    assert store.reader.talks.subscriptions() == [("news", "a", 1.0)]
    assert store.reader.talks.capabilities() == [row]
    commit(store, Changes(capabilities=[CapabilityRow("build")], agents_removed=["a"]))
    assert store.reader.talks.capabilities() == []
    assert store.reader.talks.subscriptions() == []
    store.close()


def test_what_is_over_is_forgotten_and_what_is_open_stays(database: Path) -> None:
    store = Store.open(database)
    ended = [
        msgspec.structs.replace(ROW, conversation_id=f"c{number}", state="done", deadline=None, ended_at=1_000.0)
        for number in range(25)
    ]
    over = msgspec.structs.replace(TASK, task_id="t2", state="done", finished_at=1_000.0)
    bids = [BidRow(task, f"a{number}", "done", 1.0) for task in ("t1", "t2") for number in range(25)]
    choices = [ChoiceRow("old", "build", "a", 1_000.0), ChoiceRow("new", "build", "a", 9_000.0)]
    commit(store, Changes(conversations=[ROW, *ended], tasks=[TASK, over], bids=bids, choices=choices))
    sweep(store, Retention(retention=5_000.0, dedup_window=5_000.0, slice_rows=10), 10_000.0)
    page = store.reader.talks.conversations(
        protocol=None, state=None, agent=None, open_only=False, before=99, limit=50
    )
    assert [row.conversation_id for row in page.rows] == ["talk"]
    assert store.reader.talks.task("t2") is None
    assert store.reader.talks.bids("t2") == []
    assert len(store.reader.talks.bids("t1")) == 25
    assert store.reader.talks.choice("old", "build") is None
    assert store.reader.talks.choice("new", "build") == "a"
    store.close()
