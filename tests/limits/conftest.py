"""A virtual machine with the package installed and small limits in its production.toml: one for all tests here.

Not run by default (`make test-limits`): emulated, it takes minutes.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import caxton
from support import virtual_machine
from support.served_node import ECHO, until
from support.virtual_machine import VirtualMachine

RELEASE = os.environ.get("RELEASE", "bookworm")
MEMORY_LIMIT = 400 * 10**6
CPU_QUOTA = 1.0
WATCHED = ("caxton-executor", "caxton-router")
UNITS = (*WATCHED, "caxton-settings", "caxton-admin", "caxton")
SETTINGS = f"""
[runtime]
executor_workers = 1
cpu_quota = {CPU_QUOTA}
memory_limit = "{MEMORY_LIMIT // 10**6}MB"
wasm_memory_limit = "1GB"
execution_timeout = "10m"
agent_startup_timeout = "2m"
[networking]
bind_address = "127.0.0.1:8080"
metrics_address = "127.0.0.1:9090"
request_timeout = "10m"
workers = 1
[messaging]
max_deliveries = 2
retry_delay = "100ms"
low_disk_bytes = "100MB"
[security]
auth_enabled = false
"""
PATIENCE = "[Service]\nTimeoutStartSec=15min\n"
"""An emulated start takes minutes where others work too; nothing else of the units is changed."""
MORE_PATIENCE = PATIENCE + "WatchdogSec=10min\n"
"""For those that have a watchdog. The others never say that they live, and one would end them, and the node."""
EATER = """
(module
  (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "caxton_alloc") (param $len i32) (result i32) (i32.const 1024))
  (func (export "handle_message") (param $ptr i32) (param $len i32) (result i32)
    (local $at i32) (local $end i32)
    (if (i32.eq (memory.grow (i32.const 9600)) (i32.const -1)) (then unreachable)) ;; 600 MiB
    (local.set $end (i32.mul (memory.size) (i32.const 65536)))
    (loop $more
      (i32.store8 (local.get $at) (i32.const 1))
      (local.set $at (i32.add (local.get $at) (i32.const 4096)))
      (br_if $more (i32.lt_u (local.get $at) (local.get $end))))
    (i32.const 0)))
"""
"""Takes more memory than the unit may have, and touches all of it."""
SPINNER = ECHO.replace(
    "(drop (call $reply (local.get $ptr) (local.get $len))) (i32.const 0)", "(loop $for (br $for)) (i32.const 0)"
)
"""Computes until it is ended."""
assert SPINNER != ECHO
BURN = """
import os, time
open("/sys/fs/cgroup/system.slice/caxton-executor.service/cgroup.procs", "w").write(str(os.getpid()))
os.fork()
end = time.monotonic() + 60
while time.monotonic() < end:
    pass
"""
"""Two processes in the executor's cgroup that compute for a minute."""
FORKS = """
import os, signal, sys, time
open("/sys/fs/cgroup/system.slice/caxton-executor.service/cgroup.procs", "w").write(str(os.getpid()))
made, error = [], 0
while not error and len(made) < 10000:
    try:
        made.append(os.fork())
    except OSError as refused:
        error = refused.errno
    if made and made[-1] == 0:
        signal.pause()
with open("/sys/fs/cgroup/system.slice/caxton-executor.service/pids.current") as file:
    print(len(made), error, file.read())
for pid in made:
    os.kill(pid, signal.SIGKILL)
"""
"""Forks in the executor's cgroup until it is refused: how many, why, and how many tasks there were then."""


@dataclass
class Node:
    """The installed node."""

    machine: VirtualMachine

    def caxton(self, *words: str, timeout: float = 300.0) -> str:
        """What a verb prints."""
        return self.machine.run(shlex.join(["caxton", *words]), timeout)

    def json(self, *words: str) -> Any:
        """What a verb prints as JSON."""
        return json.loads(self.caxton(*words, "--output", "json"))

    def answers(self) -> bool:
        """Whether a good agent replies."""
        reply: dict[str, Any] = self.json("agent", "invoke", "echo", '"still here"', "--timeout", "5m")
        return bool(reply["content"]["content"] == "still here")

    def balanced(self) -> dict[str, int]:
        """The node's ledger once nothing is under way; its imbalance is 0."""

        def settled() -> dict[str, int] | None:
            total: dict[str, int] = self.json("ledger")["node"]
            return total if total["pending"] == total["in_flight"] == 0 else None

        total = until(settled, "nothing is under way", 300)
        assert total["imbalance"] == 0
        return dict(total)

    def main_pids(self) -> dict[str, str]:
        """The main process of each unit."""
        units = ("caxton", "caxton-admin", "caxton-router", "caxton-executor")
        return {unit: self.machine.properties(unit, "MainPID")["MainPID"] for unit in units}


def patience(unit: str) -> bytes:
    """The drop-in for a unit."""
    return (MORE_PATIENCE if unit in WATCHED else PATIENCE).encode()


def measured(record: pytest.FixtureRequest, what: str, seconds: float) -> None:
    """Says how long something took, whatever becomes of the tests."""
    reporter = record.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"{what}: {seconds:.0f} s")


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    if (lack := virtual_machine.missing()) is not None:
        pytest.skip(lack)
    root = Path(__file__).resolve().parents[2]
    package = root / "build" / "deb" / RELEASE / f"caxton_{caxton.__version__}_amd64.deb"
    if not package.exists():
        pytest.skip("no package: make deb")
    files = {
        "opt/caxton/config/production.toml": SETTINGS.encode(),
        **{f"etc/systemd/system/{unit}.service.d/90-patience.conf": patience(unit) for unit in UNITS},
        "root/echo.wat": ECHO.encode(),
        "root/eater.wat": EATER.encode(),
        "root/spinner.wat": SPINNER.encode(),
        "root/forks.py": FORKS.encode(),
        "root/burn.py": BURN.encode(),
    }
    machine = VirtualMachine(tmp_path_factory.mktemp("vm"), files, package)
    try:
        measured(request, "virtual machine boots", machine.start())
        started = time.monotonic()
        node = Node(machine)
        until(lambda: "200" in machine.run(READY, check=False), "the node is ready", 900)
        measured(request, "the node is ready after further", time.monotonic() - started)
        for name in ("echo", "eater", "spinner"):
            node.caxton("agent", "deploy", f"/root/{name}.wat", timeout=600)
        yield node
    except BaseException:
        print(machine.run("journalctl -u 'caxton*' --no-pager -n 60", check=False) or machine.serial()[-4000:])
        raise
    finally:
        machine.close()


READY = (
    "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:8080/ready\", timeout=30).status)'"
)
