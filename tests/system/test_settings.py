"""Every key of the configuration whose subject exists: what it does, shown on a real node.

`PROOFS` is the table: key → a proof on one of the nodes below, or the name of a test elsewhere that shows the
effect itself. A key that is in neither table fails the first test.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from caxton.config.sections import KEYS
from support.credentials import bearer, claims
from support.node import APP, Node, running_node, until
from support.router_agents import ECHO, SPIN, TRAP
from support.router_client import RouterClient
from support.scrape import sample
from support.settings_agents import (
    DEEP,
    ENDLESS_END,
    ENDLESS_INIT,
    FILL_SCRATCH,
    GROW,
    INCARNATION,
    LARGE,
    TAIL_CALL,
)

TESTS = Path(__file__).resolve().parents[1]
SECRET = "q7Vd2mZr9Kx4Tn8Lw3Bj6Hs1Pf5Gc0Ya"
Proof = Callable[["Nodes"], None] | str


class Nodes:
    """Four nodes, each started when the first proof needs it. `directory` is for what lies outside of them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, Node] = {}
        self.issuer = Ed25519PrivateKey.generate()
        self.directory = Path(tempfile.mkdtemp(prefix="cx", dir="/tmp"))
        stack.callback(shutil.rmtree, self.directory, ignore_errors=True)

    @property
    def tight(self) -> Node:
        """Small limits for what runs."""
        return self._node("tight", self._tight)

    @property
    def few(self) -> Node:
        """Little of everything that is counted; other journal, other log, nothing kept for long."""
        return self._node("few", lambda: _FEW)

    @property
    def guarded(self) -> Node:
        """With authentication; no metrics."""
        node = self._node("guarded", lambda: _GUARDED)
        node.client.headers.update(bearer(secret=SECRET))
        return node

    @property
    def issued(self) -> Node:
        """With tokens that somebody else signs, with `issuer`."""
        return self._node("issued", self._issued)

    def _issued(self) -> dict[str, dict[str, Any]]:
        path = self.directory / "issuer.pem"
        path.write_bytes(self.issuer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        names = {"jwt_algorithm": "EdDSA", "jwt_public_key_path": str(path), "jwt_leeway": "40s"}
        names |= {"jwt_issuer": "https://issuer.test", "jwt_audience": "nodes"}
        return {"runtime": {"executor_workers": 1}, "security": {"auth_enabled": True, **names}}

    def _node(self, name: str, sections: Callable[[], dict[str, dict[str, Any]]]) -> Node:
        if name not in self._running:
            self._running[name] = self._stack.enter_context(running_node(**sections()))
        return self._running[name]

    def _tight(self) -> dict[str, dict[str, Any]]:
        share = self.directory / "share"
        share.mkdir()
        log = self.directory / "logs" / "node.log"
        log.parent.mkdir()
        now = time.time()
        for path, age in ((log, 2 * 3600), (log.with_name("node.log.2001-01-01T00"), 3 * 86_400)):
            path.write_text("before\n")
            os.utime(path, (now - age, now - age))
        return {
            "runtime": {
                "executor_workers": 2,
                "max_concurrent_executions": 2,
                "wasm_memory_limit": "4MB",
                "wasm_stack_limit": "128KiB",
                "execution_timeout": "700ms",
                "agent_idle_timeout": "1s",
                "agent_startup_timeout": "500ms",
                "agent_shutdown_timeout": "300ms",
                "temp_storage_limit": "1MB",
                "wasm_features": ["tail_call"],
                "shareable_dirs": [str(share)],
                "cpu_quota": 1.0,
                "memory_limit": "1GB",
            },
            "networking": {
                "workers": 2,
                "connection_timeout": "500ms",
                "request_timeout": "1s",
                "keepalive_timeout": "1s",
            },
            "messaging": {
                "max_message_size": "2kB",
                "mailbox_size": 3,
                "max_deliveries": 3,
                "retry_delay": "80ms",
                "retry_backoff": 5.0,
            },
            "observability": {
                "log_file": str(log),
                "log_rotation": "hourly",
                "log_retention_days": 1,
                "metrics_prefix": "tight",
            },
        }


_FEW: dict[str, dict[str, Any]] = {
    "runtime": {
        "executor_workers": 1,
        "max_agents": 3,
        "cpu_quota": 1.0,
        "memory_limit": "64MiB",
        "gc_interval": "1s",
        "memory_pressure_threshold": 0.1,
        "agent_memory_reclaim": False,
    },
    "networking": {"max_connections": 6},
    "coordination": {"journal_mode": "DELETE", "synchronous": "EXTRA"},
    "messaging": {
        "queue_size": 4,
        "max_deliveries": 1,
        "dedup_window": "1s",
        "retention": "1s",
        "low_disk_bytes": "1MB",
    },
    "observability": {"log_format": "text", "log_level": "warning"},
}
_GUARDED: dict[str, dict[str, Any]] = {
    "runtime": {
        "executor_workers": 1,
        "memory_limit": "256MiB",
        "gc_interval": "1s",
        "memory_pressure_threshold": 0.1,
    },
    "messaging": {"retention": "1s", "retention_bytes": "1MB"},
    "observability": {"enable_metrics": False},
    "security": {"auth_enabled": True, "jwt_secret": SECRET, "jwt_expiry": "90s", "api_key_header": "X-Node-Key"},
}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with ExitStack() as stack:
        yield Nodes(stack)


# ---- small tools -----------------------------------------------------------------------------------


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and place of a problem document."""
    body = answer.json()
    return answer.status_code, body["error"]["code"], body["error"].get("details", {}).get("path")


def post_agent(node: Node, name: str, wat: str, **config: Any) -> httpx.Response:
    return node.client.post("/api/v1/agents", json={"name": name, "wat": wat, **config})


def address(node: Node, key: str) -> str:
    return f"http://{node.settings['networking'][key]}"


def said(nodes: Nodes) -> list[dict[str, Any]]:
    """What the node with tight limits has written to its log file, as objects."""
    assert nodes.tight
    return [json.loads(line) for line in (nodes.directory / "logs" / "node.log").read_text().splitlines()]


def submit(node: Node, *receivers: str, **fields: Any) -> list[dict[str, Any]]:
    body = [{"performative": "request", "receiver": one, "content": 1, **fields} for one in receivers]
    return list(node.client.post("/api/v1/messages", json=body).json()["items"])


def codes(items: list[dict[str, Any]]) -> list[str]:
    """Codes of the items that were refused."""
    return [item["error"]["code"] for item in items if "error" in item]


def ended(node: Node, message_id: str) -> dict[str, Any]:
    """The message once it has ended."""

    def view() -> Any:
        found = node.client.get(f"/api/v1/messages/{message_id}").json()
        return found if found["state"] not in ("pending", "in_flight") else None

    return dict(until(view, 20, f"message {message_id} ends"))


def raw(node: Node) -> socket.socket:
    return socket.create_connection(("127.0.0.1", node.port), timeout=10)


def caxton(node: Node, *arguments: str) -> Any:
    """A command of the CLI on this node's configuration, as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "caxton", "--config", str(node.config_file), *arguments, "--output", "json"],
        env={**os.environ, "PYTHONPATH": str(APP)},
        capture_output=True,
        timeout=30,
        check=True,
    )
    return json.loads(done.stdout)


