"""The API as a service manager runs it: on a socket that it inherits, beside a router and an executor."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import Any

import httpx

from support.desk_node import APP, RouterNode, until
from support.node import free_port

SHELL = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec 3<&"$0"; exec "$@"'
"""The process that is replaced has the pid that the variable names, as under systemd."""


class ActivatedApi(RouterNode):
    """Owns the listening socket, as caxton.socket does: it outlives the API's processes."""

    def __init__(self, *, config_port: int | None = None, **sections: dict[str, Any]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = int(self.listener.getsockname()[1])
        self.admin_port, self.metrics_port = free_port(), free_port()
        networking = {
            "bind_address": f"127.0.0.1:{config_port or self.port}",
            "metrics_address": f"127.0.0.1:{self.metrics_port}",
            "admin_address": f"127.0.0.1:{self.admin_port}",
            "workers": 2,
        }
        super().__init__(**{**sections, "networking": {**networking, **sections.get("networking", {})}})
        self.apis: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start_api(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts the API (or with `--admin` the admin server) with the socket; does not wait."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CAXTON_")}
        environment |= {"CAXTON_RUN_DIR": str(self.directory / "run"), "PYTHONPATH": str(APP)}
        command = ["bash", "-c", SHELL, str(self.listener.fileno()), sys.executable, "-m", "caxton.api"]
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [*command, "--config", str(self.config), *arguments],
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.directory,
                pass_fds=[self.listener.fileno()],
            )
        self.apis.append(process)
        return process

    def api_answers(self) -> bool:
        """Whether the API takes work; the connection waits in the socket's queue until somebody accepts it."""
        try:
            return httpx.get(f"{self.url}/ready", timeout=20).status_code == 200
        except httpx.TransportError:
            return False

    def __enter__(self) -> ActivatedApi:
        super().__enter__()
        try:
            self.start_api()
            until(self.api_answers)
        except BaseException:
            self.close()
            raise
        return self

    def workers(self, master: subprocess.Popen[bytes]) -> set[int]:
        """The pids of the master's workers."""
        path = f"/proc/{master.pid}/task/{master.pid}/children"
        with open(path) as file:
            return {int(pid) for pid in file.read().split()}

    def reload_api(self, master: subprocess.Popen[bytes]) -> None:
        """SIGHUP, until none of the workers is left that there were."""
        before = self.workers(master)
        master.send_signal(signal.SIGHUP)
        until(lambda: (now := self.workers(master)) and not now & before)

    def close(self) -> None:
        for process in self.apis:
            if process.poll() is None:
                process.terminate()
        for process in self.apis:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.listener.close()
        super().close()
