"""What tests commit to a store without a router: a message, its end, and the wait until both are durable."""

from __future__ import annotations

import threading
from hashlib import blake2b

from caxton.protocol.messages import Message, Outcome, State
from caxton.store import Accept, Changes, CommitResult, Settle, Store

ANSWER_SECONDS = 60.0


def accept(one: Message, at: float = 1_000.0, **more: object) -> Accept:
    return Accept(one, at, blake2b(one.content, digest_size=16).digest(), **more)  # type: ignore[arg-type]


def outcome(state: str = "done") -> Outcome:
    return Outcome(State(state), "inform", b'"ok"')


def settle(one: Message, state: str = "done", at: float = 1_001.0, attempts: int = 1) -> Settle:
    return Settle(one.message_id, one.receiver, state, at, outcome(state), attempts)


def commit(store: Store, changes: Changes) -> CommitResult:
    """What the writer says of the changes, once they are durable or refused."""
    answered = threading.Event()
    results: list[CommitResult] = []

    def done(result: CommitResult) -> None:
        results.append(result)
        answered.set()

    store.writer.submit(changes, done)
    assert answered.wait(ANSWER_SECONDS)
    return results[0]
