"""The canonical lines of a real node, in the one file that all its processes write."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from caxton.selftest.modules import LOG_FLOOD
from support.credentials import GUARDED, KEY_HEADER, bearer, make_key
from support.node import Node, running_node, until
from support.router_modules import CONSTANT, SPIN, TRAP

DOCS = Path(__file__).resolve().parents[2] / "app" / "docs" / "logs.md"
PARENT = "b7ad6b7169203331"
INVOKE = "/api/v1/agents/<agent:name>/invoke"
Line = dict[str, Any]


class World:
    """A node whose client is alice, and its log."""

    def __init__(self, node: Node, file: Path) -> None:
        self.node, self.file = node, file
        self.key = make_key(node, "alice")
        node.client.headers[KEY_HEADER] = self.key["key"]

    def lines(self, **fields: Any) -> list[Line]:
        """All that have these fields."""
        whole = [line for line in self.file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        found = [json.loads(line) for line in whole]
        return [line for line in found if line.items() >= fields.items()]

    def line(self, **fields: Any) -> Line:
        """The one with these fields, once it is there."""
        (found,) = until(lambda: self.lines(**fields), 20, f"a line with {fields}")
        return dict(found)

    def send(self, agent: str, trace: int, *, sampled: bool = False) -> str:
        """A durable message; its trace's id."""
        trace_id = f"{trace:032x}"
        body = {"receiver": agent, "performative": "request", "content": 1}
        headers = {"traceparent": f"00-{trace_id}-{PARENT}-0{int(sampled)}"}
        assert self.node.client.post("/api/v1/messages", json=body, headers=headers).status_code == 202
        return trace_id

    def invoke(self, agent: str, trace: int, *, sampled: bool = False) -> httpx.Response:
        """The answer."""
        headers = {"traceparent": f"00-{trace:032x}-{PARENT}-0{int(sampled)}"}
        return self.node.client.post(f"/api/v1/agents/{agent}/invoke", json={"content": 1}, headers=headers)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    file = tmp_path_factory.mktemp("log") / "logs" / "caxton.log"
    messaging = {"max_deliveries": 2, "retry_delay": "10ms"}
    with running_node(observability={"log_file": str(file)}, messaging=messaging, security=GUARDED) as node:
        made = World(node, file)
        node.deploy("worker", CONSTANT)
        node.deploy("broken", TRAP)
        node.deploy("exact", TRAP, profile="deterministic")
        node.deploy("loud", LOG_FLOOD, limits={"log_bytes": 5_000})
        yield made


def test_what_goes_wrong_has_a_line_for_its_request_and_for_each_execution(world: World) -> None:
    refused = world.invoke("nobody", 1)
    assert refused.status_code == 404
    line = world.line(message="request", trace_id=f"{1:032x}")
    assert line["request_id"] == refused.headers["x-request-id"]
    assert line.items() >= {"service": "api", "level": "info", "status": 404, "route": INVOKE}.items()
    assert line.items() >= {"method": "POST", "agent": "nobody", "subject": "alice", "client": "127.0.0.1"}.items()
    assert line["credential"] == f"key:{world.key['key_id']}"
    trace_id = world.send("broken", 2)
    last = world.line(message="execution", trace_id=trace_id, state="dead")
    (first,) = world.lines(message="execution", trace_id=trace_id, state="pending")
    assert (first["attempt"], last["attempt"]) == (1, 2)
    assert {line["level"] for line in (first, last)} == {"warning"}
    assert last.items() >= {"service": "router", "agent": "broken", "status": "error", "code": "AGENT_FAILED"}.items()
    assert (last["sender"], last["version"]) == ("client:alice", 1)
    assert first["message_id"] == last["message_id"]


def test_what_goes_well_has_lines_where_somebody_asks_and_one_trace_id_finds_them(world: World) -> None:
    assert world.invoke("worker", 3).status_code == 200
    answer = world.invoke("worker", 4, sampled=True)
    request = world.line(message="request", trace_id=f"{4:032x}")
    execution = world.line(message="execution", trace_id=f"{4:032x}")
    assert execution["message_id"] == answer.json()["message_id"]
    assert execution["execution_id"] == answer.json()["execution"]["id"]
    assert execution.items() >= {"level": "info", "agent": "worker", "status": "ok", "state": "done"}.items()
    assert request.items() >= {"level": "info", "agent": "worker", "status": 200, "subject": "alice"}.items()
    assert not world.lines(trace_id=f"{3:032x}"), "nobody asked for it"
    assert not [line for line in world.lines(message="request") if "/ready" in line["route"]]


