"""Who waits for new lines of an agent's log.

Owns the wake-up. Must never hold a line: those are read from the store once they are durable.
"""

from __future__ import annotations

import asyncio


class Followers:
    """All methods belong to the loop's thread."""

    def __init__(self) -> None:
        self._expected: dict[str, asyncio.Event] = {}

    def __contains__(self, agent: str) -> bool:
        return agent in self._expected

    def expect(self, agent: str) -> asyncio.Event:
        """Set at the agent's next line. Ask for it before reading what is there, so that none is missed."""
        return self._expected.setdefault(agent, asyncio.Event())

    def tell(self, agent: str) -> None:
        """There are new lines, or there will be none any more."""
        expected = self._expected.pop(agent, None)
        if expected is not None:
            expected.set()
