"""Snapshots of persistent instances as they cross between worker and router (spec/abi.md, "Snapshots").

Owns the shape of what is captured after an execution and of what a restored instance is made from. Must never
know how either is stored.
"""

from __future__ import annotations

from typing import Final

import msgspec

from caxton.protocol.agents import MEBI

STATE: Final = "snapshot"
"""`AgentConfig.state` of an agent whose memory is committed with its executions."""
MAX_MEMORY_BYTES: Final = 64 * MEBI
"""The largest memory of such an agent: all of it is compared after every execution (0.1 ms a MiB), and may
have to go into one transaction."""
BLOCK_BYTES: Final = 4_096
"""What is compared and stored as one: a page of the database, too."""
PART_BYTES: Final = MEBI
"""A restored memory travels in parts of this size, a call each; idle ones are stored compressed by part."""
RESTORE: Final = "restore"
"""`HostCall.kind` by which a fresh instance asks for part `key` of its agent's snapshot."""


class Snapshot(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What an execution changed. Blocks by number, `BLOCK_BYTES` each (the last may be all zero).

    `whole`: nothing of an earlier snapshot is part of it; blocks that are not named are zero. `globals`: all
    mutable globals in the order of their index, each a kind byte and its bits, little-endian.
    """

    memory_bytes: int
    globals: bytes
    blocks: list[tuple[int, bytes]]
    whole: bool = False


class Image(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One part of a snapshot as it is stored: `data` compressed (empty = zero), `blocks` by number in front of it.

    It is taken apart by whoever restores (`caxton.protocol.memory_parts`): compressed it is sooner there.
    """

    incarnation: int
    memory_bytes: int
    globals: bytes
    data: bytes
    blocks: list[tuple[int, bytes]]