# ---- [runtime] -------------------------------------------------------------------------------------


def max_agents(nodes: Nodes) -> None:
    node = nodes.few
    for name in ("spin", "other", "third"):
        node.deploy(name, SPIN)
    assert refusal(post_agent(node, "fourth", SPIN))[1] == "RESOURCE_LIMIT_EXCEEDED"


def max_concurrent_executions(nodes: Nodes) -> None:
    node, names = nodes.tight, [f"busy{number}" for number in range(4)]
    for name in names:
        node.deploy(name, SPIN, retry={"max_deliveries": 1})
    items = submit(node, *names)
    # Not the ledger's `in_flight`: that counts ended executions until their commit, and the next starts before it.
    with RouterClient(node.home / "data" / "run" / "router.sock") as router:
        seen = [router.call("stats")]
        while seen[-1]["ledger"]["pending"] or seen[-1]["ledger"]["in_flight"]:
            seen.append(router.call("stats"))
    assert max(stats["core"]["runnable"] for stats in seen) == 2
    assert [ended(node, item["message_id"])["error"]["code"] for item in items] == ["EXECUTION_TIMEOUT"] * 4


def executor_workers(nodes: Nodes) -> None:
    assert (len(nodes.tight.pids("worker")), len(nodes.few.pids("worker"))) == (2, 1)


def wasm_memory_limit(nodes: Nodes) -> None:
    node = nodes.tight
    assert node.deploy("grow", GROW)["limits"]["memory_bytes"] == 4_000_000
    assert node.invoke("grow", 1).json()["content"] == 1  # memory.grow by 20 pages, and then by 60
    assert refusal(post_agent(node, "large", LARGE))[1] == "INVALID_WASM"
    assert refusal(post_agent(node, "more", GROW, limits={"memory_bytes": 4_000_001}))[2] == "limits.memory_bytes"


