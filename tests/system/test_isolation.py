"""What each process of a real node has loaded and holds open: no wasm in the API, no SQL outside the router,
no network in the executor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.node import Node, running_node
from support.sight import require_sight
from support.wat import ECHO

WASM = "wasmtime"
SQLITE = "sqlite3"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running_node() as node:
        node.deploy("echo", ECHO)
        assert node.invoke("echo", 1).status_code == 200
        yield node


def loaded(pid: int) -> str:
    """Paths of everything mapped into the process."""
    return Path(f"/proc/{pid}/maps").read_text()


def sockets(pid: int) -> set[str]:
    """Inodes of the process's open sockets."""
    found = set()
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{entry}")
        except FileNotFoundError:
            continue  # closed meanwhile
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def internet_sockets(pid: int) -> set[str]:
    """Inodes of every TCP and UDP socket in the process's network namespace."""
    tables = ("tcp", "tcp6", "udp", "udp6", "raw", "raw6")
    lines = [line for name in tables for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
    return {line.split()[9] for line in lines}


@pytest.mark.parametrize("kind", ["api", "admin"])
def test_the_api_has_neither_wasm_nor_sql(node: Node, kind: str) -> None:
    for pid in node.pids(kind):
        assert WASM not in loaded(pid)
        assert SQLITE not in loaded(pid)


@pytest.mark.parametrize("kind", ["executor", "worker"])
def test_the_executor_has_neither_a_database_nor_a_network(node: Node, kind: str) -> None:
    pids = node.pids(kind)
    assert pids
    for pid in pids:
        require_sight(pid)
        assert SQLITE not in loaded(pid)
        assert not sockets(pid) & internet_sockets(pid)
        files = {os.readlink(f"/proc/{pid}/fd/{entry}") for entry in os.listdir(f"/proc/{pid}/fd")}
        assert not [path for path in files if path.endswith((".db", ".db-wal", ".db-shm"))]


def test_the_router_has_the_database_and_no_wasm(node: Node) -> None:
    (router,) = node.pids("router")
    assert SQLITE in loaded(router)
    assert WASM not in loaded(router)
    assert not sockets(router) & internet_sockets(router)


def test_only_workers_and_the_compiler_have_wasmtime(node: Node) -> None:
    (supervisor,) = node.pids("executor")
    assert WASM not in loaded(supervisor)
    assert all(WASM in loaded(pid) for pid in node.pids("worker"))


def test_a_worker_inherits_nothing_of_the_environment(node: Node) -> None:
    for pid in node.pids("worker"):
        assert b"HOME=" not in Path(f"/proc/{pid}/environ").read_bytes()
