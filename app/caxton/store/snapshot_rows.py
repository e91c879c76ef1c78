"""Snapshots of agents as the router hands them to the store and gets them back.

Owns plain typed values only. Must never hold a connection or know SQL. Times are seconds since the
epoch, sizes bytes.
"""

from __future__ import annotations

import msgspec

from caxton.protocol.snapshots import Snapshot


class SnapshotRow(msgspec.Struct, frozen=True, gc=False):
    """What one execution changed in its agent's memory."""

    agent: str
    agent_id: str
    module_sha256: str
    incarnation: int
    taken_at: float
    wakes: int
    change: Snapshot


class SnapshotFold(msgspec.Struct, frozen=True, gc=False):
    """A part with its blocks folded in, compressed. Applies only while the snapshot is the one that was read."""

    agent: str
    agent_id: str
    generation: int
    part: int
    data: bytes


class SnapshotInfo(msgspec.Struct, frozen=True, gc=False):
    """What is known of an agent's snapshot without its memory."""

    agent: str
    agent_id: str
    module_sha256: str
    incarnation: int
    generation: int
    taken_at: float
    memory_bytes: int
    globals: bytes
    wakes: int
    known: int = 0
    """No instance up to this incarnation did anything that the snapshot lacks."""


class SnapshotPart(msgspec.Struct, frozen=True, gc=False):
    """One part of a stored memory: `data` compressed (empty = zero), `blocks` by number in front of it."""

    info: SnapshotInfo
    data: bytes
    blocks: list[tuple[int, bytes]]
