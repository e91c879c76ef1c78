"""Waiting for what is not there at once.

Owns the patience. Must never pass when the condition did not come true.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

WAIT_SECONDS: Final = 60.0


def until(condition: Callable[[], object], what: str) -> None:
    """Returns when the condition is true; AssertionError with `what` when it did not become so in a minute."""
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)
