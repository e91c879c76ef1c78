"""Frames between the router and the executor's supervisor, and between supervisor and worker.

Owns the vocabulary of processes and modules: prepare, worker up, worker down. Must never carry a
message: those go over each worker's own socket. Where a frame names a descriptor, it travels beside the
frame as SCM_RIGHTS on the same `sendmsg`.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from caxton.protocol.agents import ModuleInfo, Profile
from caxton.protocol.errors import ErrorBody


class Reach(IntEnum):
    """Which files a worker can touch at all, whatever runs in it. Agents run where their grants reach."""

    NOTHING = 0
    SCRATCH = 1
    """Its own scratch directories."""
    GRANTED = 2
    """Also `[runtime] shareable_dirs`."""


# ---- router → supervisor ---------------------------------------------------------------------------


class Hello(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """First frame of a router. The supervisor ends every worker of an earlier router, then starts new ones."""

    node: str
    workers: int
    reach: Reach = Reach.NOTHING
    """Of the standing pool; only a desk of one agent has it reach more."""


class Prepare(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Compile a module unless its artifact is cached. The module file travels as one read-only descriptor."""

    request_id: int
    sha256: str
    profile: Profile
    snapshot: bool = False
    """Rewrite it first, so that all state of an instance can be captured; refused where that is impossible."""


class SpawnWorker(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Start a worker of its own: for an agent that forced a kill or has files, or for a namespace."""

    tag: str
    reach: Reach = Reach.NOTHING


class KillWorker(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """SIGKILL this worker; `WorkerDown` follows."""

    worker_id: int


class RecycleWorker(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """End this worker (the router has drained it) and start another of its tag, unless `replace` is off."""

    worker_id: int
    replace: bool = True


class ReplaceWorker(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """Start another of this worker's tag in its place. The worker itself lives on until the router lets it go."""

    worker_id: int


ToSupervisor = Hello | Prepare | SpawnWorker | KillWorker | RecycleWorker | ReplaceWorker

# ---- supervisor → router ---------------------------------------------------------------------------


class Progress(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Compilation goes on; CPU seconds used so far."""

    request_id: int
    cpu_seconds: float


class Prepared(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """The artifact is in the cache (`cached`: it already was), or `error` says why not."""

    request_id: int
    info: ModuleInfo | None
    cached: bool = False
    error: ErrorBody | None = None


class WorkerUp(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """A worker is ready; its end of the router's socket pair travels as a descriptor."""

    worker_id: int
    pid: int
    tag: str
    version: str = ""
    """Of the software that the executor runs."""


class WorkerDown(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """A worker ended. `culprit` is the execution that held it too long or was on it when it crashed.

    `reason`: `killed_timeout`, `killed_silent` (stuck outside of any execution), `killed_syscall`
    (asked the kernel for what its filter forbids), `crashed`, `recycled`, `killed`.
    A worker of the standing pool (`tag` "")
    is replaced by the supervisor at once (with back-off when it crashes early).
    """

    worker_id: int
    tag: str
    reason: str
    culprit: int | None
    status: int


FromSupervisor = Progress | Prepared | WorkerUp | WorkerDown

# ---- worker ↔ supervisor ---------------------------------------------------------------------------


class Fetch(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Worker → supervisor: the verified artifact of a module, please."""

    sha256: str
    profile: Profile
    snapshot: bool = False


class Artifact(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Supervisor → worker: a sealed memfd with the artifact travels as a descriptor, or `missing` is set."""

    sha256: str
    profile: Profile
    missing: bool = False
    snapshot: bool = False


class Ready(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Worker → supervisor: self-check passed (struct sizes, known answer); or `error` says what differs."""

    pid: int
    error: str | None = None
