"""Names that would be paths: of agents, messages, topics, modules. No file is read or written by them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import httpx
import pytest
from api.raw import Connection

from support import wat
from support.node import Node
from support.served_node import run_cli

CANARY = "caxton-canary-5f0c"
STEPS = [
    "../../{file}",
    "..%2f..%2f{file}",
    "%2e%2e/%2e%2e/{file}",
    "%2e%2e%2f%2e%2e%2f{file}",
    "%252e%252e%252f{file}",
    "..%c0%af..%c0%af{file}",
    "%c0%ae%c0%ae/{file}",
    "%e0%80%ae%e0%80%ae/{file}",
    "..%5c..%5c{file}",
    "..;/..;/{file}",
    "....//....//{file}",
    "/{file}",
    "%2f{file}",
    "{file}%00",
    "..%00/{file}",
    ".",
    "..",
    "%2e",
    "a/../../{file}",
    "%uff0e%uff0e/{file}",
    "file:///{file}",
]
ROUTES = [
    "/api/v1/agents/{name}",
    "/api/v1/agents/{name}/logs",
    "/api/v1/agents/{name}/state",
    "/api/v1/agents/{name}/versions",
    "/api/v1/agents/team/{name}",
    "/api/v1/messages/{name}",
    "/api/v1/jobs/{name}",
    "/api/v1/topics/{name}",
    "/api/v1/capabilities/{name}",
    "/api/v1/conversations/{name}",
    "/api/v1/dead-letters/{name}",
    "/api/v1/{name}",
    "/{name}",
]
NAMES = [
    "../x",
    "..",
    "/etc/passwd",
    "a/../b",
    "a/b/c",
    "a\\b",
    "a\0b",
    "a\nb",
    "a%2fb",
    ".a",
    "a ",
    "A",
    "a\u202eb",
    "x" * 300,
]


@pytest.fixture
def canary(node: Node) -> Path:
    """A file beside the node's data that must never be seen."""
    path = node.home / "canary"
    path.write_text(CANARY)
    return path


def everything(directory: Path) -> set[str]:
    """All paths below a directory, except what a node writes for itself at any time."""
    return {str(path) for path in directory.rglob("*") if path.suffix not in (".db-wal", ".db-shm")}


@pytest.mark.parametrize("route", ROUTES)
def test_no_spelling_of_a_path_in_a_url_reaches_a_file(node: Node, canary: Path, route: str) -> None:
    with Connection(node) as client:
        for step in STEPS:
            target = route.format(name=step.format(file=str(canary).lstrip("/")))
            for method in ("GET", "DELETE"):
                client.send(f"{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                answer = client.read()
                assert answer.status in (400, 404, 405) or target.rstrip("/.").endswith(("agents", "v1")), (
                    target,
                    answer,
                )
                assert CANARY.encode() not in answer.body
    assert canary.read_text() == CANARY


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_name_is_none_anywhere(node: Node, http: httpx.Client, name: str) -> None:
    before = everything(node.home)
    given = {"name": name, "wat": wat.SILENT}
    assert http.post("/agents", json=given).json()["error"]["code"] == "INVALID_REQUEST"
    config = json.dumps({"name": name}).encode()
    files = {"config": ("../../etc/passwd", config), "wasm": ("/../../x", b"\0asm\1\0\0\0")}
    assert http.post("/agents", files=files).json()["error"]["code"] == "INVALID_REQUEST"
    message = {"performative": "inform", "receiver": name}
    assert http.post("/messages", json=message).json()["error"]["code"] == "INVALID_REQUEST"
    for prefix in ("topic:", "capability:"):
        answer = http.post("/messages", json={**message, "receiver": prefix + name})
        assert answer.json()["error"]["code"] == "INVALID_REQUEST"
    assert everything(node.home) == before


def test_file_names_of_a_form_are_not_used(node: Node, http: httpx.Client) -> None:
    """The part's name counts, and a module lies under its checksum."""
    module = bytes.fromhex("0061736d01000000") + bytes.fromhex("0104016000000302010005030100010710020664")
    before = everything(Path("/tmp")) - everything(node.home)
    for file in ("../../../tmp/caxton-planted", "/tmp/caxton-planted", "..\\..\\caxton-planted", "a\r\nX: y"):
        parts = {"config": (file, b'{"name":"formed"}', "application/json"), "wasm": (file, module)}
        assert http.post("/agents", files=parts).status_code in (202, 400, 422)  # it is no whole module
    assert not [path for path in everything(Path("/tmp")) - before if "planted" in path]
    assert not list(node.home.rglob("*planted*"))


@pytest.mark.parametrize(
    "grant",
    [
        {"host": "/etc", "guest": "/in"},
        {"host": "/", "guest": "/in"},
        {"host": "relative", "guest": "/in"},
        {"host": "/srv/../etc", "guest": "/in"},
        {"host": "/proc/self", "guest": "/in"},
        {"host": "/etc\0", "guest": "/in"},
    ],
)
def test_a_directory_that_the_operator_did_not_share_is_refused(http: httpx.Client, grant: dict[str, str]) -> None:
    answer = http.post("/agents", json={"name": "reader", "wat": wat.SILENT, "grants": {"dirs": [grant]}})
    assert answer.status_code in (400, 403, 409, 422), answer.text
    assert http.get("/agents/reader").status_code == 404


def test_the_command_line_sends_what_was_named_and_nothing_else(node: Node, canary: Path, tmp_path: Path) -> None:
    """A module's path is the caller's own; a pipe, a directory or a device that never ends is told or refused."""
    environ = {"CAXTON_URL": node.url}
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, tmp_path / "missing", "/proc/self/mem"):
        done = run_cli("agent", "deploy", str(path), "--name", "x", env=environ)
        assert done.returncode in (1, 2), done.stderr
        assert "Traceback" not in done.stderr
    done = run_cli("agent", "show", f"../../{canary}", env=environ)
    assert done.returncode in (1, 2)
    assert CANARY not in done.stdout + done.stderr
