"""From an ending to the `Result` frame: effects collected, exceptions given their codes.

Owns which code a guest's end gets (spec/abi.md, "Limits"). Must never run a guest.
"""

from __future__ import annotations

from typing import Final

import msgspec

from caxton.executor.binding.traps import GuestTrap, TrapCode
from caxton.executor.guest import GuestExit, StopGuest
from caxton.executor.worker.execution import Ending, Execution
from caxton.executor.worker.outbox import collect, final_writes
from caxton.executor.worker.programs import InitFailed
from caxton.executor.worker.recording import recorded
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import Result, Sent, Usage

_NEARLY_FULL: Final = 15 / 16
_MEMORY_REFUSED: Final = "exceeds memory limits"


def ending_of(execution: Execution, problem: BaseException) -> Ending:
    """How an execution ended that was stopped by `problem`."""
    match problem:
        case StopGuest():
            return Ending("error", problem.code, problem.detail)
        case GuestExit():
            return Ending("error", Code.AGENT_FAILED, f"proc_exit({problem.exit_code})", exit_code=problem.exit_code)
        case GuestTrap():
            return Ending("error", _trap_code(execution, problem), problem.detail, problem.backtrace)
        case InitFailed():
            status = "failure" if execution.kind == "start" else "error"
            return Ending(status, problem.code, problem.message, exit_code=problem.status)
        case CaxtonError():
            status = "failure" if problem.code is Code.INVALID_MESSAGE else "error"
            return Ending(status, problem.code, problem.message)
        case _:
            return Ending("error", Code.INTERNAL_ERROR, f"{type(problem).__name__}: {problem}"[:500])


def _trap_code(execution: Execution, trap: GuestTrap) -> Code:
    if trap.code == TrapCode.STACK_OVERFLOW:
        return Code.STACK_OVERFLOW
    if trap.code == TrapCode.OUT_OF_FUEL:
        return Code.FUEL_EXHAUSTED
    if trap.code is None and _MEMORY_REFUSED in trap.detail:
        return Code.MEMORY_LIMIT
    # wasmtime does not tell that it refused to grow a memory; a guest that aborts with its memory full did.
    limit = execution.agent.spec.limits.memory_bytes
    if trap.code == TrapCode.UNREACHABLE and execution.peak_memory >= limit * _NEARLY_FULL:
        return Code.MEMORY_LIMIT
    return Code.AGENT_FAILED


def build_result(execution: Execution, ending: Ending, *, resident: bool) -> Result:
    """The `Result`; effects only when the guest handled its message and everything it handed over is sound."""
    sent: list[Sent] = []
    writes: list[tuple[str, bytes | None]] = []
    if ending.status == "ok":
        try:
            sent = collect(execution) if execution.handed else sent
            writes = final_writes(execution) if execution.writes else writes
        except CaxtonError as problem:
            ending = Ending("failure", problem.code, problem.message)
    acted = ending.status == "ok"
    reply = ending.reply
    if acted and reply is None:
        for item in sent:
            if item.is_reply:
                reply = item.message.content
                break
    result = Result(
        execution.exec_id,
        ending.status,
        usage_of(execution),
        execution.incarnation,
        resident,
        ending.code,
        ending.detail,
        ending.backtrace,
        ending.exit_code,
        reply if acted else None,
        sent if acted else [],
        writes if acted else [],
        list(execution.timers_set.values()) if acted else [],
        execution.timers_cancelled if acted else [],
        execution.logs,
        execution.logs_dropped,
        ending.capabilities,
        execution.snapshot if ending.status in ("ok", "failure") else None,
        execution.woke_seconds,
        execution.starting and ending.status == "error",
        execution.topics if acted else [],
    )
    if execution.border is None:
        return result
    return msgspec.structs.replace(result, recording=recorded(execution, result))


def usage_of(execution: Execution) -> Usage:
    """What it used; `output_bytes` is what a command wrote to standard output, as its limit counts it."""
    return Usage(
        execution.wall,
        execution.cpu,
        execution.peak_memory,
        execution.fuel_used,
        execution.host_calls,
        len(execution.wasi.stdout) if execution.wasi is not None else 0,
    )


def gather_output(execution: Execution) -> None:
    """Moves what the guest wrote to its standard streams into the log; a command's stdout is its reply."""
    state = execution.wasi
    if state is None:
        return
    streams = [("stderr", state.stderr)]
    if execution.agent.persistent or execution.agent.spec.shape.value == "reactor":
        streams.append(("log", state.stdout))
    for stream, data in streams:
        if data:
            for line in bytes(data).splitlines():
                execution.log(stream, line)
            data.clear()
    execution.logs_dropped += state.log_dropped
    state.log_dropped = 0
