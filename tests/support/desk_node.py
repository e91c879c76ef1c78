"""A real executor process and a real router process on a directory of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from caxton.protocol.agents import AgentConfig
from caxton.protocol.errors import CaxtonError
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Delivery, Message
from caxton.protocol.operations import Deploy, Invoke, Named, Submit
from support.router_client import RouterClient
from support.router_modules import wasm

APP = Path(__file__).resolve().parents[2] / "app"
PATIENCE = 30.0


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Waits until `condition` gives something true, and gives that; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.01)
    return found


class RouterNode:
    """Starts, kills and restarts the two processes; gives clients."""

    def __init__(self, **sections: dict[str, Any]) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="cx", dir="/tmp"))
        self.data = self.directory / "data"
        self.config = self.directory / "node.toml"
        self.config.write_text(_toml(self.data / "local.db", sections))
        self.source = APP
        """Where the package is that the processes run."""
        self.executor: subprocess.Popen[bytes] | None = None
        self.router: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RouterNode:
        try:
            self.start_executor()
            self.start_router()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def log(self) -> str:
        """What both processes said."""
        return (self.directory / "log").read_text(errors="replace")

    def start_executor(self) -> None:
        self.executor = self._start("caxton.executor")

    def start_router(self, *, ready: bool = True) -> None:
        self.router = self._start("caxton.router")
        if ready:
            until(self.is_ready)

    def is_ready(self) -> bool:
        assert self.router is not None
        assert self.router.poll() is None, self.log
        try:
            with self.client() as client:
                return bool(client.call("ready")["ready"])
        except (OSError, EOFError):
            return False

    def client(self, timeout: float = PATIENCE) -> RouterClient:
        return RouterClient(self.directory / "run" / "router.sock", timeout)

    def connected(self) -> RouterClient | None:
        """A client, once the router listens; it need not be ready."""
        assert self.router is not None
        assert self.router.poll() is None, self.log
        try:
            return self.client()
        except OSError:
            return None

    def kill_router(self) -> None:
        self.stop_router(signal.SIGKILL)

    def stop_router(self, number: int = signal.SIGTERM) -> int:
        """Ends the router; its exit code."""
        assert self.router is not None
        self.router.send_signal(number)
        code = self.router.wait(PATIENCE)
        self.router = None
        return code

    def close(self) -> None:
        for process in (self.router, self.executor):
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self, module: str) -> subprocess.Popen[bytes]:
        run = str(self.directory / "run")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CAXTON_")}
        environment |= {"CAXTON_RUN_DIR": run, "PYTHONPATH": str(self.source)}
        with (self.directory / "log").open("ab") as log:
            command = [sys.executable, "-m", module, "--config", str(self.config)]
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=self.directory)


def _toml(database: Path, sections: dict[str, dict[str, Any]]) -> str:
    merged: dict[str, dict[str, Any]] = {
        "runtime": {"executor_workers": 1},
        "networking": {
            "bind_address": "127.0.0.1:8080",
            "metrics_address": "127.0.0.1:9090",
            "admin_address": "127.0.0.1:8081",
        },
        "coordination": {"local_state_path": str(database)},
        "messaging": {"low_disk_bytes": "1MB"},
        "observability": {"log_format": "text"},
        "security": {"auth_enabled": False},
    }
    for name, values in sections.items():
        merged.setdefault(name, {}).update(values)
    return "\n".join(
        f"[{name}]\n" + "\n".join(f"{key} = {_value(value)}" for key, value in values.items())
        for name, values in merged.items()
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def deploy(
    client: RouterClient,
    name: str,
    module: str | bytes,
    wait_seconds: float = PATIENCE,
    signature: str | None = None,
    **config: Any,
) -> Any:
    """Deploys; the agent's view (or the job's when it takes longer)."""
    code = wasm(module) if isinstance(module, str) else module
    made = msgspec.convert({"name": name, **config}, AgentConfig)
    answer = client.call("agent.deploy", Deploy(made, code, wait_seconds, signature))
    return answer.get("agent") or answer["job"]


def message(receiver: str, content: bytes = b"{}", **fields: Any) -> Message:
    plain = {"message_id": new_id(), "performative": "request", "sender": "client:test", "conversation_id": new_id()}
    return Message(**{**plain, "receiver": receiver, "content": content, **fields})


def invoke(client: RouterClient, receiver: str, content: bytes = b"{}", timeout: float = 10.0, **more: Any) -> Any:
    """Asks and gives the reply's view (or the job's)."""
    answer = client.call("invoke", Invoke(message(receiver, content), timeout, **more))
    return answer.get("reply") or answer["job"]


def submit(client: RouterClient, receiver: str, count: int = 1) -> list[str]:
    """Accepts `count` messages; their ids."""
    items = client.call("submit", Submit([message(receiver) for _ in range(count)]))
    assert all("error" not in item for item in items), items
    return [item["message_id"] for item in items]


def job(client: RouterClient, job_id: str) -> Any:
    """The job once it has ended."""

    def ended() -> Any:
        view = client.call("job.get", Named(job_id))
        return view if view["state"] in ("done", "failed") else None

    return until(ended)


def refusal(client: RouterClient, op: str, args: Any = None) -> CaxtonError:
    """The error that `op` answers."""
    try:
        client.call(op, args)
    except CaxtonError as error:
        return error
    raise AssertionError(f"{op} was not refused")


__all__ = ["Delivery", "RouterNode", "deploy", "invoke", "job", "message", "refusal", "submit", "until"]
