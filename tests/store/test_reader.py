"""Readers: every page and every row that the router's views are made of."""

from __future__ import annotations

import sqlite3
import threading

import msgspec
import pytest
from store.world import accept, agent_row, commit, message, settle

from caxton.protocol.errors import CaxtonError, Code, ErrorBody
from caxton.store import ApiKeyRow, Changes, ExecutionRow, JobRow, LogRow, Store


def ids(rows: list) -> list[str]:
    return [row.message.message_id for row in rows]


def walk(ask, **filters) -> list:
    """All rows, page by page."""
    rows, cursor = [], None
    while True:
        page = ask(limit=3, cursor=cursor, **filters)
        assert len(page.rows) <= 3
        rows += page.rows
        cursor = page.next_cursor
        if cursor is None:
            return rows


def test_a_message_comes_back_as_it_was_accepted(store: Store) -> None:
    one = message(
        performative="cfp", sender="buyer", content="ü".encode(), conversation_id="c", priority=9, reply_with="r",
        in_reply_to="i", reply_by=5.5, protocol="fipa-contract-net", ontology="o", language="bytes",
        traceparent="00-1-2-03",
    )  # fmt: skip
    commit(store, Changes(accept=[accept(one, delivery="ephemeral")]))
    row = store.reader.message(one.message_id)
    assert row is not None
    assert (row.message, row.delivery, row.content_dropped) == (one, "ephemeral", False)
    assert store.reader.message("unknown") is None


def test_messages_come_newest_first_and_filtered(store: Store) -> None:
    mine = [message(receiver="a") for _ in range(7)]
    other = [message(receiver="b") for _ in range(4)]
    commit(store, Changes(accept=[accept(m) for m in mine + other], settle=[settle(m, "dead") for m in mine[:5]]))
    everything = [m.message_id for m in reversed(mine + other)]
    assert ids(walk(store.reader.messages)) == everything
    assert ids(walk(store.reader.messages, agent="a")) == everything[4:]
    assert ids(walk(store.reader.messages, state="pending")) == everything[:6]
    assert ids(walk(store.reader.messages, agent="a", state="dead")) == everything[6:]
    assert ids(walk(store.reader.dead, agent="a")) == ids(walk(store.reader.dead)) == everything[6:]
    assert store.reader.dead_ids("a") == store.reader.dead_ids() == everything[6:][::-1]
    assert walk(store.reader.dead, agent="b") == []


def test_a_conversation_holds_the_message_that_began_it(store: Store) -> None:
    first = message()
    rest = [message(conversation_id=first.message_id, receiver=f"agent-{n % 2}") for n in range(6)]
    commit(store, Changes(accept=[accept(m) for m in [message(), first, *rest, message()]]))
    whole = [m.message_id for m in reversed([first, *rest])]
    assert ids(walk(store.reader.messages, conversation_id=first.message_id)) == whole
    assert ids(walk(store.reader.messages, conversation_id=first.message_id, agent="agent-1")) == whole[0:6:2]


def test_pending_is_in_the_order_of_acceptance_and_goes_on_after_a_seq(store: Store) -> None:
    mine = [message(receiver="a", priority=n % 3 + 1) for n in range(10)]
    commit(store, Changes(accept=[accept(m) for m in [message(), *mine]]))
    first = store.reader.pending("a", limit=4)
    rest = store.reader.pending("a", after=first[-1].seq)
    assert ids(first + rest) == [m.message_id for m in mine]
    assert len(store.reader.pending()) == 11


def test_what_came_with_its_agent_waits_before_what_was_accepted_here(store: Store) -> None:
    own, handed, later = ([message(receiver="a") for _ in range(3)] for _ in range(3))
    commit(store, Changes(accept=[accept(m) for m in own]))
    commit(store, Changes(accept=[msgspec.structs.replace(accept(m), handed=True) for m in handed]))
    commit(store, Changes(accept=[accept(m) for m in later]))
    order = [m.message_id for m in (*handed, *own, *later)]
    assert ids(list(store.reader.waiting("a"))) == ids(list(store.reader.waiting())) == order
    assert [row.handed for row in store.reader.waiting("a")] == [True] * 3 + [False] * 6
    commit(store, Changes(settle=[settle(handed[0])]))
    assert ids(list(store.reader.waiting("a"))) == order[1:]


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1e3", "9" * 30, "١"])
def test_a_strange_cursor_is_refused(store: Store, cursor: str) -> None:
    for ask in (store.reader.messages, store.reader.dead):
        with pytest.raises(CaxtonError) as refused:
            ask(cursor=cursor)
        assert refused.value.code == Code.INVALID_REQUEST