def wasm_stack_limit(nodes: Nodes) -> None:
    nodes.tight.deploy("deep", DEEP)
    assert refusal(nodes.tight.invoke("deep", 1))[1] == "STACK_OVERFLOW"
    nodes.guarded.deploy("deep", DEEP)
    assert nodes.guarded.invoke("deep", 1).status_code == 200  # the default is deep enough for the same call


def execution_timeout(nodes: Nodes) -> None:
    nodes.tight.deploy("spin", SPIN)
    answer = nodes.tight.invoke("spin", 1)
    assert refusal(answer)[:2] == (504, "EXECUTION_TIMEOUT")
    assert answer.elapsed.total_seconds() < 10


def agent_idle_timeout(nodes: Nodes) -> None:
    node = nodes.tight
    node.deploy("idle", INCARNATION)
    assert [node.invoke("idle", 1).json()["content"] for _ in range(2)] == [1, 1]
    until(lambda: not node.client.get("/api/v1/agents/idle").json()["resources"]["resident"], 10, "instance ended")
    assert sample(node, 'tight_instance_ends_total{reason="idle",outcome="ended"}') >= 1
    assert sample(node, "tight_agent_idle_timeout_seconds") == 1
    assert node.invoke("idle", 1).json()["content"] == 2


def agent_startup_timeout(nodes: Nodes) -> None:
    end = time.monotonic() + 60
    code, took = "", 0.0
    while (code, took < 9) != ("EXECUTION_TIMEOUT", True):  # the default takes ten; a busy machine gets another try
        assert time.monotonic() < end, (code, took)
        began = time.monotonic()
        body = post_agent(nodes.tight, "endless", ENDLESS_INIT).json()
        while body.get("state") not in (None, "failed"):  # it took longer than a request waits
            body = nodes.tight.client.get(f"/api/v1/jobs/{body['job_id']}").json()
        code, took = body["error"]["code"], time.monotonic() - began
    assert sample(nodes.tight, 'tight_agent_starts_total{outcome="timeout"}') >= 1
    assert sample(nodes.tight, "tight_agent_startup_timeout_seconds") == 0.5


def agent_shutdown_timeout(nodes: Nodes) -> None:
    nodes.tight.deploy("stays", ENDLESS_END)
    answer = nodes.tight.client.post("/api/v1/agents/stays/stop", json={})
    assert answer.json()["status"] == "stopped"
    assert answer.elapsed.total_seconds() < 3  # the default is five
    assert sample(nodes.tight, "tight_agent_shutdown_timeouts_total") == 1
    assert sample(nodes.tight, 'tight_instance_ends_total{reason="shutdown",outcome="ended"}') >= 1
    assert sample(nodes.tight, "tight_agent_shutdown_timeout_seconds") == 0.3


def temp_storage_limit(nodes: Nodes) -> None:
    node, grants = nodes.tight, {"scratch": True}
    node.deploy("fill", FILL_SCRATCH, grants=grants)
    answer = node.invoke("fill", 1).json()
    assert (answer["performative"], answer["content"]["exit_code"]) == ("failure", 51)  # ENOSPC
    over = post_agent(node, "more", FILL_SCRATCH, grants=grants, limits={"temp_storage_bytes": 1_000_001})
    assert refusal(over)[2] == "limits.temp_storage_bytes"


def wasm_features(nodes: Nodes) -> None:
    nodes.tight.deploy("tail", TAIL_CALL)
    assert nodes.tight.invoke("tail", 1).status_code == 200
    assert refusal(post_agent(nodes.guarded, "tail", TAIL_CALL))[1] == "INVALID_WASM"


def shareable_dirs(nodes: Nodes) -> None:
    node, share = nodes.tight, str(nodes.directory / "share")
    granted = {"dirs": [{"host": share, "guest": "/data"}]}
    assert node.deploy("files", ECHO, grants=granted)["grants"]["dirs"][0]["host"] == share
    for host in (str(nodes.directory), f"{share}/../logs"):
        refused = post_agent(node, "outside", ECHO, grants={"dirs": [{"host": host, "guest": "/data"}]})
        assert refusal(refused)[2] == "grants.dirs[0].host"


