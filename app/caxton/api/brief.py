"""What the router has said about a credential, remembered for a moment.

Owns how long that may be: a revocation holds everywhere within a second. Must never remember a refusal that was
raised, nor a credential.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from time import monotonic
from typing import Final, Generic, TypeVar

SECONDS: Final = 0.5
_MOST: Final = 10_000
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Brief(Generic[K, V]):
    """Answers by key."""

    def __init__(self) -> None:
        self._kept: dict[K, tuple[float, V]] = {}

    def of(self, key: K, ask: Callable[[], V]) -> V:
        """The answer: one that was given less than `SECONDS` ago, or what `ask` gives now."""
        known = self._kept.get(key)
        if known is not None and known[0] >= monotonic():
            return known[1]
        until = monotonic() + SECONDS  # counted from before the question: what is answered is never older
        found = ask()
        if len(self._kept) >= _MOST:
            self._kept.clear()
        self._kept[key] = until, found
        return found
