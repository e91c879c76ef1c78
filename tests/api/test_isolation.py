"""What an API process is made of: no wasm, no database, no state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from support.node import APP, Node

FORBIDDEN = (
    "wasmtime",
    "peewee",
    "playhouse",
    "sqlite3",
    "_sqlite3",
    "caxton.store",
    "caxton.router",
    "caxton.executor",
)


def test_a_process_with_everything_loaded_has_no_wasm_and_no_sql() -> None:
    script = (
        "import json, sys; import caxton.api.__main__; from caxton import config; "
        "from caxton.api.app import create_app, create_admin_app; "
        "create_app(config.defaults()); create_admin_app(config.defaults()); print(json.dumps(list(sys.modules)))"
    )
    environ = {**os.environ, "PYTHONPATH": str(APP)}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "caxton.api.app" in loaded
    assert loaded.isdisjoint(FORBIDDEN)


def test_a_worker_that_serves_has_mapped_neither(node: Node) -> None:
    for kind in ("api", "admin"):
        _, workers = node.gunicorn(kind)
        assert workers
        for pid in workers:
            maps = Path(f"/proc/{pid}/maps").read_text()
            assert "gevent" in maps
            for library in ("wasmtime", "sqlite"):
                assert library not in maps


def test_a_worker_has_one_connection_to_the_router(node: Node) -> None:
    assert node.client.get("/api/v1/ledger").status_code == 200
    _, (pid,) = node.gunicorn("api")
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    sockets = {link[8:-1] for link in links if link.startswith("socket:")}
    inodes = {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:]}
    assert len(sockets & inodes) == 1
