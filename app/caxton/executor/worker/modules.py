"""Modules, loaded from the supervisor's sealed artifacts and linked for the agents that use them.

Owns engines, linkers and modules of this process. Must never compile: it only loads what the supervisor
vouches for.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
from wasmtime import Engine, Linker, Module, WasmtimeError

from caxton.executor import wasi
from caxton.executor.binding.host import HostFunctions
from caxton.executor.binding.instance import make_template
from caxton.executor.binding.stacks import use_pool
from caxton.executor.engine import make_engine
from caxton.executor.inspect.capture import PREFIX, START
from caxton.executor.settings import WorkerSettings
from caxton.executor.worker.agent import ENTRY_POINTS, Agent
from caxton.executor.worker.artifact import Refused, load
from caxton.executor.worker.channel import READ_BYTES
from caxton.executor.worker.imports import functions
from caxton.protocol.agents import Profile
from caxton.protocol.control import Artifact, Fetch
from caxton.protocol.execution import AgentSpec
from caxton.protocol.frames import FrameDecoder, encode_frame

_MAX_DESCRIPTORS: Final = 16
_EVERYBODY: Final[tuple[list[str], ...]] = (["*"], [])


class _Key(NamedTuple):
    sha256: str
    profile: Profile
    snapshot: bool


class _Loaded(NamedTuple):
    """A module with what the worker wants to know of it, asked once."""

    module: Module
    uses_wasi: bool
    exports: tuple[bytes, ...]
    variables: tuple[bytes, ...]


def entry_points(names: set[str]) -> tuple[bytes, ...]:
    """Those of `ENTRY_POINTS` among the names that a module exports."""
    return tuple(name for name in ENTRY_POINTS if name.decode() in names)


def variables(names: set[str]) -> tuple[bytes, ...]:
    """The exported mutable globals of a module that was rewritten for snapshots, in their order."""
    count = sum(name.startswith(PREFIX) and name != START for name in names)
    return tuple(f"{PREFIX}{at}".encode() for at in range(count))


def _key(spec: AgentSpec) -> _Key:
    return _Key(spec.module_sha256, spec.profile, spec.snapshot)


class Control:
    """The socket to the supervisor: `Fetch` goes out, `Artifact` comes in with its descriptor."""

    def __init__(self, fd: int) -> None:
        self.socket = socket.socket(fileno=fd)
        self.closed = False
        self._frames = FrameDecoder()
        self._descriptors: deque[int] = deque()
        self._decode = msgspec.msgpack.Decoder(Artifact).decode

    def send(self, frame: msgspec.Struct) -> None:
        """Sends one small frame; blocks while the supervisor does not read."""
        self.socket.sendall(encode_frame(frame))

    def artifacts(self) -> list[tuple[Artifact, int | None]]:
        """What has arrived, each with its descriptor (None if it is missing). The caller closes it."""
        data, descriptors, _flags, _from = socket.recv_fds(self.socket, READ_BYTES, _MAX_DESCRIPTORS)
        self._descriptors.extend(descriptors)
        if not data:
            self.closed = True
            return []
        found = [self._decode(body) for body in self._frames.feed(data)]
        return [(item, None if item.missing else self._descriptors.popleft()) for item in found]


class Modules:
    """Modules by content and profile; each is loaded once and dropped with its last agent."""

    def __init__(self, settings: WorkerSettings, control: Control, on_engine: Callable[[Engine], None]) -> None:
        self._settings = settings
        self._control = control
        self._on_engine = on_engine
        self._engines: dict[Profile, Engine] = {}
        self._linkers: dict[tuple[Profile, bool, bool], Linker] = {}
        self._hosts = {
            (checked, files): HostFunctions(functions(checked_send=checked, files=files))
            for checked in (False, True)
            for files in (False, True)
        }
        self._modules: dict[_Key, _Loaded] = {}
        self._users: dict[_Key, set[Agent]] = {}
        self._wanted: dict[_Key, list[Agent]] = {}

    def make_engines(self) -> None:
        """Every engine that this node's agents may need: making one asks for more than a confined process may."""
        for profile in Profile:
            if profile is not Profile.THREADS or "threads" in self._settings.wasm_features:
                self._engine(profile)

    def want(self, agent: Agent) -> bool:
        """Makes `agent.template` or `agent.refused`; False if the artifact has to be fetched first."""
        key = _key(agent.spec)
        self._users.setdefault(key, set()).add(agent)
        if key in self._modules:
            self._link(agent, key)
            return True
        if key not in self._wanted:
            self._control.send(Fetch(*key))
        waiting = self._wanted.setdefault(key, [])
        if agent not in waiting:
            waiting.append(agent)
        return False

    def arrived(self, artifact: Artifact, descriptor: int | None) -> list[Agent]:
        """Loads an artifact; the agents that waited for it."""
        key = _Key(artifact.sha256, artifact.profile, artifact.snapshot)
        refused = self._load(key, descriptor)
        agents = self._wanted.pop(key, [])
        for agent in agents:
            if refused is None:
                self._link(agent, key)
            else:
                agent.refused = refused
        return agents

    def forget(self, agent: Agent) -> None:
        """The agent is gone; so is its module if it was the last."""
        key = _key(agent.spec)
        agent.template = None
        users = self._users.get(key, set())
        users.discard(agent)
        if not users:
            self._users.pop(key, None)
            self._modules.pop(key, None)

    def _load(self, key: _Key, descriptor: int | None) -> str | None:
        if descriptor is None:
            return "the compiled module is not in the executor's cache; prepare it again"
        try:
            module = load(self._engine(key.profile), descriptor)
        except Refused as problem:
            return f"the compiled module does not fit this executor: {problem}"
        finally:
            os.close(descriptor)
        uses_wasi = any(item.module == wasi.IMPORT_MODULE for item in module.imports)
        names = {item.name for item in module.exports}
        self._modules[key] = _Loaded(module, uses_wasi, entry_points(names), variables(names) if key.snapshot else ())
        return None

    def _engine(self, profile: Profile) -> Engine:
        engine = self._engines.get(profile)
        if engine is None:
            own = self._settings
            engine = make_engine(profile, own.stack_bytes, own.wasm_features, use_pool, pulley=own.pulley)
            self._engines[profile] = engine
            self._on_engine(engine)
        return engine

    def _linker(self, spec: AgentSpec) -> Linker:
        """Linkers differ in what must leave the fiber: receivers to be checked, files to be touched."""
        checked, files = spec.send not in _EVERYBODY, bool(spec.dirs) or spec.scratch
        linker = self._linkers.get((spec.profile, checked, files))
        if linker is None:
            linker = self._hosts[checked, files].linker(self._engine(spec.profile))
            self._linkers[spec.profile, checked, files] = linker
        return linker

    def _link(self, agent: Agent, key: _Key) -> None:
        loaded = self._modules[key]
        try:
            pre = self._linker(agent.spec).instantiate_pre(loaded.module)
        except WasmtimeError as problem:
            agent.refused = f"the module cannot be linked: {problem}"
            return
        agent.uses_wasi, agent.exports, agent.variables = loaded.uses_wasi, loaded.exports, loaded.variables
        uses_fuel = key.profile is Profile.DETERMINISTIC
        agent.template = make_template(self._engine(key.profile), pre, uses_fuel=uses_fuel)
