"""The hand-over of an agent's home from one node to another: its steps, and what crosses the link for it.

Owns these shapes, on disk and between nodes. Must never decide what follows what: `cluster.handover` does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from caxton.protocol.peers import Record


class Side(StrEnum):
    """Which way the agent moves, as seen from the node that keeps the row."""

    OUT = "out"
    IN = "in"


class Step(StrEnum):
    """How far a hand-over is, durably. `HANDED` and `GIVEN` are of the old home, the others of the new one."""

    HANDED = "handed"
    """Everything is over there. The agent no longer runs here, unless the other says that it will never have it."""
    GIVEN = "given"
    """The other node is the home; what still waits here for the agent is on its way there."""
    RECEIVING = "receiving"
    READY = "ready"
    """Everything is here; the old home decides."""
    COMMITTED = "committed"
    """This node is the home; it runs the agent as soon as nothing more waits at the old one."""
    REFUSED = "refused"
    """This attempt, and every earlier one, will never come to anything here."""


class Verdict(StrEnum):
    """The new home's answer."""

    TAKEN = "taken"
    STALE = "stale"
    """A later attempt is known here: try again with a higher number than `HandoverAnswer.attempt`."""
    NOT_NOW = "not_now"
    """This side of a partition decides nothing."""
    NOT_YOURS = "not_yours"
    """Whoever asks is not the home any more."""
    NEVER = "never"
    """This attempt will never be committed, whatever arrives later."""


class HandoverRow(msgspec.Struct, frozen=True, kw_only=True):
    """Where one hand-over stands on one node. `epoch`: the one that the move leads to.

    `attempt` grows from one to the next. `document`: JSON of the agent's row, on the side that receives it; `pages`
    of state there are, and `modules` (SHA-256) that its versions are made of.
    """

    agent: str
    side: Side
    peer: str
    epoch: int
    attempt: int
    step: Step
    at: float
    document: bytes | None = None
    pages: int = 0
    modules: tuple[str, ...] = ()


class HandoverCall(msgspec.Struct, frozen=True):
    """A step asked of the new home: `peer.handover_begin`, `_commit`, `_abort`, `_emptied`."""

    agent: str
    epoch: int
    attempt: int
    origin: str


class HandoverPage(msgspec.Struct, frozen=True):
    """Rows of one table of the agent's state; page `number` of the attempt, from 0. Tables and columns by name."""

    agent: str
    attempt: int
    number: int
    table: str
    columns: list[str]
    rows: list[list[Any]]


class HandoverKnown(msgspec.Struct, frozen=True):
    """Messages that have ended at the old home, without their content: they are known here when they come again."""

    agent: str
    columns: list[str]
    rows: list[list[Any]]


class HandoverFinish(msgspec.Struct, frozen=True):
    """That was everything: so many pages, and the agent itself as it is stored (JSON), with its record.

    `modules`: SHA-256 and size of what its kept versions are made of.
    """

    agent: str
    epoch: int
    attempt: int
    origin: str
    pages: int
    document: bytes
    record: Record | None = None
    modules: dict[str, int] = {}


class HandoverAnswer(msgspec.Struct, frozen=True):
    """What the new home says. `attempt`: the highest that it knows of; `record`: where the agent lives now."""

    verdict: Verdict
    attempt: int = 0
    record: Record | None = None
