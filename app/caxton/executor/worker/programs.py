"""What an execution does, step by step: instantiate, initialise, hand the message over, read the answer.

Owns the two shapes of spec/abi.md. Must never block: a program polls a call once, and most end with that; a
`yield` means "it has not ended: go on when `poll` answered True".
"""

from __future__ import annotations

import base64
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import msgspec

from caxton.executor import wasi
from caxton.executor.binding.instance import Instance
from caxton.executor.guest import GuestExit, OutOfBounds
from caxton.executor.worker import recording, snapshots
from caxton.executor.worker.agent import Resident
from caxton.executor.worker.execution import DeterministicSource, Ending, Execution, Program
from caxton.executor.worker.inbox import content_bytes, message_json
from caxton.executor.worker.outbox import check_json
from caxton.protocol.agents import Profile, Shape
from caxton.protocol.errors import CaxtonError, Code

STDERR_TAIL_BYTES: Final = 2_000
_DESCRIPTOR_BYTES: Final = 65_536
START: Final = snapshots.START.encode()


def program_of(execution: Execution) -> Program:
    """The program for what the execution was asked to do."""
    if execution.kind == "start":
        return _start(execution)
    if execution.kind == "end":
        return _shutdown(execution)
    if execution.agent.spec.shape is Shape.COMMAND:
        return _command(execution)
    program = _timer(execution) if execution.timer_id is not None else _message(execution)
    border, snapshot = execution.border, execution.agent.spec.snapshot
    if border is not None:
        program = recording.followed(execution, program)
        if border.replays:
            return snapshots.checked(execution, program) if snapshot else program
    return snapshots.captured(execution, program) if snapshot else program


def _call(instance: Instance, function: Any, *arguments: int, results: int = 1) -> Generator[None, None, int]:
    instance.begin(function, *arguments, results=results)
    if not instance.poll():
        yield
    return instance.finish()


def _message(execution: Execution) -> Program:
    resident = execution.agent.resident
    if resident is None:
        resident = yield from _fresh(execution)
    else:
        _adopt(execution, resident)
        if execution.border is not None:
            yield from recording.noted(execution, resident)
    message = execution.message
    assert message is not None  # Execute always has one
    data = message_json(message)
    instance, exports = resident.instance, resident.exports
    allocate, handle = exports.get(b"caxton_alloc"), exports.get(b"handle_message")
    if allocate is None or handle is None:
        return Ending("failure", Code.AGENT_FAILED, "the module exports no caxton_alloc or no handle_message")
    instance.begin(allocate, len(data))
    if not instance.poll():
        yield
    pointer = instance.finish()
    if pointer == 0:
        execution.keep = True
        return Ending("failure", Code.MEMORY_LIMIT, f"caxton_alloc({len(data)}) answered 0: out of memory")
    try:
        instance.memory.write(pointer, data)
    except OutOfBounds:
        return Ending("failure", Code.AGENT_FAILED, f"caxton_alloc({len(data)}) answered memory that is not there")
    instance.begin(handle, pointer, len(data))
    if not instance.poll():
        yield
    status = instance.finish()
    execution.keep = True
    return Ending() if status == 0 else _returned("handle_message", status)


def _timer(execution: Execution) -> Program:
    resident = execution.agent.resident
    if resident is None:
        resident = yield from _fresh(execution)
    else:
        _adopt(execution, resident)
        if execution.border is not None:
            yield from recording.noted(execution, resident)
    handle = resident.exports.get(b"handle_timer")
    if handle is None:
        execution.keep = True
        return Ending("failure", Code.AGENT_FAILED, "the module exports no handle_timer")
    status = yield from _call(resident.instance, handle, execution.timer_id or 0)
    execution.keep = True
    return Ending() if status == 0 else _returned("handle_timer", status)


def _returned(export: str, status: int) -> Ending:
    return Ending("failure", None, f"{export} returned {status}", exit_code=status)


