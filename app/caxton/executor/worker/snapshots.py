"""Captures an instance after its execution, and makes a fresh one what its agent's snapshot says.

Owns what a snapshot is on the worker's side (spec/abi.md, "Snapshots"). Must never capture a guest that runs or
waits, nor let an execution end as handled whose state could not be captured.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Final

import msgspec

from caxton.executor import wasi
from caxton.executor.binding.image import Image as MemoryImage
from caxton.executor.inspect.capture import START
from caxton.executor.worker.agent import Captured, Resident
from caxton.executor.worker.execution import Ask, Ending, Execution, Program
from caxton.executor.worker.hostcalls import NOT_FOUND
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.memory_parts import runs_of
from caxton.protocol.snapshots import PART_BYTES, RESTORE, Image, Snapshot

__all__ = ["START", "captured", "checked", "restored"]

_STEP_BYTES: Final = 4 * 1024 * 1024
"""Compared in one turn: about half a millisecond."""
_images: Final = msgspec.msgpack.Decoder(Image)


def captured(execution: Execution, program: Program) -> Program:
    """`program`, then what it changed as `execution.snapshot`; an instance that does not stay is not looked at."""
    ending: Ending = yield from checked(execution, program)
    resident = execution.resident
    if execution.keep and resident is not None:
        execution.keep = False
        yield from _capture(execution, resident)
        execution.keep = True
    return ending


def checked(execution: Execution, program: Program) -> Program:
    """`program`, then `SNAPSHOT_REFUSED` for an instance that stays and cannot be captured. A replay does no more."""
    ending: Ending = yield from program
    if execution.keep and execution.resident is not None:
        execution.keep = False
        _require_capturable(execution.resident)
        execution.keep = True
    return ending


def restored(execution: Execution, resident: Resident) -> Generator[None, None, bool]:
    """Makes the fresh `resident` what the agent's snapshot says; False when there is none.

    `SNAPSHOT_REFUSED` when there is one that this instance cannot take.
    """
    began = time.monotonic()
    agent = execution.agent
    image = MemoryImage(resident.instance.memory, agent.spec.limits.memory_bytes)
    resident.captured = state = Captured(image, resident.instance.variables(agent.variables))
    part = 0
    while True:
        found = yield from _part(execution, part)
        if found is None:
            return False
        if part == 0 and not resident.instance.memory.grow_to(found.memory_bytes):
            raise _refused(f"its memory has {found.memory_bytes} bytes; {agent.spec.limits.memory_bytes} are allowed")
        for offset, data in runs_of(part, found.data, found.blocks):
            image.put(offset, data)
        size = resident.instance.memory.size()
        image.write_back(part * PART_BYTES, min((part + 1) * PART_BYTES, size))
        part += 1
        if part * PART_BYTES >= size:
            break
    if not state.variables.load(found.globals):
        raise _refused("its globals are not those of the module")
    state.memory_bytes, state.globals, state.whole = size, found.globals, False
    resident.incarnation = execution.incarnation = found.incarnation
    execution.woke_seconds = time.monotonic() - began
    return True


def _part(execution: Execution, part: int) -> Generator[None, None, Image | None]:
    """One part of the snapshot from the router."""
    answers: list[tuple[int, bytes]] = []

    def finish(status: int, data: bytes) -> int:
        answers.append((status, data))
        return 0

    execution.waiting = Ask(RESTORE, str(part), None, finish)
    yield
    status, data = answers[0]
    if status == NOT_FOUND:
        return None
    if status < 0:
        raise _refused("it could not be read; the node's log says why")
    return _images.decode(data)


def _capture(execution: Execution, resident: Resident) -> Generator[None, None, None]:
    state = resident.captured
    assert state is not None  # made with the instance
    size = resident.instance.memory.size()
    blocks: list[tuple[int, bytes]] = []
    for start in range(0, size, _STEP_BYTES):
        if start:
            yield
        blocks += state.image.take(start, min(start + _STEP_BYTES, size))
    bits = state.variables.dump()
    if state.whole or blocks or bits != state.globals or size != state.memory_bytes:
        execution.snapshot = Snapshot(size, bits, blocks, state.whole)
    state.memory_bytes, state.globals, state.whole = size, bits, False


def _require_capturable(resident: Resident) -> None:
    """What a guest holds outside of its memory would be lost: better it fails than that."""
    if resident.wasi is not None and (held := wasi.held_by(resident.wasi)) is not None:
        raise _refused(f"after this execution {held}, which no snapshot can hold")


def _refused(why: str) -> CaxtonError:
    return CaxtonError(Code.SNAPSHOT_REFUSED, f'state = "snapshot": {why}')
