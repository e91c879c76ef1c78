"""Machine code inside a worker of an installed, running node: it gets nowhere, and the node goes on.

The test has what an attacker would first have to steal: root, and so the key of the artifact cache.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from support import native_payload, poison
from support.installed_node import InstalledNode
from support.router_modules import wasm
from support.served_node import until

pytestmark = pytest.mark.timeout(600)  # the first of them deploys 22 modules, each compiled in the jail
AT_FDCWD = -100
ATTEMPTS: dict[str, tuple[int, list[int | str]]] = {
    "open /etc/passwd": (257, [AT_FDCWD, "/etc/passwd", 0, 0]),
    "open the configuration": (257, [AT_FDCWD, "/opt/caxton/config/production.toml", 0, 0]),
    "open the database": (257, [AT_FDCWD, "/opt/caxton/data/local.db", 2, 0]),
    "open the key of the cache": (257, [AT_FDCWD, "/var/cache/caxton-executor/key", 0, 0]),
    "open the supervisor's memory": (437, [AT_FDCWD, "/proc/1/mem", "", 24]),
    "write to /tmp": (257, [AT_FDCWD, "/tmp/probe", 0o101, 0o600]),
    "socket to 127.0.0.1:8080": (41, [2, 1, 0]),
    "socket to router.sock and D-Bus": (41, [1, 1, 0]),
    "netlink": (41, [16, 3, 0]),
    "packet socket": (41, [17, 3, 0]),
    "execute /bin/sh": (59, ["/bin/sh", 0, 0]),
    "fork": (57, []),
    "ptrace": (101, [16, 1, 0, 0]),
    "mount": (165, ["none", "/tmp", "tmpfs", 0, 0]),
    "setuid": (105, [0]),
    "unshare": (272, [0x10000000]),
    "signal": (62, [1, 0]),
    "keyring": (250, [0, -3, 0]),
    "perf_event_open": (298, ["", 0, -1, -1, 0]),
    "bpf": (321, [0, "", 64]),
    "io_uring": (425, [1, ""]),
    "userfaultfd": (323, [0]),
}


def module(number: int) -> bytes:
    """The module of one attempt: the same code, other bytes."""
    return wasm(
        native_payload.MODULE.replace('(memory (export "memory") 1)', f'(memory (export "memory") 1 {9 + number})')
    )


@pytest.fixture(scope="module")
def killed(node: InstalledNode, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """How the worker ended under each attempt, as the executor's log says."""
    directory = tmp_path_factory.mktemp("hostile")
    calls = {}
    for number, (name, call) in enumerate(ATTEMPTS.items()):
        path = directory / f"hostile-{number}.wasm"
        path.write_bytes(module(number))
        node.deploy(path, f"hostile-{number}")
        calls[hashlib.sha256(path.read_bytes()).hexdigest()] = call
        assert name
    node.sh("mkdir -p /usr/local/lib/support")
    script = node.push(Path(poison.__file__), "/usr/local/lib/support")
    node.push(Path(native_payload.__file__), "/usr/local/lib/support")
    node.stop()
    said = node.sh(f"runuser -u caxton-executor -- /usr/lib/caxton/bin/python3 -I {script}", stdin=json.dumps(calls))
    assert said.endswith("poisoned")
    node.sh("systemctl start caxton")
    node.until_ready()
    found = {}
    for number, name in enumerate(ATTEMPTS):
        before = len(ends(node))
        answer = node.invoke(f"hostile-{number}", {})
        assert answer is not None
        until(lambda seen=before: len(ends(node)) > seen, f"the worker's end under {name}", 60)
        found[name] = ends(node)[before]
    return found


def ends(node: InstalledNode) -> list[str]:
    """Why workers ended, in order."""
    text = node.sh("journalctl -u caxton-executor -o cat --no-pager | grep '\"worker ended\"' || true")
    return [json.loads(line)["reason"] for line in text.splitlines()]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_attempt_ends_the_worker(killed: dict[str, str], attempt: str) -> None:
    assert killed[attempt] == "killed_syscall"


def test_the_node_goes_on(killed: dict[str, str], node: InstalledNode) -> None:
    assert len(killed) == len(ATTEMPTS)
    answer = node.invoke("echo", {"still": "here"})
    assert answer is not None
    assert answer[0] == 200