def test_keys_come_in_order_and_are_measured(store: Store) -> None:
    names = ["", "a", "b/1", "b/2", "z", "ü"]
    commit(store, Changes(keys=[("echo", name, b"12345") for name in reversed(names)] + [("other", "a", b"x")]))
    assert [row.key for row in walk(lambda **more: store.reader.keys("echo", **more))] == names
    assert store.reader.state_bytes("echo") == sum(len(name.encode()) + 5 for name in names)
    commit(store, Changes(keys=[("echo", "a", None), ("echo", "z", b""), ("echo", "none", None)]))
    assert store.reader.load_key("echo", "a") is None
    assert store.reader.load_key("echo", "z") == b""
    assert store.reader.state_bytes("nobody") == 0


def test_logs_are_the_last_lines_or_what_follows(store: Store) -> None:
    lines = [LogRow("echo", float(n), "log", f"line {n}", "m") for n in range(9)]
    commit(store, Changes(logs=[*lines, LogRow("other", 1.0, "log", "not mine")]))
    last = store.reader.logs("echo", limit=3)
    assert [row.text for row in last] == ["line 6", "line 7", "line 8"]
    commit(store, Changes(logs=[LogRow("echo", 9.0, "error", "new")]))
    assert [row.text for row in store.reader.logs("echo", after=last[-1].seq)] == ["new"]
    assert [row.text for row in store.reader.logs("echo", after=0, limit=2)] == ["line 0", "line 1"]


def test_executions_come_newest_first(store: Store) -> None:
    rows = [ExecutionRow(f"e{n}", "echo", "m", 1.0, "ok", 0.1, 0.1, 65536, None, 10) for n in range(8)]
    commit(store, Changes(executions=[*rows, ExecutionRow("x", "other", "m", 1.0, "ok", 0.1, 0.1, 1)]))
    assert walk(lambda **more: store.reader.executions("echo", **more)) == rows[::-1]


def test_agents_jobs_timers_and_api_keys_come_back_as_they_were(store: Store) -> None:
    agent = agent_row(capabilities=["sum"], descriptor={"a": [1]}, incarnation=3, next_timer_id=5)
    job = JobRow(job_id="j", kind="deploy", state="failed", created_at=1.0, error=ErrorBody(Code.INVALID_WASM, "no"))
    key = ApiKeyRow("k1", "ops", b"salt", b"digest", 1.0, 2.0)
    commit(
        store, Changes(agents=[agent], jobs=[job], api_keys=[key], timers_set=[("echo", 9, 3.0), ("echo", 8, 2.0)])
    )
    assert [agent_row_.name for agent_row_ in store.reader.agents()] == ["echo"]
    assert store.reader.agents()[0].descriptor == {"a": [1]}
    assert store.reader.job("j") == job
    assert store.reader.jobs(state="queued") == []
    assert [(timer.timer_id, timer.due) for timer in store.reader.timers()] == [(8, 2.0), (9, 3.0)]
    assert store.reader.api_key("k1") == key
    commit(store, Changes(api_keys=[ApiKeyRow("k1", "ops", b"salt", b"digest", 1.0, 2.0, revoked_at=1.5)]))
    assert [row.revoked_at for row in walk(store.reader.api_keys)] == [1.5]


def test_every_thread_may_ask_and_nobody_can_write(store: Store) -> None:
    one = message()
    commit(store, Changes(accept=[accept(one)]))
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(store.reader.message(one.message_id)))
    thread.start()
    thread.join()
    assert found[0] is not None
    with pytest.raises(sqlite3.OperationalError):
        store.reader._connection().execute("DELETE FROM message")


def test_sizes_are_those_of_the_files(store: Store) -> None:
    commit(store, Changes(accept=[accept(message(content=b"x" * 100_000))]))
    sizes = store.reader.sizes()
    assert sizes.wal > 100_000
    assert sizes.used > 100_000
    assert sizes.disk_free > 0
    assert sizes.database > 0


def test_a_reader_sees_only_what_is_committed_and_then_at_once(store: Store) -> None:
    before = store.reader.ledger()
    one = message()
    commit(store, Changes(accept=[accept(one)]))
    assert before == {}
    assert store.reader.ledger()["echo"].pending == 1