def warned(key: str) -> Callable[[Nodes], None]:
    """The node says at its start that this limit is not in force without a cgroup."""

    def proof(nodes: Nodes) -> None:
        warnings = [line["message"] for line in said(nodes) if line["level"] == "warning"]
        assert len([text for text in warnings if text.startswith(f"{key}:")]) == 1
        assert "runtime.cpu_quota" not in nodes.guarded.log.read_text()  # nobody asked there

    return proof


# ---- [networking] ----------------------------------------------------------------------------------


def bind_address(nodes: Nodes) -> None:
    assert httpx.get(address(nodes.tight, "bind_address") + "/health").status_code == 200
    assert httpx.post(address(nodes.tight, "bind_address") + "/api/v1/admin/gc").status_code == 404


def metrics_address(nodes: Nodes) -> None:
    assert httpx.get(address(nodes.tight, "metrics_address") + "/metrics").status_code == 200
    assert httpx.get(address(nodes.tight, "bind_address") + "/metrics").status_code == 404


def admin_address(nodes: Nodes) -> None:
    assert admin(nodes.tight, "gc").status_code == 200


def admin(node: Node, what: str) -> httpx.Response:
    """POST to an admin route."""
    return httpx.post(f"{address(node, 'admin_address')}/api/v1/admin/{what}", headers=dict(node.client.headers))


def max_connections(nodes: Nodes) -> None:
    open_now, answered = [raw(nodes.few) for _ in range(9)], 0
    for connection in open_now:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.settimeout(0.5)
        try:
            answered += bool(connection.recv(65_536))
        except TimeoutError:
            break
    assert 4 <= answered <= 6  # the node's own client may hold some
    for connection in open_now:
        connection.close()


def connection_timeout(nodes: Nodes) -> None:
    with raw(nodes.tight) as connection:
        began = time.monotonic()
        connection.sendall(b"GET /health HTTP/1.1\r\nHost")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < 5  # the default is thirty


def request_timeout(nodes: Nodes) -> None:
    with raw(nodes.tight) as connection:
        began = time.monotonic()
        head = b"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(head + b"Content-Length: 100\r\n\r\n[")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")
        assert 0.8 < time.monotonic() - began < 8


def keepalive_timeout(nodes: Nodes) -> None:
    with raw(nodes.tight) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b'{"status":"ok"}'):  # head and body may come apart
            received = connection.recv(65_536)
            assert received, answer
            answer += received
        assert answer.startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        assert connection.recv(65_536) == b""
        assert 0.5 < time.monotonic() - began < 6


def workers(nodes: Nodes) -> None:
    assert (len(nodes.tight.pids("api")), len(nodes.few.pids("api"))) == (3, 2)  # a master each


# ---- [coordination] --------------------------------------------------------------------------------


def local_state_path(nodes: Nodes) -> None:
    node = nodes.tight
    path = Path(node.settings["coordination"]["local_state_path"])
    assert path.read_bytes().startswith(b"SQLite format 3\0")
    assert (path.parent / "modules").is_dir()


def journal_mode(nodes: Nodes) -> None:
    found = []
    for node in (nodes.tight, nodes.few):
        with sqlite3.connect(node.settings["coordination"]["local_state_path"]) as connection:
            found.append(connection.execute("PRAGMA journal_mode").fetchone()[0])
        connection.close()
    assert found == ["wal", "delete"]


# ---- [messaging] -----------------------------------------------------------------------------------


def max_message_size(nodes: Nodes) -> None:
    node = nodes.tight
    node.deploy("small", ECHO)
    assert node.invoke("small", "x" * 1_500).status_code == 200
    assert refusal(node.invoke("small", "x" * 2_000))[:2] == (413, "PAYLOAD_TOO_LARGE")


def mailbox_size(nodes: Nodes) -> None:
    node = nodes.tight
    node.deploy("box", SPIN, retry={"max_deliveries": 1})
    assert codes(submit(node, *["box"] * 5)) == ["MAILBOX_FULL"] * 2
    node.settled()


def queue_size(nodes: Nodes) -> None:
    node = nodes.few
    assert codes(submit(node, *["spin", "other", "third"] * 2)) == ["MAILBOX_FULL"] * 2
    for item in node.client.get("/api/v1/messages").json()["items"]:
        node.client.delete(f"/api/v1/messages/{item['message_id']}")
    node.settled()


