"""Real processes for the API's tests: gunicorn with our workers, and a router behind it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

SOURCE = Path(__file__).resolve().parents[2] / "app"
TINY_ROUTER = Path(__file__).parent / "tiny_router.py"
SECRET = "a-test-secret-that-is-long-enough-0123456789"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def await_true(condition: object, seconds: float = 10.0) -> None:
    """Waits until `condition()` holds; fails the test when it never does."""
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.02)


@dataclass
class Node:
    """One API with its router. `key` is an API key of subject alice."""

    home: Path
    auth: bool = False
    extra: str = ""
    short_cut: bool = True
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    key: str = ""
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def config(self) -> Path:
        path = self.home / "caxton.toml"
        path.write_text(
            f"""
[networking]
bind_address = "127.0.0.1:{self.port}"
admin_address = "127.0.0.1:{self.admin_port}"
metrics_address = "127.0.0.1:{self.metrics_port}"
workers = 1
{self.extra}
[coordination]
local_state_path = "{self.home}/local.db"
[security]
auth_enabled = {str(self.auth).lower()}
jwt_secret = "{SECRET}"
"""
        )
        return path

    def start_router(self) -> None:
        run = self.home / "run"
        run.mkdir(exist_ok=True)
        sock = run / "router.sock"
        sock.unlink(missing_ok=True)
        process = self._start("router", [sys.executable, str(TINY_ROUTER), str(sock)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        self.key = process.stdout.readline().strip()

    def start_api(self, *, admin: bool = False) -> None:
        name = "admin" if admin else "api"
        command = [sys.executable, "-m", "caxton.api", "--config", str(self.config)]
        self._start(name, command + (["--admin"] if admin else []))
        url = self.admin_url if admin else self.url
        await_true(lambda: answers(f"{url}/health"), 20)

    def _start(self, name: str, command: list[str], stdout: int | None = None) -> subprocess.Popen[str]:
        environ = {**os.environ, "PYTHONPATH": str(SOURCE), "CAXTON_API_SHORT_CUT": "on" if self.short_cut else "off"}
        process = subprocess.Popen(command, env=environ, stdout=stdout, text=True, cwd=self.home)
        self.processes[name] = process
        return process

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL if name == "router" else signal.SIGQUIT)
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        shutil.rmtree(self.home, ignore_errors=True)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def make_node(*, auth: bool = False, extra: str = "", admin: bool = False, short_cut: bool = True) -> Node:
    """A started node; the caller stops it."""
    node = Node(Path(tempfile.mkdtemp(prefix="cx")), auth=auth, extra=extra, short_cut=short_cut)
    try:
        node.start_router()
        node.start_api()
        if admin:
            node.start_api(admin=True)
    except BaseException:
        node.stop()
        raise
    return node


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The pids of gunicorn's workers."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children]