class InitFailed(CaxtonError):
    """`agent_init` returned a number other than 0. It exists so that `exit_code` reaches the result."""

    def __init__(self, status: int) -> None:
        super().__init__(Code.AGENT_FAILED, f"agent_init returned {status}")
        self.status = status


def _fresh(execution: Execution) -> Generator[None, None, Resident]:
    """Instantiates and initialises a reactor; `execution.resident` is it."""
    execution.starting = True
    resident = yield from _instantiate(execution, _wasi_state(execution, b"") if execution.agent.uses_wasi else None)
    border = execution.border
    if border is not None and border.before is not None:
        yield from recording.put_back(execution, resident)
        execution.starting = False
        return resident
    if execution.agent.spec.snapshot:
        if (yield from snapshots.restored(execution, resident)):
            execution.starting = False
            if border is not None:
                yield from recording.noted(execution, resident)
            return resident
        if resident.exports.get(START) is not None:
            yield from _call(resident.instance, resident.exports.get(START), results=0)
    if resident.exports.get(b"_initialize") is not None:
        yield from _call(resident.instance, resident.exports.get(b"_initialize"), results=0)
    if resident.exports.get(b"agent_init") is not None:
        execution.may_act = False
        status = yield from _call(resident.instance, resident.exports.get(b"agent_init"))
        if status != 0:
            raise InitFailed(status)
        execution.may_act = True
    execution.starting = False
    return resident


def _instantiate(execution: Execution, state: Any) -> Generator[None, None, Resident]:
    agent = execution.agent
    assert agent.template is not None  # the scheduler waits for it
    limits = agent.spec.limits
    count = agent.spec.memories
    share = limits.memory_bytes // count  # the store's limit is for each memory by itself
    instance = Instance(agent.template, memory_bytes=share, table_elements=limits.table_elements, memories=count)
    source = execution.source
    if source is None and agent.spec.profile is Profile.DETERMINISTIC:
        source = DeterministicSource()
    resident = Resident(instance, execution.incarnation, {}, state, source)
    _adopt(execution, resident)
    instance.begin_instantiate()
    if not instance.poll():
        yield
    instance.finish()
    instance.attach_memory()
    resident.exports = {name: instance.function(name) for name in agent.exports}
    return resident


def _adopt(execution: Execution, resident: Resident) -> None:
    """Makes `resident` the instance of this execution, with fresh budgets."""
    spec = execution.agent.spec
    instance = resident.instance
    instance.host = execution
    instance.calls_left = spec.limits.host_calls_per_execution
    instance.stop = None
    execution.instance = instance
    execution.resident = resident
    execution.incarnation = resident.incarnation
    execution.wasi = resident.wasi
    if spec.profile is Profile.DETERMINISTIC:
        instance.set_fuel(spec.limits.fuel)
        source: DeterministicSource = resident.source
        if source is not execution.source:
            source.begin(_now_us(execution), execution.seed)
            execution.source = source
    if resident.wasi is not None and execution.agent.resident is resident:
        resident.wasi.renew(b"", execution.source)


def _source(execution: Execution) -> DeterministicSource:
    source = DeterministicSource()
    source.begin(_now_us(execution), execution.seed)
    return source


def _now_us(execution: Execution) -> int:
    return time.time_ns() // 1000 if execution.border is None else execution.border.began_us


def _start(execution: Execution) -> Program:
    """Deployment: the instance must come up; a `command` is only linked."""
    if execution.agent.spec.shape is Shape.COMMAND:
        return Ending()
    resident = yield from _fresh(execution)
    missing = [n.decode() for n in (b"caxton_alloc", b"handle_message") if resident.exports.get(n) is None]
    if missing or resident.instance.memory.size() == 0:
        what = ", ".join(missing) or "memory"
        return Ending("failure", Code.INVALID_WASM, f"a reactor must export {what}")
    describe = resident.exports.get(b"get_capabilities")
    capabilities = None
    if describe is not None and execution.woke_seconds is None:  # a restored one stays as it was
        capabilities = yield from _capabilities(resident, describe)
    execution.keep = execution.agent.persistent
    return Ending(capabilities=capabilities)


