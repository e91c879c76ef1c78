"""Agents that come to this node, and whoever has something for them.

Owns the waiting: until the last of the old home's mail is here, what comes from elsewhere comes too early. Must never
hold a message: callers wait with it, other nodes keep it in their outboxes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from caxton.protocol.errors import CaxtonError, Code

WAIT_SECONDS: Final = 30.0


@dataclass(slots=True)
class _Coming:
    peer: str
    here: asyncio.Event = field(default_factory=asyncio.Event)


class Waits:
    """Empty almost always: then nothing is looked up."""

    def __init__(self) -> None:
        self._coming: dict[str, _Coming] = {}

    def __bool__(self) -> bool:
        return bool(self._coming)

    def __contains__(self, agent: str) -> bool:
        return agent in self._coming

    def add(self, agent: str, peer: str) -> None:
        """The agent comes from `peer`, whose mail for it is taken meanwhile."""
        self._coming.setdefault(agent, _Coming(peer))

    def peer(self, agent: str) -> str | None:
        """The old home of an agent that is on its way; None: it is on no way to here."""
        coming = self._coming.get(agent)
        return None if coming is None else coming.peer

    def agents(self) -> list[str]:
        """Those that are on their way to this node."""
        return list(self._coming)

    def end(self, agent: str) -> None:
        """It is here."""
        coming = self._coming.pop(agent, None)
        if coming is not None:
            coming.here.set()

    async def passed(self, agents: Iterable[str]) -> None:
        """Returns when none of these is on its way any more; `NOT_READY` after half a minute."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                for agent in agents:
                    while (coming := self._coming.get(agent)) is not None:
                        await coming.here.wait()
        except TimeoutError:
            raise CaxtonError(
                Code.NOT_READY, f"{agent[:128]!r} is on its way to this node; try again", retry_after_seconds=2
            ) from None