def attempts(nodes: Nodes) -> list[float]:
    """When the attempts of a message failed that traps each time; seconds since the first."""
    node = nodes.tight
    if node.client.get("/api/v1/agents/trap").status_code == 404:
        node.deploy("trap", TRAP)
    view = ended(node, submit(node, "trap")[0]["message_id"])
    assert view["state"] == "dead"
    times = [datetime.fromisoformat(attempt["at"]).timestamp() for attempt in view["attempts"]]
    return [at - times[0] for at in times]


def max_deliveries(nodes: Nodes) -> None:
    assert len(attempts(nodes)) == 3


def retry_delay(nodes: Nodes) -> None:
    assert 0.05 < attempts(nodes)[1] < 0.6  # 80 ms give or take a quarter; the default is a second


def retry_backoff(nodes: Nodes) -> None:
    _, second, third = attempts(nodes)
    assert third - second > 0.29  # five times 80 ms, less a quarter; with the default at most 200 ms


def forgotten(nodes: Nodes) -> None:
    """Past both its retention and its deduplication window a message is gone."""
    node = nodes.few
    message_id = submit(node, "spin")[0]["message_id"]
    node.client.delete(f"/api/v1/messages/{message_id}")
    ended(node, message_id)

    def gone() -> bool:
        admin(node, "gc")
        return node.client.get(f"/api/v1/messages/{message_id}").status_code == 404

    until(gone, 10, "the message is forgotten")


def retention_bytes(nodes: Nodes) -> None:
    node = nodes.guarded
    node.deploy("echo", ECHO)
    first = [submit(node, "echo", content="x" * 400_000)[0]["message_id"] for _ in range(5)]
    for one in first:
        ended(node, one)
    assert admin(node, "gc").status_code == 200
    views = [node.client.get(f"/api/v1/messages/{one}").json() for one in first]
    assert views[0]["content"] is None  # its id is still remembered, for the deduplication window


# ---- [observability] -------------------------------------------------------------------------------


def log_format(nodes: Nodes) -> None:
    assert {"at", "level", "service", "message"} <= set(said(nodes)[0])
    (line, *_) = [line for line in nodes.few.log.read_text().splitlines() if "not enforced" in line]
    assert line[:1].isdigit()


def log_file(nodes: Nodes) -> None:
    assert {"serve", "router", "executor"} <= {line["service"] for line in said(nodes)}


def log_rotation(nodes: Nodes) -> None:
    assert nodes.tight
    kept = sorted((nodes.directory / "logs").glob("node.log.20*"))
    assert [path.read_text() for path in kept] == ["before\n"]  # of two hours ago; the ancient one is gone
    assert "before" not in (nodes.directory / "logs" / "node.log").read_text()


def log_retention_days(nodes: Nodes) -> None:
    assert nodes.tight
    assert not (nodes.directory / "logs" / "node.log.2001-01-01T00").exists()


def log_level(nodes: Nodes) -> None:
    assert "readiness" in {line["message"].partition(":")[0] for line in said(nodes)}  # on level info
    assert "readiness" not in nodes.few.log.read_text()  # warning


def enable_metrics(nodes: Nodes) -> None:
    assert nodes.guarded
    with pytest.raises(httpx.ConnectError):
        httpx.get(address(nodes.guarded, "metrics_address") + "/metrics")


def metrics_prefix(nodes: Nodes) -> None:
    text = httpx.get(address(nodes.tight, "metrics_address") + "/metrics").text
    assert "\ntight_router_up 1.0" in text
    assert "caxton_" not in text


# ---- [security] ------------------------------------------------------------------------------------


def auth_enabled(nodes: Nodes) -> None:
    url = address(nodes.guarded, "bind_address") + "/api/v1/ledger"
    assert httpx.get(url).status_code == 401
    assert httpx.get(address(nodes.tight, "bind_address") + "/api/v1/ledger").status_code == 200


def jwt_secret(nodes: Nodes) -> None:
    url = address(nodes.guarded, "bind_address") + "/api/v1/ledger"
    for secret, status in ((SECRET, 200), (SECRET[::-1], 401)):
        assert httpx.get(url, headers=bearer(secret=secret)).status_code == status


def taken(nodes: Nodes, **changed: Any) -> bool:
    """Whether the node whose tokens are signed elsewhere takes one that differs from a good one by this."""
    said = claims(**{"iss": "https://issuer.test", "aud": "nodes", **changed})
    text = jwt.encode(said, nodes.issuer, "EdDSA")
    url = address(nodes.issued, "bind_address") + "/api/v1/ledger"
    return httpx.get(url, headers={"Authorization": f"Bearer {text}"}).status_code == 200


