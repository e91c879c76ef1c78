"""Counts of messages that leave no row: ephemeral ones whose execution had no effect.

Owns the counters between two flushes. Must never count a message that has a row, nor one before its end:
accepted and its end are counted together, so that the ledger balances whatever is lost.
"""

from __future__ import annotations

import asyncio
from typing import Final

from caxton.protocol.messages import State
from caxton.router.commits import Commits

_FLUSH_SECONDS: Final = 0.2


class Tally:
    """Collected and handed to the store together, a few times a second."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._loop = asyncio.get_running_loop()
        self._counts: dict[str, dict[str, int]] = {}
        self._planned = False

    def add(self, agent: str, state: State) -> None:
        """One message of this agent was accepted and ended as `state`."""
        counts = self._counts.get(agent)
        if counts is None:
            counts = self._counts[agent] = {}
        counts["accepted"] = counts.get("accepted", 0) + 1
        counts[state.value] = counts.get(state.value, 0) + 1
        if not self._planned:
            self._planned = True
            self._loop.call_later(_FLUSH_SECONDS, self.flush)

    def of(self, agent: str) -> dict[str, int]:
        """What is counted here and not handed over yet."""
        return dict(self._counts.get(agent, {}))

    def flush(self) -> None:
        """Hands everything over with this turn's commit."""
        self._planned = False
        counts, self._counts = self._counts, {}
        if not counts or self._commits.failed is not None:
            return
        unlisted = self._commits.changes.unlisted
        for agent, more in counts.items():
            mine = unlisted.setdefault(agent, {})
            for state, count in more.items():
                mine[state] = mine.get(state, 0) + count
