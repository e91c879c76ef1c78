"""The writer: many submitters, one transaction, answers after it is durable."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from store.world import ANSWER_SECONDS, accept, agent_row, commit, message, outcome, settle

from caxton.protocol.errors import Code
from caxton.store import Accept, Changes, CommitResult, FailedAttempt, Store


def test_an_accepted_message_is_there_when_the_answer_comes(store: Store) -> None:
    one = message()
    assert commit(store, Changes(accept=[accept(one)])) == CommitResult()
    row = store.reader.message(one.message_id)
    assert row is not None
    assert (row.message, row.state, row.outcome) == (one, "pending", None)


def test_many_submitters_share_commits_and_lose_nothing(store: Store) -> None:
    submitters, each = 16, 50
    answered = threading.Semaphore(0)
    results: list[CommitResult] = []

    def submitter() -> None:
        for _ in range(each):
            done = threading.Event()
            changes = Changes(accept=[accept(message(receiver=threading.current_thread().name))])
            store.writer.submit(changes, lambda result, event=done: (results.append(result), event.set()))
            assert done.wait(ANSWER_SECONDS)
        answered.release()

    threads = [threading.Thread(target=submitter, name=f"agent-{n}") for n in range(submitters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result for result in results if result != CommitResult()] == []
    assert {name: counts.pending for name, counts in store.reader.ledger().items()} == {
        thread.name: each for thread in threads
    }
    assert store.writer.commits < submitters * each


def test_one_threads_submissions_keep_their_order(store: Store) -> None:
    messages = [message() for _ in range(300)]
    last = threading.Event()
    for one in messages:
        store.writer.submit(Changes(accept=[accept(one)]), lambda result, one=one: one is messages[-1] and last.set())
    assert last.wait(ANSWER_SECONDS)
    assert [row.message.message_id for row in store.reader.pending("echo")] == [m.message_id for m in messages]


def test_deliver_gets_all_answers_of_a_commit_at_once(store: Store) -> None:
    calls: list[int] = []
    enough = threading.Event()

    def deliver(answers: list[object]) -> None:
        calls.append(len(answers))
        if sum(calls) == 500:
            enough.set()

    store.writer.deliver = deliver
    for _ in range(500):
        store.writer.submit(Changes(accept=[accept(message())]), lambda result: pytest.fail("deliver is set"))
    assert enough.wait(ANSWER_SECONDS)
    assert len(calls) == store.writer.commits < 500


def test_a_known_id_is_a_duplicate_and_the_rest_still_applies(store: Store) -> None:
    one, two = message(), message()
    commit(store, Changes(accept=[accept(one)]))
    result = commit(store, Changes(accept=[accept(one), accept(two)], keys=[("echo", "k", b"v")]))
    assert result == CommitResult(frozenset({one.message_id}))
    assert store.reader.load_key("echo", "k") == b"v"
    assert store.reader.ledger()["echo"].accepted == 2


@pytest.mark.parametrize("state", ["done", "dead", "expired", "cancelled", "forwarded"])
def test_a_finished_id_is_a_duplicate_and_keeps_its_outcome(store: Store, state: str) -> None:
    one, two = message(), message()
    commit(store, Changes(accept=[accept(one)]))
    assert commit(store, Changes(settle=[settle(one, state)])) == CommitResult()
    again = Accept(one, 2_000.0, b"x" * 16, state="done", outcome=outcome())
    assert commit(store, Changes(accept=[again, accept(two)])).duplicates == {one.message_id}
    known = store.reader.known([one.message_id, two.message_id, "unknown"])
    assert known[one.message_id].outcome == outcome(state)
    assert known[one.message_id].digest == accept(one).digest
    assert set(known) == {one.message_id, two.message_id}


def test_the_same_id_twice_in_one_transaction_counts_once(store: Store) -> None:
    one = message()
    result = commit(store, Changes(accept=[accept(one), accept(one)]))
    assert result.duplicates == {one.message_id}
    assert store.reader.ledger()["echo"].accepted == 1


def test_accepted_and_settled_together_is_one_row_in_its_final_state(store: Store) -> None:
    one = message()
    assert commit(store, Changes(accept=[accept(one)], settle=[settle(one, attempts=2)])) == CommitResult()
    row = store.reader.message(one.message_id)
    assert row is not None
    assert (row.state, row.attempts, row.finished_at, row.outcome) == ("done", 2, 1_001.0, outcome())
    assert store.reader.ledger()["echo"].done == 1


def test_settling_what_is_not_pending_is_missed_and_not_counted(store: Store) -> None:
    one, stranger = message(), message()
    commit(store, Changes(accept=[accept(one)], settle=[settle(one)]))
    result = commit(store, Changes(settle=[settle(one, "dead"), settle(stranger)]))
    assert result.missed == {one.message_id, stranger.message_id}
    counts = store.reader.ledger()["echo"]
    assert (counts.done, counts.dead, counts.imbalance) == (1, 0, 0)


def test_settle_after_restart_finds_the_message(database: Path) -> None:
    one = message()
    store = Store.open(database)
    commit(store, Changes(accept=[accept(one)]))
    store.close()
    store = Store.open(database)
    assert commit(store, Changes(settle=[settle(one)])) == CommitResult()
    assert store.reader.pending("echo") == []
    store.close()


def test_a_dead_letter_keeps_reason_backtrace_and_attempts(store: Store) -> None:
    one = message()
    commit(store, Changes(accept=[accept(one)]))
    first = FailedAttempt(one.message_id, 1, 1_001.0, "AGENT_FAILED", "trap", "0: f", 0.5, 1_002.0)
    commit(store, Changes(attempts=[first]))
    waiting = store.reader.message(one.message_id)
    assert waiting is not None
    assert (waiting.state, waiting.attempts, waiting.next_at) == ("pending", 1, 1_002.0)
    second = FailedAttempt(one.message_id, 2, 1_003.0, "CPU_LIMIT", None, "1: g", 0.5)
    commit(store, Changes(attempts=[second], settle=[settle(one, "dead", attempts=2)]))
    assert [(a.number, a.code, a.backtrace) for a in store.reader.attempts(one.message_id)] == [
        (1, "AGENT_FAILED", "0: f"),
        (2, "CPU_LIMIT", "1: g"),
    ]
    assert [row.message.message_id for row in store.reader.dead().rows] == [one.message_id]


def test_an_attempt_of_a_message_without_a_row_is_dropped(store: Store) -> None:
    assert commit(store, Changes(attempts=[FailedAttempt("nobody", 1, 1.0, "AGENT_FAILED")])) == CommitResult()
    assert store.reader.attempts("nobody") == []


def test_a_revived_dead_letter_is_pending_without_attempts(store: Store) -> None:
    one, alive = message(), message()
    failed = FailedAttempt(one.message_id, 1, 1.0, "AGENT_FAILED")
    commit(store, Changes(accept=[accept(one), accept(alive)]))
    commit(store, Changes(attempts=[failed], settle=[settle(one, "dead")]))
    assert commit(store, Changes(revive=[one.message_id, alive.message_id])).missed == {alive.message_id}
    row = store.reader.message(one.message_id)
    assert row is not None
    assert (row.state, row.attempts, row.outcome) == ("pending", 0, None)
    assert store.reader.attempts(one.message_id) == []
    assert commit(store, Changes(settle=[settle(one)])) == CommitResult()
    assert store.reader.ledger()["echo"].dead == 0


def test_a_forgotten_dead_letter_goes_and_its_count_stays(store: Store) -> None:
    one, alive = message(), message()
    commit(store, Changes(accept=[accept(one), accept(alive)], settle=[settle(one, "dead")]))
    assert commit(store, Changes(forget=[one.message_id, alive.message_id])).missed == {alive.message_id}
    assert store.reader.message(one.message_id) is None
    assert store.reader.ledger()["echo"].dead == 1


def test_changes_in_one_transaction_apply_in_the_order_of_submission(store: Store) -> None:
    one = message()
    commit(store, Changes(accept=[accept(one)]))
    last = threading.Event()
    steps = [
        Changes(settle=[settle(one, "dead")], keys=[("echo", "k", b"1")]),
        Changes(revive=[one.message_id], keys=[("echo", "k", b"2")]),
        Changes(settle=[settle(one, "done")], keys=[("echo", "k", None)]),
    ]
    for step in steps:
        store.writer.submit(step, lambda result, step=step: step is steps[-1] and last.set())
    assert last.wait(ANSWER_SECONDS)
    row = store.reader.message(one.message_id)
    assert row is not None
    assert row.state == "done"
    assert store.reader.load_key("echo", "k") is None


def test_unlisted_counts_reach_the_ledger(store: Store) -> None:
    commit(store, Changes(unlisted={"echo": {"accepted": 5, "done": 4, "dead": 1}}))
    counts = store.reader.ledger()["echo"]
    assert (counts.accepted, counts.done, counts.dead, counts.imbalance) == (5, 4, 1, 0)


def test_counts_that_do_not_balance_stop_the_writer(database: Path) -> None:
    store = Store.open(database)
    one = message()
    broken = commit(store, Changes(accept=[accept(one)], unlisted={"echo": {"accepted": 5, "done": 4}}))
    after = commit(store, Changes(accept=[accept(one)]))
    assert broken.error is not None
    assert after.error is not None
    assert store.reader.message(one.message_id) is None
    store.close()


def test_timer_numbers_are_never_given_again(store: Store) -> None:
    commit(store, Changes(agents=[agent_row()]))
    commit(store, Changes(timers_set=[("echo", 1, 5.0), ("echo", 2, 6.0)]))
    commit(store, Changes(timers_cleared=[("echo", 1), ("echo", 2)]))
    assert store.reader.timers() == []
    commit(store, Changes(agents=[agent_row(version=2)], incarnations={"echo": 7}))
    [agent] = store.reader.agents()
    assert (agent.version, agent.next_timer_id, agent.incarnation) == (2, 3, 7)


def test_a_removed_agent_takes_its_state_but_not_its_ledger(store: Store) -> None:
    one = message()
    commit(store, Changes(agents=[agent_row()], accept=[accept(one)], keys=[("echo", "k", b"v")]))
    commit(store, Changes(settle=[settle(one)], agents_removed=["echo"], timers_set=[("echo", 1, 2.0)]))
    assert store.reader.agents() == []
    assert store.reader.timers() == []
    assert store.reader.state_bytes("echo") == 0
    assert store.reader.ledger()["echo"].done == 1


def test_a_closed_store_takes_nothing(database: Path) -> None:
    store = Store.open(database)
    store.close()
    error = commit(store, Changes(accept=[accept(message())])).error
    assert getattr(error, "code", None) == Code.NOT_READY


def test_close_commits_what_was_submitted(database: Path) -> None:
    store = Store.open(database)
    for _ in range(2_000):
        store.writer.submit(Changes(accept=[accept(message())]), lambda result: None)
    store.close()
    connection = sqlite3.connect(database)
    assert connection.execute("SELECT count(*) FROM message").fetchone() == (2_000,)
    connection.close()


def test_the_log_is_moved_into_the_file_when_the_writer_is_idle(store: Store, database: Path) -> None:
    before = database.stat().st_size
    commit(store, Changes(accept=[accept(message(content=b"x" * 10_000)) for _ in range(50)]))
    waiting = threading.Event()
    for _ in range(1_000):
        if database.stat().st_size > before + 400_000:
            break
        waiting.wait(0.01)
    assert database.stat().st_size > before + 400_000


@pytest.mark.parametrize(("window", "alone"), [(0.0, True), (0.3, True), (60.0, False)])
def test_a_busy_writer_waits_no_longer_than_its_window(database: Path, window: float, alone: bool) -> None:
    """After a commit that two shared the writer expects two again; what comes alone waits at most the window."""
    store = Store.open(database, commit_window=window)
    begun, gate, both, single, follower = (threading.Event() for _ in range(5))
    try:
        store.writer.submit(
            Changes(accept=[accept(message())]), lambda result: begun.set() or gate.wait(ANSWER_SECONDS)
        )
        assert begun.wait(ANSWER_SECONDS)  # or the next two might share its commit
        for event in (threading.Event(), both):
            store.writer.submit(
                Changes(accept=[accept(message())]), lambda result, event=event: gate.is_set() and event.set()
            )
        gate.set()
        assert both.wait(ANSWER_SECONDS)
        before = store.writer.commits
        store.writer.submit(Changes(accept=[accept(message())]), lambda result: single.set())
        assert single.wait(ANSWER_SECONDS if alone else 0.5) is alone
        store.writer.submit(Changes(accept=[accept(message())]), lambda result: follower.set())
        assert follower.wait(ANSWER_SECONDS)
        assert single.is_set()
    finally:
        store.close()
    assert store.writer.commits - before <= (3 if alone else 2)