def signed_elsewhere(nodes: Nodes) -> None:
    assert taken(nodes)
    url = address(nodes.issued, "bind_address") + "/api/v1/ledger"
    assert httpx.get(url, headers=bearer(iss="https://issuer.test", aud="nodes")).status_code == 401
    nodes.issuer, before = Ed25519PrivateKey.generate(), nodes.issuer
    assert not taken(nodes)
    nodes.issuer = before


def jwt_issuer(nodes: Nodes) -> None:
    assert not taken(nodes, iss="https://other.test")


def jwt_audience(nodes: Nodes) -> None:
    assert not taken(nodes, aud="others")


def jwt_leeway(nodes: Nodes) -> None:
    assert taken(nodes, exp=time.time() - 20)
    assert not taken(nodes, exp=time.time() - 41)


def jwt_expiry(nodes: Nodes) -> None:
    made = caxton(nodes.guarded, "token", "create", "--subject", "me", "--role", "viewer")["token"]
    claims = jwt.decode(made, SECRET, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == 90


def api_key_header(nodes: Nodes) -> None:
    url = address(nodes.guarded, "bind_address") + "/api/v1/ledger"
    key = caxton(nodes.guarded, "key", "create", "--subject", "me", "--role", "viewer")["key"]
    assert httpx.get(url, headers={"X-Node-Key": key}).status_code == 200
    assert httpx.get(url, headers={"X-API-Key": key}).status_code == 401


# ---- memory pressure -------------------------------------------------------------------------------


def is_resident(node: Node, name: str) -> bool:
    return bool(node.client.get(f"/api/v1/agents/{name}").json()["resources"]["resident"])


def stays_resident(node: Node, name: str) -> bool:
    """Whether the instance lives on for more than two intervals."""
    until_then = time.monotonic() + 2.5
    while is_resident(node, name):
        if time.monotonic() > until_then:
            return True
        time.sleep(0.05)
    return False


def gc_interval(nodes: Nodes) -> None:
    node = nodes.guarded
    node.deploy("lazy", INCARNATION)
    assert node.invoke("lazy", 1).json()["content"] == 1
    until(lambda: not is_resident(node, "lazy"), 10, "the instance is ended; by its idle time only after 300 s")
    assert node.invoke("lazy", 1).json()["content"] == 2


def memory_pressure_threshold(nodes: Nodes) -> None:
    node = nodes.guarded
    node.settings["runtime"]["memory_pressure_threshold"] = 1.0
    node.config_file.write_text(node.toml())
    assert node.process is not None
    node.process.send_signal(signal.SIGHUP)
    until(lambda: "configuration reloaded" in node.log.read_text(), 10, "the router has read it")
    node.invoke("lazy", 1)
    assert stays_resident(node, "lazy")


def agent_memory_reclaim(nodes: Nodes) -> None:
    node = nodes.few
    node.client.delete("/api/v1/agents/third")
    node.deploy("stays", INCARNATION)
    node.invoke("stays", 1)
    assert stays_resident(node, "stays")


PROOFS: dict[str, Proof] = {
    "runtime.max_agents": max_agents,
    "runtime.max_concurrent_executions": max_concurrent_executions,
    "runtime.executor_workers": executor_workers,
    "runtime.wasm_memory_limit": wasm_memory_limit,
    "runtime.wasm_stack_limit": wasm_stack_limit,
    "runtime.execution_timeout": execution_timeout,
    "runtime.agent_idle_timeout": agent_idle_timeout,
    "runtime.agent_startup_timeout": agent_startup_timeout,
    "runtime.agent_shutdown_timeout": agent_shutdown_timeout,
    "runtime.temp_storage_limit": temp_storage_limit,
    "runtime.wasm_features": wasm_features,
    "runtime.shareable_dirs": shareable_dirs,
    "runtime.engine": "executor/test_pulley.py::test_a_node_of_interpreted_code_has_no_executable_memory_of_its_own",
    "runtime.isolation": "router/test_namespace_isolation.py::test_two_namespaces_under_load_never_share_a_process",
    "runtime.egress_allow": "router/test_egress.py::test_a_redirect_is_checked_like_a_request",
    "runtime.cpu_quota": warned("runtime.cpu_quota"),
    "runtime.memory_limit": warned("runtime.memory_limit"),
    "networking.bind_address": bind_address,
    "networking.metrics_address": metrics_address,
    "networking.admin_address": admin_address,
    "networking.max_connections": max_connections,
    "networking.connection_timeout": connection_timeout,
    "networking.request_timeout": request_timeout,
    "networking.keepalive_timeout": keepalive_timeout,
    "networking.workers": workers,
    "coordination.local_state_path": local_state_path,
    "coordination.journal_mode": journal_mode,
    "coordination.synchronous": "store/test_schema.py::test_the_modes_are_those_that_were_asked_for",
    "coordination.cluster_enabled": "cluster/test_gossip_verbs.py::test_a_node_that_is_alone_runs_no_serf",
    "coordination.node_id": "cluster/test_gossip.py::test_each_member_is_described_by_its_tags",
    "coordination.gossip_rpc_address": "cluster/test_gossip.py::test_each_member_is_described_by_its_tags",
    "coordination.bind_addr": "cluster/test_gossip.py::test_each_member_is_described_by_its_tags",
    "coordination.advertise_addr": "cluster/test_gossip_addresses.py::test_the_address_that_others_are_told",
    "coordination.seeds": "cluster/test_gossip.py::test_a_lone_node_knocks_at_its_seeds_until_they_answer",
    "coordination.gossip_interval": ("cluster/test_gossip_addresses.py::test_serf_gets_the_profile_of_the_intervals"),
    "coordination.probe_interval": "cluster/test_gossip_addresses.py::test_serf_gets_the_profile_of_the_intervals",
    "coordination.encrypt_key": "cluster/test_gossip.py::test_another_key_is_no_member",
    "messaging.max_message_size": max_message_size,
    "messaging.mailbox_size": mailbox_size,
    "messaging.queue_size": queue_size,
    "messaging.max_deliveries": max_deliveries,
    "messaging.retry_delay": retry_delay,
    "messaging.retry_backoff": retry_backoff,
    "messaging.dedup_window": (
        "store/test_retention.py::test_an_id_inside_the_deduplication_window_is_never_forgotten"
    ),
    "messaging.commit_window": "store/test_group_commit.py::test_a_busy_writer_waits_no_longer_than_its_window",
    "messaging.retention": forgotten,
    "messaging.retention_bytes": retention_bytes,
    "messaging.low_disk_bytes": "router/test_server_operations.py::test_a_low_disk_is_named_and_stops_acceptance",
    "observability.log_level": log_level,
    "observability.log_format": log_format,
    "observability.log_file": log_file,
    "observability.log_rotation": log_rotation,
    "observability.log_retention_days": log_retention_days,
    "observability.enable_metrics": enable_metrics,
    "observability.metrics_prefix": metrics_prefix,
    "observability.histogram_buckets": (
        "api/test_http_metrics.py::"
        "test_workers_are_summed_those_that_ended_too_under_the_names_and_buckets_that_are_set"
    ),
    "networking.tls_enabled": "api/test_tls.py::test_versions_that_are_spoken",
    "networking.tls_cert_path": "api/test_tls_renewal.py::test_a_new_certificate_is_taken_over_without_a_word",
    "networking.tls_key_path": "api/test_tls_renewal.py::test_a_key_that_does_not_fit_changes_nothing",
    "networking.tls_ca_path": "api/test_client_certificates.py::test_one_of_another_authority_is_refused",
    "networking.tls_client_auth": (
        "api/test_client_certificates.py::test_who_shows_none_is_refused_only_where_one_is_required"
    ),
    "networking.max_connections_per_address": (
        "api/test_slow_clients.py::test_an_address_has_so_many_connections_and_others_do_not_notice"
    ),
    "security.rate_limit_enabled": "api/test_rate_limits.py::test_no_limit_where_none_is_configured",
    "security.rate_limit_per_second": "api/test_rate_limits.py::test_whoever_waits_as_told_is_served_again",
    "security.rate_limit_burst": "api/test_rate_limits.py::test_no_limit_where_none_is_configured",
    "security.unauthenticated_per_second": (
        "api/test_login_storm.py::test_new_credentials_wait_until_the_storm_is_over_and_no_longer"
    ),
    "security.unauthenticated_burst": "api/test_login_storm.py::test_who_shows_nothing_is_limited_too",
    "security.cors_enabled": "api/test_cors.py::test_any_origin_without_credentials",
    "security.cors_origins": "api/test_cors.py::test_other_origins_may_nothing",
    "security.cors_methods": "api/test_cors.py::test_a_preflight_needs_no_credentials",
    "security.auth_enabled": auth_enabled,
    "security.jwt_secret": jwt_secret,
    "security.trusted_proxies": "api/test_proxies.py::test_a_trusted_proxy_is_believed_on_every_way",
    "security.jwt_expiry": jwt_expiry,
    "security.api_key_header": api_key_header,
    "security.jwt_algorithm": signed_elsewhere,
    "security.jwt_public_key_path": signed_elsewhere,
    "security.jwt_issuer": jwt_issuer,
    "security.jwt_audience": jwt_audience,
    "security.jwt_leeway": jwt_leeway,
    "security.require_signatures": (
        "router/test_signatures.py::test_a_module_comes_in_signed_for_its_agent_or_not_at_all"
    ),
    "security.trusted_keys": (
        "router/test_signatures.py::test_a_key_that_is_trusted_no_more_takes_what_it_signed_with_it"
    ),
    "security.secrets_key": "router/test_secrets.py::test_without_its_key_the_node_runs_and_secrets_are_unavailable",
    "security.previous_secrets_key": (
        "router/test_secrets.py::test_without_its_key_the_node_runs_and_secrets_are_unavailable"
    ),
    "security.audit_retention_days": "router/test_audit.py::test_retention_is_applied_and_reloaded",
    "security.audit_max_bytes": "audit/test_retention.py::test_too_much_goes_from_the_oldest_on",
    "runtime.gc_interval": gc_interval,
    "runtime.memory_pressure_threshold": memory_pressure_threshold,
    "runtime.agent_memory_reclaim": agent_memory_reclaim,
    "coordination.on_owner_loss": (
        "cluster/test_homes_lost.py::"
        "test_agents_of_a_lost_home_wait_or_are_adopted_and_the_old_home_archives_what_it_has"
    ),
    "backup.directory": "backup/test_nodes.py::test_the_drill_proves_it_and_touches_nothing",
    "backup.state_retention_days": "backup/test_retention.py::test_a_backup_applies_it",
    "backup.config_retention_days": "backup/test_configuration_backup.py::test_old_ones_go",
    "backup.keep_at_least": "backup/test_retention.py::test_a_backup_applies_it",
    "backup.encryption_recipient": "backup/test_configuration_backup.py::test_encrypted_everything_is_inside",
}

LATER = {
    *(
        f"coordination.{name}"
        for name in (
            "expected_nodes", "detection_timeout", "heartbeat_interval", "outbox_size",
            "partition_mode",
        )
    ),
    *(
        f"observability.{name}"
        for name in ("enable_tracing", "trace_sample_rate", "otlp_endpoint", "otlp_timeout")
    ),
}  # fmt: skip
"""Keys of parts that are not built yet: checked when read, and without effect."""


def test_every_key_has_a_proof_or_is_of_a_later_part() -> None:
    assert set(PROOFS) | LATER == set(KEYS)
    assert not set(PROOFS) & LATER


@pytest.mark.parametrize("key", PROOFS)
def test_setting(key: str, nodes: Nodes) -> None:
    proof = PROOFS[key]
    if callable(proof):
        proof(nodes)
        return
    file, _, name = proof.partition("::")
    tree = ast.parse((TESTS / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_a_reload_applies_what_it_can_and_names_the_rest(nodes: Nodes) -> None:
    node = nodes.few
    for agent in node.client.get("/api/v1/agents").json()["items"]:
        node.client.delete(f"/api/v1/agents/{agent['name']}")
    node.settings["runtime"] |= {"max_agents": 2, "execution_timeout": "300ms", "executor_workers": 2}
    node.settings["messaging"]["mailbox_size"] = 1
    node.settings["observability"]["log_level"] = "info"
    node.config_file.write_text(node.toml())
    assert "configuration read again" not in node.log.read_text()
    assert node.process is not None
    node.process.send_signal(signal.SIGHUP)
    until(lambda: "configuration read again" in node.log.read_text(), 10, "the reload is logged, on level info")
    until(lambda: "configuration reloaded" in node.log.read_text(), 10, "the router has read it too")
    for name in ("spin", "other"):
        view = node.deploy(name, SPIN, retry={"max_deliveries": 1})
        assert view["limits"]["execution_timeout_seconds"] == 0.3
    assert refusal(post_agent(node, "third", SPIN))[1] == "RESOURCE_LIMIT_EXCEEDED"
    assert codes(submit(node, "spin", "spin")) == ["MAILBOX_FULL"]
    assert refusal(node.invoke("other", 1))[:2] == (504, "EXECUTION_TIMEOUT")
    (line, *_) = [line for line in node.log.read_text().splitlines() if "only after a restart" in line]
    assert line.endswith("runtime.executor_workers")
    assert len(node.pids("worker")) == 1
