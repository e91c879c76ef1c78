"""Signatures of the writer (bodies follow)."""

from __future__ import annotations

from collections.abc import Callable

from caxton.store.changes import Changes, CommitResult
from caxton.store.rows import Retention, Swept

Done = Callable[[CommitResult], None]
Delivery = Callable[[list[tuple[Done, CommitResult]]], None]


class Writer:
    """The one thread that writes. `deliver`, when set, gets all answers of one commit in one call
    (one `call_soon_threadsafe` a commit) instead of `done(result)` being called for each."""

    deliver: Delivery | None = None

    def submit(self, changes: Changes, done: Done) -> None: raise NotImplementedError
    def sweep(self, policy: Retention, now: float, done: Callable[[Swept], None]) -> None: raise NotImplementedError