def test_what_an_administrator_asks_has_a_line_with_its_route(world: World) -> None:
    headers = {"traceparent": f"00-{9:032x}-{PARENT}-01", **bearer()}
    assert httpx.post(f"{world.node.admin_url}/api/v1/admin/resume", headers=headers).status_code == 200
    line = world.line(message="request", trace_id=f"{9:032x}")
    assert (line["service"], line["route"]) == ("admin", "/api/v1/admin/resume")


def test_an_execution_whose_worker_dies_has_a_line(world: World) -> None:
    world.node.deploy("spinner", SPIN)
    trace_id = world.send("spinner", 5)
    until(lambda: world.node.ledger()["node"]["in_flight"], 20, "it spins")
    for pid in world.node.pids("worker"):
        os.kill(pid, 9)
    line = until(lambda: world.lines(message="execution", trace_id=trace_id, status="lost"), 20, "its line")[0]
    assert (line["agent"], line["state"]) == ("spinner", "pending")
    assert world.node.client.delete("/api/v1/agents/spinner", params={"purge": "true"}).status_code == 200


def test_what_the_web_server_says_is_a_line_like_any_other(world: World) -> None:
    pid = world.node.kill("api")
    line = until(
        lambda: [one for one in world.lines(logger="gunicorn.error") if str(pid) in one["message"]], 20, "its line"
    )
    assert line[0]["service"] == "api"
    assert "gunicorn" not in world.node.log.read_text()


def test_no_line_holds_a_credential_whatever_the_level_and_wherever_it_was_said(world: World) -> None:
    secret, token = "caxton_notakeybutlikeone", bearer()["Authorization"].split()[1]
    world.node.reload("observability", log_level="debug")
    world.node.client.headers[KEY_HEADER] = world.key["key"]
    with httpx.Client(base_url=world.node.url, timeout=20) as plain:
        for headers in ({KEY_HEADER: secret}, {"Authorization": f"Bearer {secret}"}, {"Cookie": secret}, bearer()):
            plain.get("/api/v1/agents", headers=headers)
            plain.post("/api/v1/agents/worker/invoke", json={"content": secret}, headers=headers)
            plain.get(f"/api/v1/agents?key={secret}&access_token={token}", headers=headers)
            plain.get(f"/{secret}/{token}", headers=headers)
        assert plain.request("SECRET-METHOD", "/api/v1/agents").status_code == 405
    assert world.invoke("worker", 6).status_code == 200
    assert world.line(message="request", trace_id=f"{6:032x}")["level"] == "debug"
    assert world.line(message="execution", trace_id=f"{6:032x}")["level"] == "debug"
    written = world.file.read_text() + world.node.log.read_text()
    for value in (secret, "SECRET-METHOD", token, world.key["key"], GUARDED["jwt_secret"]):
        assert value not in written


def documented(section: str) -> set[str]:
    """The fields that a section of the document lists."""
    text = DOCS.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def test_the_document_lists_the_fields_that_are_written(world: World) -> None:
    """After the others: by now there is a line of nearly every kind."""
    world.send("exact", 7)
    world.send("loud", 8, sampled=True)
    world.line(message="execution", agent="exact", state="dead")
    assert world.line(message="execution", agent="loud")["logs_dropped"] == 495
    own = until(lambda: world.node.client.get("/api/v1/agents/loud/logs").json()["items"], 20, "its own log")
    assert [line["stream"] for line in own] == ["log"] * 5 + ["node"], "the last one says that there was more"
    every, request, execution = (documented(name) for name in ("Every line", "Request", "Execution"))
    rare = {"exception", "more"}  # faults of ours, and floods
    assert set().union(*world.lines(message="request")) - rare == (every | request) - rare
    assert set().union(*world.lines(message="execution")) - rare == (every | execution) - rare - {"request_id"}
