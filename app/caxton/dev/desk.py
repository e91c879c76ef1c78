"""One agent on a private executor: deployed, given messages one after the other.

Owns what a router would do for it: the checks of a deployment, the life of its instance. Must never
deliver to another agent: there is none, and who asks one is told `UNAVAILABLE`.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Final

import msgspec

from caxton.config import Config
from caxton.dev.engine import Engine, engine
from caxton.dev.kept import Kept
from caxton.dev.report import Report, report_of
from caxton.protocol.agents import AgentConfig, EffectiveLimits, Shape
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import (
    AgentSpec,
    End,
    Execute,
    HostCall,
    HostReply,
    Load,
    Replay,
    Result,
    RouterFrame,
    Start,
    Usage,
    WorkerFrame,
)
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Message
from caxton.protocol.recordings import Recording, pack, unpack
from caxton.protocol.snapshots import RESTORE, STATE
from caxton.router import admission
from caxton.router import agents as deployed
from caxton.router.tenancy import spec_of

UNAVAILABLE: Final = -6
NOT_FOUND: Final = -4
SEED: Final = 1
"""Of profile `deterministic`: the same run gives the same numbers."""
_MOST_LOADED: Final = 8
"""Versions at once, to be replayed in turn."""


class Agent(msgspec.Struct, frozen=True):
    """An agent that was taken: its shape and the limits in force."""

    name: str
    shape: Shape
    limits: EffectiveLimits


class Desk:
    """Takes one agent at a time; every other way to use it is wrong."""

    def __init__(self, machine: Engine, secrets: Mapping[str, bytes]) -> None:
        self._machine = machine
        self._secrets = secrets
        self._numbers = count(1)
        self._handle = 0
        self._spec: AgentSpec | None = None
        self._loaded: OrderedDict[bytes, int] = OrderedDict()
        """Handles of what was loaded to be replayed, by its encoded `AgentSpec`."""
        self._loaded_on: dict[int, int] = {}
        """Handle → the worker that knows it."""
        self._incarnation = 0
        self._kept = Kept(0)
        self._asked: list[Message] = []
        self._running: tuple[int, asyncio.Future[Result]] | None = None
        machine.received, machine.lost = self._received, self._lost

    @property
    def config(self) -> Config:
        """The node's configuration whose limits count."""
        return self._machine.config

    @property
    def max_message_bytes(self) -> int:
        """How large a message may be."""
        return self._machine.config.messaging.max_message_size

    async def deploy(self, module: bytes, config: AgentConfig) -> Agent:
        """Compiles, checks and starts it, as a deployment would; raises its refusal. Keys begin empty."""
        node = self._machine.config
        limits = admission.check_config(config, node)
        admission.check_module_size(len(module))
        info = await self._machine.prepare(module, config.profile, snapshot=config.state == STATE)
        admission.check_module(config, limits, info)
        instance = admission.instance_of(config, info.shape)
        agent = deployed.Agent(config.name, new_id(), 1, config, info, limits, info.shape, instance, 1, time.time())
        if self._handle:
            self._loaded_on.pop(self._handle, None)
            self._machine.send(End(self._handle, orderly=False, forget=True))
        self._handle, self._incarnation = next(self._numbers), 0
        self._spec, self._kept = spec_of(agent, node), Kept(limits.state_bytes)
        result = await self._run(lambda number: Start(number, self._handle, self._incarnation + 1))
        self._kept.commit(result)
        if result.status != "ok":
            code = Code(result.code) if result.code in set(Code) else Code.AGENT_FAILED
            detail = result.detail or "the agent could not be started"
            raise CaxtonError(code, detail, exit_code=result.exit_code)
        return Agent(config.name, info.shape, limits)

    async def run(self, message: Message) -> Report:
        """Runs one message to its end."""
        body = msgspec.msgpack.encode(message)
        self._asked = []
        began = time.time()
        result = await self._run(
            lambda number: Execute(number, self._handle, self._incarnation + 1, body, None, SEED)
        )
        return report_of(result, self._asked, began, self._kept.commit(result))

    async def load(self, module: bytes, spec: AgentSpec) -> None:
        """Makes an agent known that ran elsewhere, as it was there; `replay` is all that it can do."""
        key = msgspec.msgpack.encode(spec)
        if key not in self._loaded:
            await self._machine.prepare(module, spec.profile, snapshot=spec.snapshot)
            self._loaded[key] = next(self._numbers)
        self._loaded.move_to_end(key)
        if len(self._loaded) > _MOST_LOADED:
            _, oldest = self._loaded.popitem(last=False)
            self._loaded_on.pop(oldest, None)
            self._machine.send(End(oldest, orderly=False, forget=True))
        self._handle, self._spec = self._loaded[key], spec

    async def replay(self, recording: Recording, *, with_memory: bool = True) -> Recording:
        """Runs a recorded execution again: nobody is asked for anything, nothing is kept.

        Without `with_memory` the instance is a fresh one: no other module could go on from that memory.
        `CONFLICT` when it left no trace.
        """
        packed = pack(recording)
        assert packed is not None  # it came packed
        result = await self._run(lambda number: Replay(number, self._handle, packed, with_memory))
        if result.recording is None:
            raise CaxtonError(Code.CONFLICT, f"the replay left nothing to compare: {result.detail or result.status}")
        return await asyncio.to_thread(unpack, result.recording)

    async def _run(self, frame_of: Callable[[int], RouterFrame]) -> Result:
        assert self._spec is not None
        worker = await self._machine.ready()
        if self._loaded_on.get(self._handle) != worker:
            self._machine.send(Load(self._handle, self._spec))
            self._loaded_on[self._handle] = worker
        number = next(self._numbers)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._running = (number, future)
        self._machine.send(frame_of(number))
        result = await future
        self._incarnation = max(self._incarnation, result.incarnation)
        return result

    def _received(self, frame: WorkerFrame) -> None:
        if isinstance(frame, HostCall):
            self._called(frame)
        elif isinstance(frame, Result) and self._running is not None and self._running[0] == frame.exec_id:
            self._finish(frame)

    def _called(self, call: HostCall) -> None:
        """Answers what only a router knows; what needs other agents or the world is not there."""
        if call.kind == RESTORE:
            image = self._kept.part(int(call.key or 0))
            found = None if image is None else msgspec.msgpack.encode(image)
        elif call.kind == "load" and call.key is not None:
            found = self._kept.load(call.key)
        elif call.kind == "secret" and call.key is not None:
            found = self._secrets.get(call.key)
        else:
            if call.message is not None:
                self._asked.append(call.message)
            self._machine.send(HostReply(call.exec_id, call.call_id, UNAVAILABLE))
            return
        status = NOT_FOUND if found is None else 0
        self._machine.send(HostReply(call.exec_id, call.call_id, status, found or b""))

    def _lost(self, reason: str) -> None:
        if self._running is None:
            return
        timed_out = reason in ("killed_timeout", "killed_silent")
        code = Code.EXECUTION_TIMEOUT if timed_out else Code.AGENT_FAILED
        detail = "held its worker past every limit and was killed" if timed_out else "its worker crashed"
        usage, dead = Usage(0.0, 0.0, 0), self._incarnation + 1  # the instance that died may have had this number
        self._finish(Result(self._running[0], "error", usage, dead, code=code, detail=detail))

    def _finish(self, result: Result) -> None:
        assert self._running is not None
        _, future = self._running
        self._running = None
        if not future.done():
            future.set_result(result)


@asynccontextmanager
async def desk(
    file: Path | None, environ: Mapping[str, str], secrets: Mapping[str, bytes] | None = None
) -> AsyncIterator[Desk]:
    """A desk with the limits and features of the node's configuration `file` (None: where a node would look).

    `secrets`: what agents with the grant get by name.
    """
    async with engine(file, environ) as machine:
        yield Desk(machine, secrets or {})
