"""Retention: what goes, what must stay, and that the ledger does not notice."""

from __future__ import annotations

from pathlib import Path

from store.world import accept, commit, message, settle, sweep

from caxton.store import Changes, ExecutionRow, FailedAttempt, JobRow, LogRow, Retention, Store

DAY = 86_400.0
NOW = 30 * DAY


def aged(store: Store, days: float, state: str | None, content: bytes = b"x") -> str:
    one = message(content=content)
    at = NOW - days * DAY
    commit(store, Changes(accept=[accept(one, at)], settle=[settle(one, state, at)] if state else []))
    return one.message_id


def test_old_ended_messages_go_and_young_or_pending_ones_stay(store: Store) -> None:
    gone = [aged(store, 9, state) for state in ("done", "dead", "expired", "cancelled", "forwarded")]
    waiting = aged(store, 9, None)
    gone.append(aged(store, 8, "done"))
    young = aged(store, 6, "done")
    before = store.reader.ledger()
    assert sweep(store, Retention(slice_rows=2), NOW).messages == len(gone)
    assert [store.reader.message(message_id) for message_id in gone] == [None] * len(gone)
    assert store.reader.message(waiting) is not None
    assert store.reader.message(young) is not None
    assert store.reader.ledger() == before
    assert store.reader.recount() == []


def test_an_id_inside_the_deduplication_window_is_never_forgotten(store: Store) -> None:
    one = aged(store, 9, "done")
    sweep(store, Retention(retention=DAY, dedup_window=10 * DAY), NOW)
    assert store.reader.known([one]).keys() == {one}


def test_too_many_bytes_take_old_rows_and_the_content_of_young_ones(store: Store) -> None:
    old = aged(store, 2, "done", b"x" * 50_000)
    young = aged(store, 0.5, "done", b"x" * 50_000)
    letter = aged(store, 0.5, "dead", b"x" * 50_000)
    waiting = aged(store, 0.5, None, b"x" * 50_000)
    swept = sweep(store, Retention(retention_bytes=100_000), NOW)
    assert (swept.messages, swept.contents) == (1, 1)
    assert store.reader.message(old) is None
    row = store.reader.message(young)
    assert row is not None
    assert (row.content_dropped, row.message.content) == (True, b"")
    assert row.outcome is not None
    for kept in (letter, waiting):
        there = store.reader.message(kept)
        assert there is not None
        assert len(there.message.content) == 50_000


def test_attempts_go_with_their_message(store: Store) -> None:
    one = message()
    failed = FailedAttempt(one.message_id, 1, 1.0, "AGENT_FAILED")
    commit(store, Changes(accept=[accept(one, 1.0)]))
    commit(store, Changes(attempts=[failed], settle=[settle(one, "dead", 1.0)]))
    sweep(store, Retention(), NOW)
    assert store.writer._connection.execute("SELECT count(*) FROM attempt").fetchone() == (0,)


def test_jobs_go_after_a_day_unless_they_run(store: Store) -> None:
    def job(name: str, finished_at: float | None) -> JobRow:
        return JobRow(job_id=name, kind="deploy", state="done", created_at=1.0, finished_at=finished_at)

    commit(store, Changes(jobs=[job("old", NOW - 2 * DAY), job("new", NOW - 10), job("running", None)]))
    assert sweep(store, Retention(), NOW).jobs == 1
    assert {row.job_id for row in store.reader.jobs()} == {"new", "running"}


def test_logs_keep_the_newest_lines_within_both_caps(store: Store) -> None:
    commit(store, Changes(logs=[LogRow(agent, 1.0, "log", f"{n:010}") for n in range(50) for agent in ("a", "b")]))
    sweep(store, Retention(log_lines=20, slice_rows=7), NOW)
    assert [row.text for row in store.reader.logs("a", after=0)] == [f"{n:010}" for n in range(30, 50)]
    assert len(store.reader.logs("b", after=0)) == 20
    sweep(store, Retention(log_bytes=55), NOW)
    assert len(store.reader.logs("a", after=0)) == 5


def test_executions_keep_the_newest(store: Store) -> None:
    rows = [ExecutionRow(f"e{n}", "echo", "m", 1.0, "ok", 0.1, 0.1, 1) for n in range(30)]
    commit(store, Changes(executions=rows))
    assert sweep(store, Retention(executions=10, slice_rows=4), NOW).executions == 20
    assert store.reader.executions("echo").rows == rows[:19:-1]


def test_a_finished_writer_says_so(database: Path) -> None:
    store = Store.open(database)
    store.close()
    answers: list[object] = []
    store.writer.sweep(Retention(), NOW, lambda swept: answers.append(swept.error))
    assert answers[0] is not None
