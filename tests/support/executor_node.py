"""Plays the router for a real executor: `python -m caxton.executor` with a configuration file of its own.

Owns the supervisor process and ends it by its pid; everything below it must die with it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from caxton.protocol.agents import EffectiveLimits, Instance, Profile, Shape
from caxton.protocol.control import FromSupervisor, Hello, Prepare, Prepared, WorkerUp
from caxton.protocol.execution import AgentSpec, Execute, Load, Result, WorkerFrame, WorkerStats
from caxton.protocol.frames import FrameDecoder, encode_frame
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Message

APP = Path(__file__).resolve().parents[2] / "app"
WAIT_SECONDS = 30.0
Frame = TypeVar("Frame")


def eventually(condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Waits for a condition of the outside world (a process, a file) that nothing announces."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {seconds} s: {what}"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class WorkerEnd:
    """The router's end of one worker."""

    def __init__(self, up: WorkerUp, fd: int) -> None:
        self.worker_id, self.pid, self.tag = up.worker_id, up.pid, up.tag
        self.socket = socket.socket(fileno=fd)
        self.socket.settimeout(WAIT_SECONDS)
        self._decoder = FrameDecoder()
        self._frames: deque[Any] = deque()
        self._next = 0

    def send(self, frame: Any) -> None:
        self.socket.sendall(encode_frame(frame))

    def load(self, handle: int, sha256: str, shape: Shape = Shape.REACTOR, **fields: Any) -> None:
        limits = EffectiveLimits(**fields.pop("limits", {}))
        self.send(
            Load(
                handle,
                AgentSpec(
                    "agent",
                    1,
                    sha256,
                    shape,
                    Instance.PERSISTENT,
                    fields.pop("profile", Profile.STANDARD),
                    limits,
                    "n",
                    **fields,
                ),
            )
        )

    def execute(self, handle: int, content: Any = None) -> int:
        self._next += 1
        message = Message(
            message_id=new_id(), performative="request", sender="client:test", receiver="agent",
            content=msgspec.json.encode(content), conversation_id="c1",
        )  # fmt: skip
        exec_id = self.worker_id * 1000 + self._next
        self.send(Execute(exec_id, handle, 1, msgspec.msgpack.encode(message)))
        return exec_id

    def result(self) -> Result:
        while True:
            while self._frames:
                frame = self._frames.popleft()
                if isinstance(frame, Result):
                    return frame
                assert isinstance(frame, WorkerStats) or frame is not None
            data = self.socket.recv(262_144)
            assert data, "the worker closed"
            self._frames.extend(msgspec.msgpack.decode(body, type=WorkerFrame) for body in self._decoder.feed(data))

    def at_end(self) -> bool:
        """Reads until the end of the stream."""
        while self.socket.recv(262_144):
            pass
        return True


class Router:
    """One connection to the supervisor."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(WAIT_SECONDS)
        self.socket.connect(str(path))
        self.frames: list[Any] = []
        self.workers: list[WorkerEnd] = []
        self._decoder = FrameDecoder()
        self._descriptors: deque[int] = deque()
        self._requests = 0

    def close(self) -> None:
        self.socket.close()
        for worker in self.workers:
            worker.socket.close()

    def send(self, frame: Any, fd: int | None = None) -> None:
        data = encode_frame(frame)
        if fd is None:
            self.socket.sendall(data)
        else:
            assert socket.send_fds(self.socket, [data], [fd]) == len(data)

    def hello(self, workers: int = 1) -> list[WorkerEnd]:
        self.send(Hello("node1", workers))
        return [self.worker() for _ in range(workers)]

    def wait_for(self, kind: type[Frame], matches: Callable[[Frame], bool] = lambda _: True) -> Frame:
        """The next frame of that kind; others stay for later."""
        while True:
            for position, frame in enumerate(self.frames):
                if isinstance(frame, kind) and matches(frame):
                    del self.frames[position]
                    return frame
            self._read()

    def _read(self) -> None:
        data, fds, _, _ = socket.recv_fds(self.socket, 262_144, 16)
        self._descriptors.extend(fds)
        assert data, "the supervisor closed"
        for body in self._decoder.feed(data):
            frame = msgspec.msgpack.decode(body, type=FromSupervisor)
            if isinstance(frame, WorkerUp):
                self.workers.append(WorkerEnd(frame, self._descriptors.popleft()))
            self.frames.append(frame)

    def worker(self, tag: str = "") -> WorkerEnd:
        up = self.wait_for(WorkerUp, lambda frame: frame.tag == tag)
        return next(worker for worker in self.workers if worker.worker_id == up.worker_id)

    def ask(self, module: bytes, profile: Profile = Profile.STANDARD, sha256: str | None = None) -> int:
        """Sends `Prepare`; its request id."""
        self._requests += 1
        with tempfile.TemporaryFile() as file:
            file.write(module)
            file.flush()
            digest = sha256 or hashlib.sha256(module).hexdigest()
            self.send(Prepare(self._requests, digest, profile), file.fileno())
        return self._requests

    def prepare(self, module: bytes, profile: Profile = Profile.STANDARD) -> Prepared:
        request = self.ask(module, profile)
        return self.wait_for(Prepared, lambda frame: frame.request_id == request)

    def digest(self, module: str) -> str:
        """Prepares WAT text and returns the digest it is known by."""
        prepared = self.prepare(module.encode())
        assert prepared.info, prepared.error
        return prepared.info.sha256


class ExecutorNode:
    """A running supervisor. Use as a context manager."""

    def __init__(self, runtime: str = "", **environ: str) -> None:
        self.environ = environ
        self.home = Path(tempfile.mkdtemp(prefix="cx"))
        self.config = self.home / "caxton.toml"
        self.config.write_text(
            f'[runtime]\n{runtime}\n[coordination]\nlocal_state_path = "{self.home}/data/local.db"\n'
        )
        self.socket = self.home / "data" / "run" / "executor.sock"
        self.artifacts = self.home / "data" / "run" / "artifacts"
        self.routers: list[Router] = []
        self.process = self.launch()
        eventually(lambda: self.answers() or self.process.poll() is not None, "the executor listens")

    def launch(self) -> subprocess.Popen[bytes]:
        environment = {"PYTHONPATH": str(APP), "PATH": os.environ["PATH"], **self.environ}
        command = [sys.executable, "-m", "caxton.executor", "--config", str(self.config)]
        return subprocess.Popen(command, env=environment, cwd=self.home, stderr=subprocess.PIPE)

    def restart(self) -> None:
        """SIGTERM, and a new one on the same files."""
        self.end()
        self.process = self.launch()
        eventually(self.answers, "the executor listens")

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def router(self) -> Router:
        """A new connection, which is the only one: an earlier probe may still have to be noticed as gone."""
        router = Router(self.socket)
        self.routers.append(router)
        return router

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        status = self.process.wait(WAIT_SECONDS)
        assert self.process.stderr is not None
        self.stderr = self.process.stderr.read()
        self.process.stderr.close()
        return status

    def __enter__(self) -> ExecutorNode:
        return self

    def __exit__(self, *_exc: object) -> None:
        for router in self.routers:
            router.close()
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        elif self.process.stderr and not self.process.stderr.closed:
            self.process.stderr.close()
        shutil.rmtree(self.home, ignore_errors=True)
