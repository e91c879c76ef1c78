"""Ctrl-C and SIGTERM at a moment when they may take effect.

Owns the postponing of both for a few lines. Must never lose one.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_BOTH = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def postponed() -> Iterator[None]:
    """Ctrl-C and SIGTERM take effect after the block; for the main thread, elsewhere it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []
    before: dict[int, Any] = {number: signal.signal(number, lambda got, _: pending.append(got)) for number in _BOTH}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if pending:
            signal.raise_signal(pending[0])


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM inside the block is what Ctrl-C is: a `KeyboardInterrupt`, so that `finally` is reached."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
