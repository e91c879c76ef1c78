"""Which rollouts run now, how each agent's latest one went, and how many ended how.

Owns these records in memory. Must never begin or end a rollout.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.versions import RolloutState
from caxton.router.boxes import Box
from caxton.router.versions.gauge import Gauge
from caxton.store import RolloutRow

ENDS: Final = (RolloutState.ABORTED, RolloutState.PROMOTED, RolloutState.RETURNED)


@dataclass(slots=True, eq=False)
class Live:
    """A rollout that runs. `side` is the version beside the one that is current: the candidate, or the warm one.

    `new` and `old` measure a canary and what it is compared with; `task` watches.
    """

    row: RolloutRow
    side: Box
    new: Gauge | None = None
    old: Gauge | None = None
    task: asyncio.Task[None] | None = None

    def measured(self) -> RolloutRow:
        """The row with the figures of now."""
        if self.new is None or self.old is None:
            return self.row
        return msgspec.structs.replace(self.row, new=self.new.figures(), old=self.old.figures())

    def ended(self, state: RolloutState, reason: str) -> RolloutRow:
        """The row as it is kept."""
        return msgspec.structs.replace(self.measured(), state=state, reason=reason, ended_at=time.time())


class Rollouts:
    """Rollouts by agent. `ended`: since the router began."""

    def __init__(self) -> None:
        self._latest: dict[str, RolloutRow] = {}
        self._live: dict[str, Live] = {}
        self.ended: Counter[str] = Counter(dict.fromkeys(map(str, ENDS), 0))

        self.replays: dict[str, int] = {}
        """Agents of which an earlier version handles dead letters now."""

    def __len__(self) -> int:
        return len(self._live)

    def load(self, rows: Iterable[RolloutRow]) -> None:
        """What the store has."""
        self._latest.update((row.name, row) for row in rows)

    def begin(self, live: Live) -> None:
        """A rollout runs."""
        self._latest[live.row.name] = live.row
        self._live[live.row.name] = live

    def live(self, name: str) -> Live | None:
        """The rollout of this agent that runs now."""
        return self._live.get(name)

    def require_alone(self, name: str) -> None:
        """`CONFLICT` while a second version of this agent handles messages: there must not be a third."""
        live = self._live.get(name)
        if live is not None and live.row.canary is not None:
            raise CaxtonError(
                Code.CONFLICT,
                f"version {live.row.to_version} of {name!r} is being tried; promote or abort that rollout first",
                version=live.row.to_version,
            )
        if name in self.replays:
            raise CaxtonError(
                Code.CONFLICT,
                f"version {self.replays[name]} of {name!r} handles dead letters; try again when it has",
                version=self.replays[name],
            )

    def row(self, name: str) -> RolloutRow | None:
        """The latest rollout of this agent, with the figures of now."""
        live = self._live.get(name)
        return self._latest.get(name) if live is None else live.measured()

    def end(self, row: RolloutRow) -> None:
        """A rollout has ended."""
        self._live.pop(row.name, None)
        self._latest[row.name] = row
        self.ended[row.state] += 1

    def forget(self, name: str) -> None:
        """The agent is gone."""
        self._live.pop(name, None)
        self._latest.pop(name, None)
        self.replays.pop(name, None)
