"""A real node in a directory of its own: `caxton serve` on free loopback ports.

Owns starting, finding and ending its processes. Must never signal a process that it did not start.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

APP = Path(__file__).resolve().parents[2] / "app"
READY_SECONDS = 45.0
KINDS = {
    "exporter": "caxton.telemetry.exporter",
    "worker": "caxton.executor.worker",
    "executor": "caxton.executor",
    "router": "caxton.router",
    "admin": "--admin",
    "api": "caxton.api",
}
"""Process kinds by what their command line holds; the first that matches counts."""


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Any, seconds: float, what: str) -> Any:
    """Polls until `condition()` is true and returns its value; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def _children(pid: int) -> list[int]:
    """All descendants of a process, by /proc."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{entry}/stat").read_text()
                parents.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        for child in parents.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def _kind(pid: int) -> str | None:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    return next((kind for kind, mark in KINDS.items() if mark in line), None)


@dataclass
class Node:
    """One node. `home` holds its configuration, data and log."""

    home: Path
    port: int
    settings: dict[str, dict[str, Any]]
    environ: dict[str, str] = field(default_factory=dict)
    trust: ssl.SSLContext | None = None
    """How clients verify the node, where it speaks TLS."""
    process: subprocess.Popen[bytes] | None = None
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.new_client()

    def new_client(self) -> httpx.Client:
        """A client of the API with connections of its own."""
        return httpx.Client(base_url=self.url, timeout=60.0, verify=self.trust or True)

    @property
    def url(self) -> str:
        return f"{'https' if self.trust else 'http'}://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://{self.settings['networking']['admin_address']}"

    @property
    def metrics_url(self) -> str:
        return f"http://{self.settings['networking']['metrics_address']}"

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def config_file(self) -> Path:
        return self.home / "caxton.toml"

    def start(self) -> None:
        """Starts the node and waits until it is ready."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Starts the node and does not wait."""
        self.config_file.write_text(self.toml())
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "caxton", "--config", str(self.config_file), "serve"],
                cwd=self.home,
                env={**os.environ, "PYTHONPATH": str(APP), "PYTHONWARNINGS": "default", **self.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def toml(self) -> str:
        """The node's configuration file."""
        return _toml(self.settings)

    def wait_ready(self) -> None:
        """Waits until GET /ready answers 200, and administration is there."""

        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            with contextlib.suppress(httpx.TransportError):
                admin = httpx.get(f"{self.admin_url}/health")
                return self.client.get("/ready").status_code == 200 == admin.status_code
            return False

        until(ready, READY_SECONDS, "node ready: " + self.log.read_text()[-2000:])

    def pids(self, kind: str) -> list[int]:
        """Processes of this kind (see KINDS) below the node's foreground command."""
        assert self.process is not None
        return sorted(pid for pid in _children(self.process.pid) if _kind(pid) == kind)

    def kill(self, kind: str) -> int:
        """SIGKILL to the last started process of this kind (of a gunicorn, a worker); returns its pid."""
        pid = int(until(lambda: self.pids(kind), 20, f"a {kind} to kill")[-1])
        os.kill(pid, signal.SIGKILL)
        return pid

    def gunicorn(self, kind: str) -> tuple[int, list[int]]:
        """The master's pid and its workers' of `api` or `admin`."""
        found = self.pids(kind)
        master = next(pid for pid in found if _parent(pid) not in found)
        return master, [pid for pid in found if pid != master]

    @contextlib.contextmanager
    def suspended(self, pid: int) -> Iterator[None]:
        """SIGSTOP to one of the node's processes for a while: it is there and does nothing."""
        assert self.process is not None
        assert pid in (self.process.pid, *_children(self.process.pid))
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def reload(self, section: str, **keys: Any) -> None:
        """Writes the configuration with these keys, has the node read it again, and waits for new API workers."""
        assert self.process is not None
        old = set(self.gunicorn("api")[1])
        self.settings.setdefault(section, {}).update(keys)
        self.config_file.write_text(self.toml())
        self.process.send_signal(signal.SIGHUP)
        until(lambda: old.isdisjoint(now := self.gunicorn("api")[1]) and now, 20, "other API workers")
        self.client.close()
        self.client = self.new_client()

    def kill_everything(self) -> None:
        """SIGKILL to every process of the node at once, as a power cut would."""
        assert self.process is not None
        for pid in [self.process.pid, *_children(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code of the foreground command."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.kill_everything()
            raise

    # ---- shorthand over the public API ---------------------------------------------------------

    def deploy(self, name: str, wat: str, **config: Any) -> dict[str, Any]:
        """Deploys WAT text and returns the agent."""
        answer = self.client.post("/api/v1/agents", json={"name": name, "wat": wat, **config})
        assert answer.status_code in (201, 202), answer.text
        if answer.status_code == 202:
            return dict(self.finished(answer.headers["Location"])["result"])
        return dict(answer.json())

    def finished(self, location: str, seconds: float = 240.0) -> dict[str, Any]:
        """Waits for a job to end and returns it; fails unless it is done."""
        path = location if location.startswith("/api/") else "/api/v1" + location

        def ended() -> Any:
            job = self.client.get(path).json()
            return job if job["state"] in ("done", "failed") else None

        job = until(ended, seconds, f"job {location}")
        assert job["state"] == "done", job
        return dict(job)

    def invoke(self, name: str, content: Any, **options: Any) -> httpx.Response:
        """POST …/invoke."""
        return self.client.post(f"/api/v1/agents/{name}/invoke", json={"content": content, **options})

    def ledger(self) -> dict[str, Any]:
        """GET /ledger."""
        return dict(self.client.get("/api/v1/ledger").json())

    def settled(self, seconds: float = 60.0) -> dict[str, Any]:
        """Waits until nothing is pending or in flight; returns the node's ledger row."""

        def quiet() -> Any:
            with contextlib.suppress(httpx.TransportError, KeyError):
                row = self.ledger()["node"]
                return row if row["pending"] == 0 and row["in_flight"] == 0 else None
            return None

        return dict(until(quiet, seconds, "an empty mailbox everywhere"))


def _toml(settings: Mapping[str, Mapping[str, Any]]) -> str:
    def value(one: Any) -> str:
        if isinstance(one, bool):
            return str(one).lower()
        if isinstance(one, list):
            return "[" + ", ".join(value(item) for item in one) + "]"
        return str(one) if isinstance(one, int | float) else '"' + str(one) + '"'

    return "\n".join(
        f"[{section}]\n" + "\n".join(f"{key} = {value(one)}" for key, one in keys.items())
        for section, keys in settings.items()
    )


def make_node(
    home: Path,
    environ: Mapping[str, str] | None = None,
    *,
    trust: ssl.SSLContext | None = None,
    **sections: dict[str, Any],
) -> Node:
    """A node that is not started yet: loopback ports, data below `home`; `sections` and `environ` override."""
    port = free_port()
    settings: dict[str, dict[str, Any]] = {
        "runtime": {"executor_workers": 2},
        "networking": {
            "bind_address": f"127.0.0.1:{port}",
            "metrics_address": f"127.0.0.1:{free_port()}",
            "admin_address": f"127.0.0.1:{free_port()}",
            "workers": 1,
        },
        "coordination": {"local_state_path": str(home / "data" / "local.db")},
        "messaging": {"low_disk_bytes": "1MB"},
        "security": {"auth_enabled": False},
    }
    for section, keys in sections.items():
        settings.setdefault(section, {}).update(keys)
    return Node(home, port, settings, dict(environ or {}), trust)


@contextlib.contextmanager
def running_node(
    environ: Mapping[str, str] | None = None, *, trust: ssl.SSLContext | None = None, **sections: dict[str, Any]
) -> Iterator[Node]:
    """A started node in a short temporary directory; ended and removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="cx", dir="/tmp"))
    node = make_node(home, environ, trust=trust, **sections)
    try:
        node.start()
        yield node
    finally:
        node.client.close()  # an API worker that ends waits some seconds for the next request of whoever is connected
        if node.process is not None and node.process.poll() is None:
            node.stop()
        shutil.rmtree(home, ignore_errors=True)
