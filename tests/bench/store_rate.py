"""How many messages a second the store makes durable, beside bare group-committed inserts of the same rows.

Run: PYTHONPATH=app:tests python tests/bench/store_rate.py [messages] [in flight] [rounds]
Rounds are interleaved, so that whatever else the machine does hits all alike; the median round counts.
CPU is of the whole process (submitter and writer), which is what stays comparable on a busy machine.
"""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from caxton.protocol.ids import new_id
from caxton.protocol.messages import Execution, Message, Outcome, State
from caxton.store import Accept, Changes, CommitResult, Settle, Store, db_upgrade, message_sql

AGENTS = 100
CONTENT = os.urandom(512)
OUTCOME = Outcome(
    State.DONE, "inform", b'"' + b"x" * 100 + b'"', None, None, Execution(new_id(), 0.001, 0.001, 65536)
)


def messages(count: int) -> list[Message]:
    ids = [new_id() for _ in range(count)]
    return [Message(i, "request", "client:bench", f"agent-{n % AGENTS}", CONTENT, i) for n, i in enumerate(ids)]


def accepted(message: Message) -> Accept:
    return Accept(message, 1_700_000_000.0, b"0123456789abcdef")


def settled(message: Message) -> Settle:
    return Settle(message.message_id, message.receiver, "done", 1_700_000_000.0, OUTCOME, 1)


def bare(database: Path, work: list[Message], in_flight: int) -> None:
    """Plain `executemany` into a table of the same columns with the id as its only index."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    columns = ", ".join(message_sql.COLUMNS)
    connection.execute(f"CREATE TABLE bare ({columns}, PRIMARY KEY (seq), UNIQUE (message_id))")
    insert = f"INSERT INTO bare VALUES ({', '.join('?' * len(message_sql.COLUMNS))})"
    end = (1_700_000_000.0, 1, message_sql.encode_outcome(OUTCOME))
    for start in range(0, len(work), in_flight):
        part = enumerate(work[start : start + in_flight], start)
        rows = [message_sql.row_values(seq, accepted(message), "done", end) for seq, message in part]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, rows)
        connection.execute("COMMIT")
    connection.close()


def through_store(together: bool) -> Callable[[Path, list[Message], int], None]:
    def run(database: Path, work: list[Message], in_flight: int) -> None:
        store = Store.open(database)
        finished = threading.Event()
        left = iter(work)
        open_now = [len(work)]

        def ended(result: CommitResult) -> None:
            assert result == CommitResult()
            open_now[0] -= 1
            if not open_now[0]:
                finished.set()
            submit_next()

        def submit_next() -> None:
            message = next(left, None)
            if message is None:
                return
            if together:
                store.writer.submit(Changes(accept=[accepted(message)], settle=[settled(message)]), ended)
            else:
                settle = Changes(settle=[settled(message)])
                store.writer.submit(Changes(accept=[accepted(message)]), lambda _: store.writer.submit(settle, ended))

        for _ in range(in_flight):
            submit_next()
        finished.wait()
        store.close()

    return run


def measure(
    run: Callable[[Path, list[Message], int], None], work: list[Message], in_flight: int
) -> tuple[float, float]:
    """Messages a second, CPU microseconds a message."""
    directory = Path(tempfile.mkdtemp(prefix="cx"))
    try:
        if run is not bare:
            db_upgrade(directory / "local.db")
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        run(directory / "local.db", work, in_flight)
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    finally:
        shutil.rmtree(directory)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return len(work) / seconds, cpu / len(work) * 1e6


def main(count: int, in_flight: int, rounds: int) -> None:
    runs = {
        "bare inserts": bare,
        "accept + settle together": through_store(True),
        "accept, settle": through_store(False),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        work = messages(count)
        for name, run in runs.items():
            found[name].append(measure(run, work, in_flight))
    base = statistics.median(rate for rate, _ in found["bare inserts"])
    for name, results in found.items():
        rate = statistics.median(rate for rate, _ in results)
        cpu = statistics.median(cpu for _, cpu in results)
        print(
            f"{name:26} {rate:9,.0f}/s  best {max(results)[0]:9,.0f}/s  {cpu:6.1f} us CPU  {rate / base:5.2f} of bare"
        )
    print("load", os.getloadavg())


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:4]]
    main(*(given + [60_000, 2_048, 5][len(given) :]))
