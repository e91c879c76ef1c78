"""A real node: `caxton serve` in a directory of its own, and the command line against it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import caxton

SOURCE = Path(caxton.__file__).parents[1]
ECHO = """
(module
  (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "caxton_alloc") (param $len i32) (result i32) (i32.const 1024))
  (func (export "handle_message") (param $ptr i32) (param $len i32) (result i32)
    (drop (call $reply (local.get $ptr) (local.get $len))) (i32.const 0)))
"""
TRAP = ECHO.replace("(drop (call $reply (local.get $ptr) (local.get $len))) (i32.const 0)", "unreachable")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """Waits for a condition; its value, or a failure that says what was awaited."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def run_cli(
    *arguments: str, env: dict[str, str] | None = None, stdin: str | None = None, timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """One run of the command line with nothing of our environment but what is given."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "HOME": "/nonexistent", **(env or {})}
    command = [sys.executable, "-m", "caxton", *arguments]
    return subprocess.run(
        command,
        env=environ,
        input=stdin,
        stdin=None if stdin else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


class ServedNode:
    """`caxton serve` on free ports. `environ` are its variables; `log` is what it printed."""

    def __init__(self, **variables: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="cx"))
        api, metrics, admin = free_ports(3)
        self.url = f"http://127.0.0.1:{api}"
        self.environ = {
            "CAXTON_NETWORKING__BIND_ADDRESS": f"127.0.0.1:{api}",
            "CAXTON_NETWORKING__METRICS_ADDRESS": f"127.0.0.1:{metrics}",
            "CAXTON_NETWORKING__ADMIN_ADDRESS": f"127.0.0.1:{admin}",
            "CAXTON_NETWORKING__WORKERS": "1",
            "CAXTON_RUNTIME__EXECUTOR_WORKERS": "1",
            "CAXTON_COORDINATION__LOCAL_STATE_PATH": str(self.directory / "data" / "local.db"),
            "CAXTON_URL": self.url,
            **variables,
        }
        self.log_file = self.directory / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> ServedNode:
        """Starts it and waits until it says that it is ready."""
        before = self.log.count("is ready")
        self.launch(*arguments)
        until(lambda: self.log.count("is ready") > before or self._ended(), "the node is ready", 60)
        assert self.process is not None
        assert self.process.poll() is None, self.log
        return self

    def launch(self, *arguments: str) -> None:
        """Starts it and does not wait."""
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "HOME": "/nonexistent", **self.environ}
        with self.log_file.open("ab") as log:
            command = [sys.executable, "-m", "caxton", *(arguments or ("serve",))]
            self.process = subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """Everything that it printed so far."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def cli(
        self, *arguments: str, stdin: str | None = None, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """The command line against this node."""
        return run_cli(*arguments, env=self.environ, stdin=stdin, timeout=timeout)

    def json(self, *arguments: str, stdin: str | None = None) -> Any:
        """What a verb prints as JSON; it must have succeeded."""
        done = self.cli(*arguments, "--output", "json", stdin=stdin)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def write(self, name: str, text: str) -> str:
        """A file in the node's directory; its path."""
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def children(self) -> dict[str, int]:
        """Pids of the children by their module and options."""
        assert self.process is not None
        return {
            line.split(" -m ")[-1].strip(): pid for pid, parent, line in _processes() if parent == self.process.pid
        }

    def descendants(self) -> set[int]:
        """Pids of everything below the parent, itself excluded."""
        assert self.process is not None
        found, known = {self.process.pid}, -1
        table = _processes()
        while len(found) != known:
            known = len(found)
            found |= {pid for pid, parent, _ in table if parent in found}
        return found - {self.process.pid}

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 60.0) -> int:
        """Ends it; its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def close(self) -> None:
        """Ends it if it still runs, and removes its directory."""
        if self.process is not None:
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None


def alive(pids: set[int]) -> set[int]:
    """Those of `pids` that still run; a zombie does not."""
    return {pid for pid, _, _ in _processes() if pid in pids}


def _processes() -> list[tuple[int, int, str]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
                line = (entry / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
            if state != "Z":
                found.append((int(entry.name), int(parent), line))
    return found
