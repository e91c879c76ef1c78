"""A node that the Debian package has installed on a lab machine, and clients that count what fails."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.labs import Lab
from support.served_node import until

SERVICES = ("caxton.service", "caxton-admin.service", "caxton-router.service", "caxton-executor.service")
UNITS = (*SERVICES, "caxton.socket")
PORT = 8080
Answer = tuple[int, dict[str, Any]]


class InstalledNode:
    """One machine of a lab. The machine may be fresh, and may have any version of the package."""

    def __init__(self, lab: Lab, host: str) -> None:
        self.lab = lab
        self.host = host
        self.address = lab.record.machines[host].address
        self.key = ""

    def sh(self, script: str, *, check: bool = True, timeout: float = 120, stdin: str = "") -> str:
        """What a shell script as root prints; it has to succeed unless `check` is False."""
        done = self.lab.run(self.host, "sh", "-c", script, timeout=timeout, stdin=stdin)
        assert done.returncode == 0 or not check, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def fails(self, script: str) -> bool:
        """Whether a shell script as root fails."""
        return self.lab.run(self.host, "sh", "-c", script).returncode != 0

    def push(self, file: Path, directory: str = "/root") -> str:
        """Copies a file of this host there; its path."""
        target = f"{directory}/{file.name}"
        with file.open("rb") as source:
            subprocess.run(
                [*self.lab.ssh_command(self.host), f"cat >{target}"], stdin=source, check=True, timeout=120
            )
        return target

    def install(self, package: Path, *options: str) -> str:
        """apt-get install of a package file."""
        command = (
            f"DEBIAN_FRONTEND=noninteractive apt-get install -y -q {' '.join(options)} {self.push(package)} 2>&1"
        )
        return self.sh(command, timeout=300)

    def states(self, *units: str) -> dict[str, str]:
        """The active state of these units, or of all that make a node."""
        asked = units or UNITS
        shown = self.sh(f"systemctl show -p ActiveState --value {' '.join(asked)}").split()
        return dict(zip(asked, shown, strict=True))

    def pid(self, unit: str) -> int:
        """The main process of a unit, as the machine numbers it; 0 when there is none."""
        return int(self.sh(f"systemctl show -p MainPID --value {unit}"))

    def get(self, path: str, *, port: int = PORT) -> Answer | None:
        """Status and JSON body; None when nobody answers."""
        return request(self.address, "GET", path, self.key, port=port)

    def post(self, path: str, body: object) -> Answer | None:
        """As `get`."""
        return request(self.address, "POST", path, self.key, json.dumps(body).encode())

    def until_ready(self, seconds: float = 90.0) -> None:
        """Waits until /ready answers 200 and every unit is active."""
        until(lambda: (answer := self.get("/ready")) and answer[0] == 200, "ready", seconds)
        until(lambda: set(self.states().values()) == {"active"}, "every unit active", seconds)

    def stop(self) -> None:
        """Stops the node. systemctl waits for the API only, which ends first; the others follow."""
        self.sh("systemctl stop caxton")
        until(lambda: set(self.states().values()) <= {"inactive", "failed"}, "every unit inactive", 90)

    def make_key(self) -> None:
        """A key for the requests of this object: of a subject of its own, and for a release without roles too."""
        self.key = self.sh("CAXTON_KEY_ROLE=admin caxton -q key create --subject test-$(date +%s%N)")

    def deploy(self, module: Path, name: str) -> None:
        """Deploys an agent with the installed command line."""
        self.sh(f"CAXTON_API_KEY={self.key} caxton agent deploy {self.push(module)} --name {name}")

    def invoke(self, name: str, content: object) -> Answer | None:
        """Asks an agent."""
        return self.post(f"/api/v1/agents/{name}/invoke", {"content": content})


def request(
    address: str, method: str, path: str, key: str = "", body: bytes | None = None, *, port: int = PORT
) -> Answer | None:
    """One request on a connection of its own; None when it was not answered as HTTP."""
    connection = http.client.HTTPConnection(address, port, timeout=60)
    headers = {"X-API-Key": key, "Content-Type": "application/json", "Connection": "close"}
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text.startswith(b"{") else {}
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Clients:
    """Clients that ask an agent again and again, each time on a new connection, while the `with` block runs.

    `answers` counts statuses; 0 is a request that got none.
    """

    def __init__(self, node: InstalledNode, agent: str, clients: int = 6) -> None:
        self.answers: Counter[int] = Counter()
        self.slowest = 0.0
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._node, self._agent = node, agent
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        until(lambda: self.answers[200] > 10, "answers before anything happens")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if kind is None:
            before = self.answers[200]
            until(lambda: self.answers[200] > before + 10, "answers after it happened", 90)
        self._end.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> dict[int, int]:
        """How often each status came that is none of success."""
        return {status: count for status, count in self.answers.items() if not 200 <= status < 300}

    def _ask(self, client: int) -> None:
        while not self._end.wait(0.01):
            begun = time.monotonic()
            answer = self._node.invoke(self._agent, {"client": client})
            with self._lock:
                self.answers[answer[0] if answer else 0] += 1
                self.slowest = max(self.slowest, time.monotonic() - begun)
