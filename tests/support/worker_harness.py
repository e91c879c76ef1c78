"""Plays supervisor and router for one really spawned worker over real socket pairs.

Owns the worker process and ends it by its pid. Modules are WAT text, compiled by `make_engine` here.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from wasmtime import Module, wat2wasm

from caxton.executor.engine import make_engine
from caxton.executor.inspect import capturable, inspect_module
from caxton.executor.pulse import Pulse, create_pulse
from caxton.executor.settings import WorkerSettings
from caxton.executor.worker.artifact import SEALS
from caxton.protocol.agents import EffectiveLimits, Instance, Profile, Shape
from caxton.protocol.control import Artifact, Fetch, Reach, Ready
from caxton.protocol.execution import AgentSpec, Execute, Load, Result, Start, WorkerFrame, WorkerStats
from caxton.protocol.frames import FrameDecoder, encode_frame
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Message

APP = Path(__file__).resolve().parents[2] / "app"
STACK_BYTES = 1_000_000
_encode = msgspec.msgpack.encode
_artifacts: dict[tuple[str, Profile, tuple[str, ...], bool, bool], bytes] = {}


def artifact(
    wat: str, profile: Profile, features: tuple[str, ...] = (), *, snapshot: bool = False, pulley: bool = False
) -> bytes:
    key = (wat, profile, features, snapshot, pulley)
    if key not in _artifacts:
        code = bytes(wat2wasm(wat))
        if snapshot:
            code = capturable(code, *inspect_module(code))
        _artifacts[key] = bytes(Module(make_engine(profile, STACK_BYTES, features, pulley=pulley), code).serialize())
    return _artifacts[key]


def message(content: Any = None, **fields: Any) -> Message:
    values: dict[str, Any] = {
        "message_id": new_id(),
        "performative": "request",
        "sender": "client:test",
        "receiver": "agent",
        "content": msgspec.json.encode(content),
        "conversation_id": "c1",
    }
    return Message(**{**values, **fields})


class Harness:
    """One worker. Use as a context manager."""

    def __init__(
        self, features: tuple[str, ...] = (), *, python: str = "", pulley: bool = False, **settings: Any
    ) -> None:
        self.features = features
        self.pulley = pulley
        self.modules: dict[str, bytes] = {}
        self.home = Path(tempfile.mkdtemp(prefix="cx"))
        self.pulse_fd = create_pulse()
        self.pulse = Pulse(self.pulse_fd)
        self.control, control = socket.socketpair()
        self.router, router = socket.socketpair()
        self.router.settimeout(10.0)
        self.control.settimeout(60.0)
        self.frames: list[Any] = []
        self.stats: list[WorkerStats] = []
        self.fetches = 0
        self.sealed = True
        self._decoder = FrameDecoder()
        self._control_decoder = FrameDecoder()
        self._ids = itertools.count(1)
        options = WorkerSettings(
            worker_id=1, tag="", node="node1", control_fd=control.fileno(), router_fd=router.fileno(),
            pulse_fd=self.pulse_fd, stack_bytes=STACK_BYTES, wasm_features=list(features),
            scratch_directory=str(self.home / "scratch"), temp_storage_limit_bytes=64_000_000,
            engine="pulley" if pulley else "native",
            **{"reach": Reach.NOTHING, "granted_directories": [str(self.home), "/tmp"], **settings},
        )  # fmt: skip
        argument = msgspec.json.encode(options).decode()
        command = [sys.executable, *(["-c", python] if python else ["-m", "caxton.executor.worker"]), argument]
        self.process = subprocess.Popen(
            command,
            pass_fds=(control.fileno(), router.fileno(), self.pulse_fd),
            env={"PYTHONPATH": str(APP), "PATH": os.environ["PATH"]},
            cwd=self.home,
        )
        control.close()
        router.close()
        self.ready = self._control_frame(Ready)

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.router.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.control.close()
        os.close(self.pulse_fd)
        shutil.rmtree(self.home, ignore_errors=True)

    def _control_frame(self, kind: type[Any]) -> Any:
        while True:
            data = self.control.recv(65536)
            assert data, "the worker closed its control socket"
            for body in self._control_decoder.feed(data):
                return msgspec.msgpack.decode(body, type=kind)

    def serve_fetch(self) -> None:
        fetch = self._control_frame(Fetch)
        self.fetches += 1
        data = self.modules.get(fetch.sha256)
        frame = encode_frame(Artifact(fetch.sha256, fetch.profile, data is None, fetch.snapshot))
        if data is None:
            self.control.sendall(frame)
            return
        fd = os.memfd_create("artifact", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(fd, data)
        if self.sealed:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
        socket.send_fds(self.control, [frame], [fd])
        os.close(fd)

    def send(self, *frames: Any) -> None:
        self.router.sendall(b"".join(encode_frame(frame) for frame in frames))

    def load(self, wat: str, *, fetch: bool = True, limits: dict[str, Any] | None = None, **fields: Any) -> int:
        """Makes an agent of `wat` known; its handle."""
        handle = next(self._ids)
        values: dict[str, Any] = {
            "name": f"agent{handle}", "version": 1, "shape": Shape.REACTOR, "instance": Instance.PERSISTENT,
            "profile": Profile.STANDARD, "node": "node1",
            "module_sha256": f"{hash((wat, fields.get('profile'), fields.get('snapshot'))):x}",
            "limits": EffectiveLimits(**{"execution_timeout_seconds": 10.0, **(limits or {})}),
        }  # fmt: skip
        spec = AgentSpec(**{**values, **fields})
        fresh = spec.module_sha256 not in self.modules
        self.modules[spec.module_sha256] = artifact(
            wat, spec.profile, self.features, snapshot=spec.snapshot, pulley=self.pulley
        )
        self.send(Load(handle, spec))
        if fetch and fresh:
            self.prefetch(handle)
        return handle

    def prefetch(self, handle: int) -> None:
        """Lets the worker fetch the module by an execution of a command-less start that is then ended."""
        exec_id = next(self._ids)
        self.send(Start(exec_id, handle, 1))
        self.serve_fetch()
        self.start_result = self.result(exec_id)

    def execute(self, handle: int, content: Any = None, *, incarnation: int = 1, seed: int = 0,
                timer_id: int | None = None, **fields: Any) -> int:  # fmt: skip
        exec_id = next(self._ids)
        what = fields.pop("message", None) or message(content, **fields)
        self.send(Execute(exec_id, handle, incarnation, _encode(what), timer_id, seed))
        return exec_id

    def run(self, handle: int, content: Any = None, **fields: Any) -> Result:
        return self.result(self.execute(handle, content, **fields))

    def result(self, exec_id: int, timeout: float = 10.0) -> Result:
        found = self.wait_for(lambda f: isinstance(f, Result) and f.exec_id == exec_id, timeout)
        assert isinstance(found, Result)
        return found

    def wait_for(self, wanted: Any, timeout: float = 10.0) -> Any:
        """The first frame, already here or yet to come, that `wanted` accepts; it is taken out."""
        deadline = time.monotonic() + timeout
        while True:
            for index, frame in enumerate(self.frames):
                if wanted(frame):
                    return self.frames.pop(index)
            left = deadline - time.monotonic()
            assert left > 0, f"nothing came; there is {self.frames[-3:]}"
            self.router.settimeout(left)
            self._receive()

    def _receive(self) -> None:
        try:
            data = self.router.recv(1 << 18)
        except TimeoutError:
            return
        assert data, f"the worker went away with status {self.process.wait(5)}"
        for body in self._decoder.feed(data):
            frame = msgspec.msgpack.decode(body, type=WorkerFrame)
            if isinstance(frame, WorkerStats):
                self.stats.append(frame)
            else:
                self.frames.append(frame)
