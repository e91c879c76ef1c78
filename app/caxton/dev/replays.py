"""Replays of recorded executions on an executor of their own.

Owns the way from a recording to what a module made of it. Must never touch a node.
"""

from __future__ import annotations

import hashlib

import msgspec

from caxton.dev.bounds import bounded
from caxton.dev.comparing import Difference, differences
from caxton.dev.desk import Desk
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import AgentSpec
from caxton.protocol.recordings import Call, Recording

_BY_THE_CLOCK = frozenset({Code.EXECUTION_TIMEOUT, Code.CPU_LIMIT})


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One execution, run again. `same`: nothing differs. `host_call`: the first that differs, by its number.

    `remarks`: why it may differ although the module is right. Times in seconds, memory in bytes; before and after.
    """

    execution: str
    agent: str
    version: int
    same: bool
    differences: list[Difference]
    host_call: int | None = None
    recorded_call: str | None = None
    replayed_call: str | None = None
    remarks: list[str] = []
    seconds: tuple[float, float]
    fuel: tuple[int | None, int | None]
    memory: tuple[int, int]


async def replayed(at: Desk, execution: str, recording: Recording, module: bytes) -> Replayed:
    """Runs it with `module`. With its own it must do the same to the bit; with another only what others see counts.

    `CONFLICT` for a recording that lacks what its own module would go on from.
    """
    spec = recording.spec
    own = sha256_of(module) == spec.module_sha256
    if own and recording.lacks is not None:
        raise CaxtonError(Code.CONFLICT, f"{execution} cannot be replayed: {recording.lacks}", execution=execution)
    again, remarks = await run(at, recording, module, spec, with_memory=own)
    found = compared(execution, recording, again, inside=own)
    return msgspec.structs.replace(found, remarks=_remarks(recording, again, own=own) + remarks)


async def run(
    at: Desk, recording: Recording, module: bytes, spec: AgentSpec, *, with_memory: bool
) -> tuple[Recording, list[str]]:
    """What `module`, as an agent like `spec`, makes of it; and where this machine's limits took its own's place."""
    fit, remarks = bounded(msgspec.structs.replace(spec, module_sha256=sha256_of(module)), at.config)
    await at.load(module, fit)
    return await at.replay(recording, with_memory=with_memory), remarks


def compared(execution: str, before: Recording, after: Recording, *, inside: bool) -> Replayed:
    """Two runs side by side. `inside`: of one module, that has to do the same to the bit."""
    found, diverged = differences(before, after, inside=inside), after.diverged
    return Replayed(
        execution=execution,
        agent=before.spec.name,
        version=before.spec.version,
        same=not found and (diverged is None or not inside),
        differences=found,
        host_call=diverged.number if diverged else None,
        recorded_call=_shown(diverged.recorded) if diverged else None,
        replayed_call=_shown(diverged.found) if diverged else None,
        seconds=(before.ended.usage.duration_seconds, after.ended.usage.duration_seconds),
        fuel=(before.ended.usage.fuel, after.ended.usage.fuel),
        memory=(before.ended.usage.peak_memory_bytes, after.ended.usage.peak_memory_bytes),
    )


def sha256_of(module: bytes) -> str:
    """As agents name their modules."""
    return hashlib.sha256(module).hexdigest()


def _remarks(recording: Recording, again: Recording, *, own: bool) -> list[str]:
    found = [f"the secret {name!r} is masked: what depends on its value may differ" for name in recording.masked]
    if recording.ended.code in _BY_THE_CLOCK:
        found.append(f"it ended by the clock ({recording.ended.code}), and no clock runs twice alike")
    if own and recording.before is not None and recording.before.globals is None:
        found.append('globals are those of a fresh instance; with state = "snapshot" they would be recorded')
    if not own and (recording.before is not None or recording.lacks):
        found.append("another module cannot go on from the recorded memory: it began with a fresh one")
    if recording.engine != again.engine:
        found.append(f"recorded with wasmtime {recording.engine}, replayed with {again.engine}")
    return found


def _shown(call: Call | None) -> str | None:
    if call is None:
        return None
    given = call.given.decode("utf-8", "backslashreplace")
    return " ".join(part for part in (call.kind, call.what, given[:200]) if part)
