"""Which deployments may have snapshots (spec/abi.md, "Snapshots").

Owns what can be told from the configuration alone; the compile jail looks at the module. Must never accept state
that would be lost without a word.
"""

from __future__ import annotations

import msgspec
from msgspec import UnsetType

from caxton.protocol.agents import AgentConfig, Instance, Limits, Profile, Shape
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.snapshots import MAX_MEMORY_BYTES, STATE


def check_snapshots(config: AgentConfig) -> None:
    """`INVALID_REQUEST` with the field that no snapshot can go with."""
    if config.state != STATE:
        if config.snapshot_from:
            raise _refused("snapshot_from", 'only an agent with state = "snapshot" has snapshots', "memory", STATE)
        return
    if config.shape is Shape.COMMAND or config.instance is Instance.PER_MESSAGE:
        found = "command" if config.shape is Shape.COMMAND else "per_message"
        raise _refused("state", "only a persistent reactor has memory to keep", found, "persistent")
    if config.profile is Profile.THREADS:
        raise _refused("state", "shared memory cannot be captured", "threads", "standard")
    if config.grants.dirs:
        raise _refused("grants.dirs", "files that are open cannot be captured", len(config.grants.dirs), [])
    if config.grants.scratch:
        raise _refused("grants.scratch", "a scratch directory cannot be captured", True, False)
    asked = config.limits.memory_bytes
    if asked is not None and asked > MAX_MEMORY_BYTES:
        raise _refused("limits.memory_bytes", "over the largest memory that is captured", asked, MAX_MEMORY_BYTES)


def can_read(config: AgentConfig, sha256: str, taken_of: str) -> bool:
    """Whether the version of this configuration and module can go on from a snapshot of the module `taken_of`."""
    more = config.snapshot_from
    return taken_of == sha256 or (not isinstance(more, UnsetType) and taken_of in more)


def check_shared(old: AgentConfig, old_sha256: str, new: AgentConfig, new_sha256: str) -> None:
    """Versions that take turns on one agent have one memory: `INVALID_REQUEST` unless each can read the other's."""
    if STATE not in (old.state, new.state):
        return
    if old.state != new.state:
        raise _refused(
            "state", "two versions at once cannot keep the agent's memory in two ways", new.state, old.state
        )
    if not (can_read(old, old_sha256, new_sha256) and can_read(new, new_sha256, old_sha256)):
        reason = "in a canary each version must be able to read the other's snapshots; use rolling or blue_green"
        raise _refused("snapshot_from", reason, [], [old_sha256, new_sha256])


def bounded(config: AgentConfig, node_bytes: int) -> Limits:
    """The limits asked for; a memory that is captured has a default of its own, at most the node's."""
    limits = config.limits
    if config.state != STATE or limits.memory_bytes is not None:
        return limits
    return msgspec.structs.replace(limits, memory_bytes=min(MAX_MEMORY_BYTES, node_bytes))


def _refused(path: str, reason: str, found: object, expected: object) -> CaxtonError:
    return CaxtonError(
        Code.INVALID_REQUEST,
        f'{path}: {reason} (state = "snapshot", found {found!r})',
        path=path,
        found=found,
        expected=expected,
    )