def _capabilities(resident: Resident, describe: Any) -> Generator[None, None, bytes]:
    """The descriptor that the agent writes, as JSON text; `INVALID_MESSAGE` when it is none."""
    instance = resident.instance
    pointer = yield from _call(instance, resident.exports.get(b"caxton_alloc"), _DESCRIPTOR_BYTES)
    length = yield from _call(instance, describe, pointer, _DESCRIPTOR_BYTES)
    if not 0 <= length <= _DESCRIPTOR_BYTES:
        what = f"get_capabilities: returned {length}; 0 to {_DESCRIPTOR_BYTES} is right"
        raise CaxtonError(Code.INVALID_MESSAGE, what)
    try:
        data = instance.memory.read(pointer, length)
    except OutOfBounds:
        raise CaxtonError(Code.INVALID_MESSAGE, "get_capabilities: caxton_alloc answered no memory") from None
    return check_json(data, "get_capabilities")


def _shutdown(execution: Execution) -> Program:
    resident = execution.agent.resident
    if resident is not None and resident.exports.get(b"agent_shutdown") is not None:
        _adopt(execution, resident)
        execution.may_act = False
        yield from _call(resident.instance, resident.exports.get(b"agent_shutdown"), results=0)
    return Ending()


def _command(execution: Execution) -> Program:
    spec, message = execution.agent.spec, execution.message
    assert message is not None  # Execute always has one
    stdin = message_json(message) if spec.input == "message" else content_bytes(message)
    if spec.profile is Profile.DETERMINISTIC:
        execution.source = _source(execution)
    state = _wasi_state(execution, stdin)
    exit_code = 0
    try:
        resident = yield from _instantiate(execution, state)
        start = resident.exports.get(b"_start")
        if start is None:
            return Ending("failure", Code.INVALID_WASM, "a command must export _start")
        yield from _call(resident.instance, start, results=0)
    except GuestExit as end:
        exit_code = end.exit_code
    if exit_code:
        tail = bytes(state.stderr[-STDERR_TAIL_BYTES:]).decode("utf-8", "replace")
        return Ending("failure", None, f"exit code {exit_code}: {tail}".rstrip(": \n"), exit_code=exit_code)
    return _output(spec.output, bytes(state.stdout))


def _wasi_state(execution: Execution, stdin: bytes) -> Any:  # caxton.executor.wasi.WasiState
    agent, spec, message = execution.agent, execution.agent.spec, execution.message
    env = {**spec.env, "CAXTON_AGENT": spec.name, "CAXTON_NODE": spec.node}
    if message is not None and spec.shape is Shape.COMMAND:
        env["CAXTON_MESSAGE_ID"] = message.message_id
        env["CAXTON_CONVERSATION_ID"] = message.conversation_id
    if spec.profile is Profile.DETERMINISTIC and execution.source is None:
        execution.source = _source(execution)
    scratch: Path | None = agent.scratch.root / f"{execution.exec_id:x}" if spec.scratch else None
    return wasi.new_state(
        args=[spec.name, *spec.args],
        env=env,
        stdin=stdin,
        clocks=spec.clocks,
        random=spec.random,
        dirs=spec.dirs,
        scratch=scratch,
        scratch_bytes=spec.limits.temp_storage_bytes,
        scratch_share=agent.scratch.share,
        output_bytes=spec.limits.output_bytes,
        log_bytes=spec.limits.log_bytes,
        deterministic=execution.source,
    )


def _output(mode: str, data: bytes) -> Ending:
    """Standard output as the reply's content."""
    if mode == "bytes":
        return Ending(reply=msgspec.json.encode(base64.b64encode(data).decode()), exit_code=0)
    if mode != "text":
        try:
            return Ending(reply=check_json(data, "stdout"), exit_code=0)
        except CaxtonError as problem:
            if mode == "json":
                return Ending("failure", problem.code, problem.message, exit_code=0)
    return Ending(reply=msgspec.json.encode(data.decode("utf-8", "replace")), exit_code=0)
