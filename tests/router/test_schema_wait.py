"""A router on a database of another schema: it waits, says why, and goes on when the schema fits."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from caxton import __version__
from caxton.protocol.errors import Code
from caxton.protocol.operations import OPERATIONS, Submit
from caxton.store import SCHEMA_VERSION
from support import wat
from support.desk_node import APP, RouterNode, deploy, invoke, message, refusal, until
from support.manager import listening
from support.node import make_node
from support.router_modules import ECHO

NEXT = SCHEMA_VERSION + 1


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    """A copy of the package with one more migration."""
    shutil.copytree(APP / "caxton", tmp_path / "caxton", ignore=shutil.ignore_patterns("__pycache__"))
    schema = tmp_path / "caxton" / "store" / "schema.py"
    text = schema.read_text()
    ours = f"SCHEMA_VERSION: Final = {SCHEMA_VERSION}"
    assert ours in text
    schema.write_text(text.replace(ours, f"SCHEMA_VERSION: Final = {NEXT}"))
    (schema.parent / "migrations" / f"{NEXT:04}_next.py").write_text(
        'def up(migrator, db):\n    """Adds a table."""\n    db.execute_sql("CREATE TABLE next (a INTEGER)")\n'
    )
    return tmp_path


def edit(database: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute(statement)
        connection.commit()


@contextlib.contextmanager
def node_with_echo() -> Iterator[RouterNode]:
    """A node that has run; its router is stopped."""
    with RouterNode() as node:
        with node.client() as client:
            deploy(client, "echo", ECHO)
        node.stop_router()
        yield node


def upgrade(node: RouterNode) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(node.source)}
    command = [sys.executable, "-m", "caxton", "--config", str(node.config), "db", "upgrade"]
    return subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, timeout=60)


def test_an_older_schema_is_waited_for_and_upgraded_beside_the_router(next_release: Path) -> None:
    with node_with_echo() as node:
        node.source = next_release
        node.start_router(ready=False)
        with until(node.connected) as client:
            assert client.call("ready") == {"ready": False, "reasons": ["schema"]}
            for op in ("stats", "ledger", "node.drain", "agent.list"):
                refused = refusal(client, op, None if op != "agent.list" else OPERATIONS[op][0]())
                assert refused.code is Code.NOT_READY
                assert (refused.details["found"], refused.details["expected"]) == (SCHEMA_VERSION, NEXT)
            assert refusal(client, "submit", Submit([message("echo")])).details["reasons"] == ["schema"]
            assert refusal(client, "stats", None).details["versions"] == {"router": __version__}
        pid = node.router.pid if node.router else 0
        done = upgrade(node)
        assert done.returncode == 0, done.stderr
        assert f"{NEXT:04}_next" in done.stderr
        until(node.is_ready)
        assert node.router is not None
        assert node.router.pid == pid
        with node.client() as client:
            until(lambda: client.call("ready")["ready"])
            assert invoke(client, "echo")["performative"] == "inform"
        refused_upgrade = upgrade(node)  # the router has the directory now
        assert refused_upgrade.returncode == 1
        assert "CONFLICT" in refused_upgrade.stderr


def test_a_newer_schema_is_waited_for_too() -> None:
    with node_with_echo() as node:
        database = node.data / "local.db"
        edit(database, f"UPDATE schema_info SET version = {NEXT}, compat = {NEXT}")
        node.start_router(ready=False)
        with until(node.connected) as client:
            assert client.call("ready")["reasons"] == ["schema"]
            refused = refusal(client, "ledger")
            assert (refused.code, refused.details["needs"]) == (Code.NOT_READY, NEXT)
        edit(database, "UPDATE schema_info SET version = 1, compat = 1")
        until(node.is_ready)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_router_that_waits_ends_in_order(number: signal.Signals) -> None:
    with node_with_echo() as node:
        edit(node.data / "local.db", f"UPDATE schema_info SET version = {NEXT}, compat = {NEXT}")
        node.start_router(ready=False)
        until(node.connected).close()
        assert node.router is not None
        node.router.send_signal(signal.SIGHUP)
        assert node.stop_router(number) == 0
        assert not (node.directory / "run" / "router.sock").exists()


def test_the_service_manager_is_content_and_sees_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with node_with_echo() as node, listening() as manager:
        edit(node.data / "local.db", f"UPDATE schema_info SET version = {NEXT}, compat = {NEXT}")
        monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        node.start_router(ready=False)
        manager.hear_until("READY=1".__eq__)
        manager.hear_until(lambda said: said.startswith("STATUS=not ready: schema;"))
        manager.hear_until("WATCHDOG=1".__eq__)


def test_over_http_the_node_is_not_ready_and_names_the_schema(tmp_path: Path) -> None:
    home = Path("/tmp") / f"cx{os.getpid()}w"
    home.mkdir()
    node = make_node(home)
    try:
        node.start()
        node.deploy("echo", wat.ECHO)
        assert node.stop() == 0
        edit(home / "data" / "local.db", f"UPDATE schema_info SET version = {NEXT}, compat = {NEXT}")
        node.launch()

        def reasons() -> object:
            with contextlib.suppress(httpx.TransportError):
                return node.client.get("/ready").json().get("reasons")
            return None

        until(lambda: reasons() == ["schema"])
        assert node.client.get("/health").status_code == 200
        for answer in (node.client.get("/api/v1/agents"), node.invoke("echo", 1)):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "NOT_READY")
            assert answer.headers["retry-after"]
        text = httpx.get(f"{node.metrics_url}/metrics").text
        assert 'caxton_not_ready{reason="schema"} 1.0' in text
        assert "caxton_router_up 1.0" in text
        edit(home / "data" / "local.db", "UPDATE schema_info SET version = 1, compat = 1")
        node.wait_ready()
        until(lambda: node.invoke("echo", 1).status_code == 200)
    finally:
        node.stop()
        node.client.close()
        shutil.rmtree(home)
