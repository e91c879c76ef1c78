"""From an execution to its recording, and from a recording to the instance that replays it.

Owns what of a guest's memory goes into a recording and comes out of it. Must never run a guest, nor change what an
execution that is recorded does.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Generator
from importlib.metadata import version
from typing import Final

from caxton.executor import wasi
from caxton.executor.binding.instance import UNLIMITED_FUEL
from caxton.executor.worker.agent import Resident
from caxton.executor.worker.border import Border
from caxton.executor.worker.execution import Ending, Execution, Program
from caxton.protocol.agents import Profile
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import Result
from caxton.protocol.recordings import (
    FORMAT,
    LEVEL,
    MAX_BYTES,
    MAX_PACKED_BYTES,
    Ended,
    Memory,
    Recording,
    pack,
)
from caxton.protocol.snapshots import BLOCK_BYTES, MAX_MEMORY_BYTES

_STEP_BYTES: Final = 4 * 1024 * 1024
_SAMPLED: Final = 16
"""One block in so many tells how far a memory shrinks."""
_ZERO: Final = bytes(BLOCK_BYTES)
_ENGINE: Final = version("wasmtime")


def border_of(execution: Execution) -> Border:
    """The border of an execution that is recorded or replayed."""
    border: Border = execution.border
    return border


def noted(execution: Execution, resident: Resident) -> Generator[None, None, None]:
    """Notes the memory of a warm or restored instance before its guest runs; or why that cannot be."""
    border = border_of(execution)
    border.lacks = _unfit(execution, resident)
    border.knows_secret = bool(execution.agent.spec.secrets)  # an earlier execution may have left one in the memory
    if border.lacks is not None:
        return
    execution.measure()
    memory = resident.instance.memory
    size = memory.size()
    blocks: list[tuple[int, bytes]] = []
    sample, packed = zlib.compressobj(LEVEL) if size > MAX_PACKED_BYTES else None, 0
    for start in range(0, size, _STEP_BYTES):
        if start:
            yield
        found = _not_zero(start, memory.read(start, min(_STEP_BYTES, size - start)))
        blocks += found
        if sample is not None:  # to compress all of it, only to drop it, would hold up every other guest
            packed += _SAMPLED * len(sample.compress(b"".join(data for _, data in found[::_SAMPLED])))
        if packed > MAX_PACKED_BYTES:
            border.lacks = f"its memory is larger than {MAX_PACKED_BYTES} bytes when it is compressed"
            return
    before = Memory(size, blocks, _globals(execution, resident), execution.fuel_used or 0, execution.host_calls)
    border.note(before)


def _not_zero(start: int, data: bytes) -> list[tuple[int, bytes]]:
    """Blocks with something in them, by their number; `data` lies at `start`.

    Most of most memories is zero: to look takes a sixth of what hashing it takes (tests/bench/recordings.py).
    """
    found = (at for at in range(0, len(data), BLOCK_BYTES) if not data.startswith(_ZERO, at))
    return [((start + at) // BLOCK_BYTES, data[at : at + BLOCK_BYTES]) for at in found]


def _unfit(execution: Execution, resident: Resident) -> str | None:
    spec = execution.agent.spec
    if spec.secrets:
        return "the memory of an instance that may hold secrets is not kept"
    if spec.memories > 1:
        return "a module with several memories has more than can be kept"
    if resident.instance.memory.size() > MAX_MEMORY_BYTES:
        return f"its memory is larger than {MAX_MEMORY_BYTES} bytes"
    held = None if resident.wasi is None else wasi.held_by(resident.wasi)
    return None if held is None else f"before it {held}"


def put_back(execution: Execution, resident: Resident) -> Generator[None, None, None]:
    """Makes a fresh instance what the recorded one was before its execution."""
    before = border_of(execution).before
    assert before is not None  # the caller looked
    instance = resident.instance
    if not instance.memory.grow_to(before.size):
        raise CaxtonError(Code.MEMORY_LIMIT, f"the recorded memory has {before.size} bytes; this instance may not")
    blocks = dict(before.blocks)
    for start in range(0, before.size, _STEP_BYTES):
        if start:
            yield
        for at in range(start, min(start + _STEP_BYTES, before.size), BLOCK_BYTES):
            instance.memory.write(at, blocks.get(at // BLOCK_BYTES, _ZERO))
    if before.globals is not None:
        instance.variables(execution.agent.variables).load(before.globals)
    limits = execution.agent.spec.limits
    instance.calls_left = limits.host_calls_per_execution - before.calls_made
    if execution.agent.spec.profile is Profile.DETERMINISTIC:
        instance.set_fuel((limits.fuel or UNLIMITED_FUEL) - before.fuel_used)
    resident.incarnation = execution.incarnation


def followed(execution: Execution, program: Program) -> Program:
    """`program`, then a digest of what it made of the instance that stays; of a secret none, it could be guessed."""
    ending: Ending = yield from program
    resident = execution.resident
    if border_of(execution).knows_secret:
        return ending
    if execution.keep and resident is not None and resident.instance.memory.size() <= MAX_MEMORY_BYTES:
        execution.keep = False
        memory = resident.instance.memory
        size = memory.size()
        digest = hashlib.sha256(size.to_bytes(8, "little"))
        for start in range(0, size, _STEP_BYTES):
            yield
            for number, block in _not_zero(start, memory.read(start, min(_STEP_BYTES, size - start))):
                digest.update(number.to_bytes(4, "little"))
                digest.update(block)
        digest.update(_globals(execution, resident) or b"")
        border_of(execution).digest = digest.hexdigest()
        execution.keep = True
    return ending


def _globals(execution: Execution, resident: Resident) -> bytes | None:
    agent = execution.agent
    return resident.instance.variables(agent.variables).dump() if agent.spec.snapshot else None


def recorded(execution: Execution, result: Result) -> bytes | None:
    """The recording, packed; None when it is too large, and for what ended before it began. Of a replay, which nobody
    keeps, it may be larger.
    """
    border, message = border_of(execution), execution.message
    border.finish()
    if border.full or message is None or result.status in ("cancelled", "unknown_handle"):
        return None
    return pack(
        Recording(
            FORMAT,
            execution.agent.spec,
            message,
            result.incarnation,
            border.began_us,
            execution.seed,
            execution.first_timer_id,
            _ended(result, border.digest),
            _ENGINE,
            execution.timer_id,
            border.noted,
            border.calls,
            border.lacks,
            border.diverged,
            border.unanswered,
        ),
        MAX_BYTES if border.replays else MAX_PACKED_BYTES,
    )


def _ended(result: Result, digest: str | None) -> Ended:
    return Ended(
        result.status,
        result.usage,
        result.code,
        result.detail,
        result.backtrace,
        result.exit_code,
        result.reply,
        [sent.message for sent in result.sent if not sent.is_reply],
        result.writes,
        result.timers_set,
        result.timers_cancelled,
        result.topics,
        result.logs,
        digest,
        next((sent.message.performative for sent in result.sent if sent.is_reply), None),
    )
