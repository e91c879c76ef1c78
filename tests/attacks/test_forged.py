"""Who says it is somebody else: senders, peers behind no proxy, and doors that are not for the public."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from api.raw import Connection

from support import router_agents, wat
from support.node import Node, until

FORGED = ["agent:echo", "echo", "client:root", "timer:x", "caxton:tasks", "", None, 1, {"name": "echo"}]
ALIASES = ["sender", "Sender", "SENDER", "from", "on_behalf_of", "caller", "reply_to", "origin", "subject"]


@pytest.mark.parametrize("field", ALIASES)
@pytest.mark.parametrize("value", FORGED, ids=str)
def test_no_way_in_takes_a_sender(http: httpx.Client, field: str, value: object) -> None:
    forged = {field: value}
    message = {"performative": "inform", "receiver": "echo", **forged}
    ways: list[tuple[str, Any]] = [
        ("/messages", message),
        ("/messages", [message]),
        ("/agents/echo/invoke", {"content": 1, **forged}),
        ("/tasks", {"capability": "none", "content": 1, **forged}),
        ("/dead-letters/replay", {"agent": "echo", **forged}),
        (f"/dead-letters/{uuid.uuid4()}/replay", {"content": 1, **forged}),
        ("/topics/none/subscribe", {"agent": "echo", **forged}),
    ]
    for path, content in ways:
        answer = http.post(path, json=content)
        assert answer.status_code in (400, 404, 405, 422), (path, answer.text)
        if path in ("/messages", "/agents/echo/invoke"):
            assert answer.json()["error"]["code"] == "INVALID_REQUEST"


def test_who_is_told_to_the_agent_is_who_called(http: httpx.Client) -> None:
    headers = {
        "X-Caxton-Sender": "echo",
        "X-Sender": "echo",
        "From": "echo",
        "X-Remote-User": "root",
        "Remote-User": "root",
    }
    for sender in ("agent:echo", "client:root"):
        content = {"sender": sender, "message": {"sender": sender}}
        answer = http.post("/agents/echo/invoke", json={"content": content}, headers=headers)
        assert answer.json()["content"]["sender"] == "client:anonymous"


def test_a_guest_sends_in_its_own_name_only(node: Node, http: httpx.Client) -> None:
    """`send_message` with another sender is refused in the guest, and nothing of it arrives."""
    for sender in ("client:root", "echo", "caxton:tasks"):
        said = msgspec.json.encode(
            {"performative": "inform", "receiver": "echo", "content": 1, "sender": sender}
        ).decode()
        size = len(said)
        name = f"liar{uuid.uuid4().hex[:8]}"
        handler = f"(call $send (i32.const 0) (i32.const {size}))"
        node.deploy(name, router_agents.reactor(handler, data=said), grants={"send": ["*"]})
        answer = http.post(f"/agents/{name}/invoke", json={"content": 1})
        assert answer.json()["performative"] == "failure", answer.text
        senders = {item["sender"] for item in http.get("/messages", params={"agent": "echo"}).json()["items"]}
        assert sender not in senders


def test_an_edited_dead_letter_keeps_its_sender(node: Node, http: httpx.Client) -> None:
    node.deploy("dies", wat.TRAP)
    sent = http.post("/messages", json={"performative": "inform", "receiver": "dies"}).json()["message_id"]
    until(lambda: http.get(f"/messages/{sent}").json()["state"] == "dead", 30, "it is dead")
    answer = http.post(f"/dead-letters/{sent}/replay", json={"content": {"sender": "client:root"}, "to": "echo"})
    assert answer.status_code == 200, answer.text
    listed = {"agent": "echo", "conversation_id": sent}
    (shown,) = until(lambda: http.get("/messages", params=listed).json()["items"], 30, "it is echo's")
    assert shown["sender"] == "client:anonymous"


SPOOFS = [
    "X-Forwarded-For: 127.0.0.1",
    "X-Real-IP: 127.0.0.1",
    "Forwarded: for=127.0.0.1",
    "X-Forwarded-Port: {admin}",
]
SPOOFS += [
    "X-Forwarded-Host: 127.0.0.1:{admin}",
    "Server-Port: {admin}",
    "SERVER_PORT: {admin}",
    "X-Original-URL: /api/v1/admin/keys",
]
SPOOFS += [
    "X-Rewrite-URL: /api/v1/admin/keys",
    "Script-Name: /api/v1",
    "X-Script-Name: /api/v1",
    "X-HTTP-Method-Override: GET",
]
DOORS = ["/api/v1/admin/keys", "/api/v1/admin/stats", "/api/v1/admin/config", "/metrics", "//api/v1/admin/keys"]
DOORS += [
    "/API/V1/admin/keys",
    "/api/v1/%61dmin/keys",
    "/api/v1//admin/keys",
    "/api%2fv1/admin/keys",
    "/x/../api/v1/admin/keys",
]
DOORS += [
    "http://127.0.0.1:{admin}/api/v1/admin/keys",
    "/api/v1/admin/keys?SERVER_PORT={admin}",
    "/api/v1;x/admin/keys",
]


def send_raw(port: int, data: bytes) -> int:
    """The status of the answer to these bytes."""
    with Connection(_At(port)) as client:  # type: ignore[arg-type]  # a connection asks a node for nothing but its port
        client.send(data)
        return client.read().status


class _At:
    def __init__(self, port: int) -> None:
        self.port, self.trust = port, None


@pytest.mark.parametrize("door", DOORS)
def test_administration_answers_at_its_own_address_only(node: Node, door: str) -> None:
    """Neither at the public one nor at that of the metrics, which the same process serves."""
    net = node.settings["networking"]
    admin = net["admin_address"].rpartition(":")[2]
    ports = [int(net[name].rpartition(":")[2]) for name in ("bind_address", "metrics_address")]
    for port in ports:
        if door == "/metrics" and port == ports[1]:
            continue
        for spoof in SPOOFS:
            for host in ("a", f"127.0.0.1:{admin}"):
                head = f"GET {door} HTTP/1.1\r\nHost: {host}\r\n{spoof}\r\nConnection: close\r\n\r\n"
                assert send_raw(port, head.format(admin=admin).encode()) in (400, 404), (port, door, spoof)
    assert httpx.get(f"{node.admin_url}/api/v1/admin/keys").status_code in (200, 401)


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY TCP4 127.0.0.1 127.0.0.1 1 8081\r\n",
        b"PROXY UNKNOWN\r\n",
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x01\x1f\x91",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
    ],
)
def test_no_other_protocol_is_spoken_in_front_of_http(node: Node, line: bytes) -> None:
    for address in ("bind_address", "metrics_address", "admin_address"):
        port = int(node.settings["networking"][address].rpartition(":")[2])
        assert send_raw(port, line + b"GET /api/v1/admin/keys HTTP/1.1\r\nHost: a\r\n\r\n") in (
            400,
            404,
            405,
            414,
            505,
        )


CONNECT = (
    "import os, socket, sys\n"
    "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    "try:\n    socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print('open')\n"
    "except PermissionError: print('refused')\n"
    "try:\n    os.listdir(os.path.dirname(sys.argv[1])); print('listed')\n"
    "except PermissionError: print('refused')\n"
)


@pytest.fixture
def sockets(node: Node) -> Iterator[list[Path]]:
    if os.geteuid() != 0:
        pytest.skip("to become somebody else needs root")
    found = [path for path in node.home.rglob("*") if path.is_socket()]
    assert {path.name for path in found} >= {"router.sock", "executor.sock"}
    node.home.chmod(0o755)  # what holds them must protect them by itself
    yield found
    node.home.chmod(0o700)


def test_another_user_of_the_host_opens_none_of_the_nodes_sockets(sockets: list[Path]) -> None:
    for path in sockets:
        done = subprocess.run([sys.executable, "-c", CONNECT, str(path)], capture_output=True, text=True, timeout=60)
        assert done.stdout.split() == ["refused", "refused"], (path, done.stdout, done.stderr)


def test_another_user_reads_nothing_of_the_nodes_data(node: Node, sockets: list[Path]) -> None:
    data = node.home / "data"
    program = (
        "import json, os, sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "seen = []\n"
        "for path in json.loads(sys.argv[1]):\n"
        "    try: os.close(os.open(path, os.O_RDONLY)); seen.append(path)\n"
        "    except OSError: pass\n"
        "print(json.dumps(seen))"
    )
    files = [str(path) for path in data.rglob("*") if path.is_file()]
    assert any(path.endswith("local.db") for path in files)
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(files)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []
