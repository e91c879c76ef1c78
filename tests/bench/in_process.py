"""The worker's own code in this process: an instance by itself, and a scheduler without sockets.

Owns how benchmarks drive them. Must never do a part of the worker's work itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from wasmtime import Module, wat2wasm

from bench.peers.bare import Bare
from caxton.executor.binding.host import HostFunctions
from caxton.executor.binding.instance import Instance, make_template
from caxton.executor.binding.stacks import use_pool
from caxton.executor.engine import make_engine
from caxton.executor.pulse import Pulse, create_pulse
from caxton.executor.settings import WorkerSettings
from caxton.executor.wasi import ScratchShare
from caxton.executor.worker.__main__ import settle_gc
from caxton.executor.worker.agent import Agent, Scratch, make_agent
from caxton.executor.worker.execution import Execution
from caxton.executor.worker.imports import functions
from caxton.executor.worker.modules import entry_points
from caxton.executor.worker.scheduler import Scheduler
from caxton.protocol.agents import EffectiveLimits, Profile, Shape
from caxton.protocol.agents import Instance as Lifetime
from caxton.protocol.execution import AgentSpec
from caxton.protocol.frames import encode_frame
from caxton.protocol.messages import Message
from support.wat import ECHO
from support.worker_harness import STACK_BYTES

_MESSAGES: Final = msgspec.msgpack.Decoder(Message)
_NOWHERE: Final = "/nonexistent"


class _Sink:
    """Where results end: encoded, like in the worker's channel, and counted."""

    def __init__(self) -> None:
        self.taken = 0

    def send(self, frame: msgspec.Struct) -> None:
        """One frame."""
        self.taken += len(encode_frame(frame))


class InProcess:
    """One engine and one echo module, to be called through our code or bare."""

    def __init__(self) -> None:
        self._engine = make_engine(Profile.STANDARD, STACK_BYTES, (), use_pool)
        self._module = Module(self._engine, bytes(wat2wasm(ECHO)))
        self._hosts = HostFunctions(functions(checked_send=False, files=False))
        self._linker = self._hosts.linker(self._engine)
        self._template = make_template(self._engine, self._linker.instantiate_pre(self._module), uses_fuel=False)
        self._sink = _Sink()
        settings = WorkerSettings(1, "", "node1", 0, 0, 0, STACK_BYTES, [], _NOWHERE, 0)
        settle_gc()
        self._scheduler = Scheduler(settings, self._sink, Pulse(create_pulse()))  # type: ignore[arg-type]  # no socket

    def bare(self) -> Bare:
        """The same module without us."""
        return Bare(self._engine, self._module)

    def agent(self, lifetime: Lifetime) -> Agent:
        """A deployed echo agent."""
        spec = AgentSpec("echo", 1, "", Shape.REACTOR, lifetime, Profile.STANDARD, EffectiveLimits(), "node1")
        agent = make_agent(1, spec, Scratch(Path(_NOWHERE), ScratchShare(0)))
        names = {item.name for item in self._module.exports}
        agent.template, agent.exports = self._template, entry_points(names)
        return agent

    def execute(self, agent: Agent, encoded: bytes, count: int) -> None:
        """Messages that came together: each from its bytes to its encoded `Result`."""
        scheduler = self._scheduler
        for number in range(1, count + 1):
            execution = Execution(number, agent, "message", 1, 30.0)
            execution.message = _MESSAGES.decode(encoded)
            scheduler.executions[number] = execution
            scheduler.start(execution)
        while len(scheduler.queue):
            scheduler.run_batch()

    def taken(self) -> int:
        """Bytes of results since the last call."""
        taken, self._sink.taken = self._sink.taken, 0
        return taken


class Fiber:
    """One warm instance and the host function `reply`, called by the binding alone."""

    def __init__(self, process: InProcess) -> None:
        agent = process.agent(Lifetime.PERSISTENT)
        assert agent.template is not None  # `agent` sets it
        limits = agent.spec.limits
        self._instance = instance = Instance(
            agent.template, memory_bytes=limits.memory_bytes, table_elements=limits.table_elements
        )
        instance.begin_instantiate()
        self._drive()
        instance.attach_memory()
        self._alloc, self._handle = (instance.function(name) for name in (b"caxton_alloc", b"handle_message"))
        self._execution = Execution(1, agent, "message", 1, 30.0)
        self._execution.message = Message("m", "request", "client:a", "echo", b"null", "c")
        self._execution.instance = instance
        instance.host = self._execution

    def _drive(self) -> int:
        while not self._instance.poll():
            pass
        return self._instance.finish()

    def echo(self, data: bytes) -> bytes:
        """The same as `Bare.echo`, preemptible and within limits."""
        instance, execution = self._instance, self._execution
        execution.replied, execution.ordinal = False, 0
        instance.calls_left = 1_000
        instance.begin(self._alloc, len(data))
        pointer = self._drive()
        instance.memory.write(pointer, data)
        instance.begin(self._handle, pointer, len(data))
        assert self._drive() == 0
        return execution.handed.pop().data
