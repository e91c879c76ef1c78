"""GET /events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from api.checks import problem, settle
from api.conftest import Deploy

from support.wat import SILENT, TRAP


def events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """The events of a stream, each checked to be framed by its own id and type."""
    head: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "data":
            event = json.loads(value)
            assert head == {"id": str(event["id"]), "event": event["type"]}
            head = {}
            yield event
        elif name in ("id", "event"):
            head[name] = value
        else:
            assert line in ("", ": alive")


def test_a_deployment_is_told_at_once(http: httpx.Client, deploy: Deploy) -> None:
    with http.stream("GET", "/events?types=agent.*") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-trace-id"]
        assert answer.headers["x-request-id"]
        lines = answer.iter_lines()
        assert next(lines) == ": alive"
        name = deploy(SILENT)
        assert any(name in line for line in lines if line.startswith("data: "))


def test_globs_choose(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(TRAP)
    with http.stream("GET", "/events?types=node.*,message.dead") as answer:
        found = events(answer)
        deploy(SILENT)
        message_id = http.post("/messages", json={"performative": "inform", "receiver": name}).json()["message_id"]
        event = next(found)
        assert event["type"] == "message.dead"
        assert event["data"]["message_id"] == message_id


@pytest.mark.parametrize("where", ["header", "parameter"])
def test_a_stream_goes_on_after_the_last_id(http: httpx.Client, deploy: Deploy, where: str) -> None:
    with http.stream("GET", "/events?types=agent.deployed") as answer:
        found = events(answer)
        first = deploy(SILENT)
        seen = next(found)
        assert seen["data"]["name"] == first
    missed = [deploy(SILENT) for _ in range(3)]
    params = {"types": "agent.deployed"}
    headers = {"Last-Event-ID": str(seen["id"])} if where == "header" else {}
    if where == "parameter":
        params["last_event_id"] = str(seen["id"])
    with http.stream("GET", "/events", params=params, headers=headers) as answer:
        found = events(answer)
        assert [next(found)["data"]["name"] for _ in missed] == missed
        later = deploy(SILENT)
        assert next(found)["data"]["name"] == later


def test_a_gap_is_told(http: httpx.Client) -> None:
    with http.stream("GET", "/events?types=agent.*", headers={"Last-Event-ID": "1"}) as answer:
        assert next(events(answer))["type"] == "stream.lagged"


def test_a_stop_is_told(http: httpx.Client, deploy: Deploy) -> None:
    body = {"performative": "inform", "receiver": deploy(SILENT)}
    with http.stream("GET", "/events?types=agent.stopped,agent.started") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": alive"
        settle(http, f"/messages/{http.post('/messages', json=body).json()['message_id']}", "done")
        http.post(f"/agents/{body['receiver']}/stop")
        assert any(body["receiver"] in line for line in lines if line.startswith("data: "))


@pytest.mark.parametrize("last_id", ["-1", "x", "1" * 19, "1.5"])
def test_an_event_id_that_is_none_is_refused(http: httpx.Client, last_id: str) -> None:
    problem(http.get("/events", headers={"Last-Event-ID": last_id}), 400, "INVALID_REQUEST")
    problem(http.get("/events", params={"last_event_id": last_id}), 400, "INVALID_REQUEST")


@pytest.mark.parametrize("types", ["", "x" * 129, ",".join(["a"] * 33)])
def test_patterns_are_bounded(http: httpx.Client, types: str) -> None:
    assert problem(http.get("/events", params={"types": types}), 400, "INVALID_REQUEST")["path"] == "types"
