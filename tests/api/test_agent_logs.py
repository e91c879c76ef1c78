"""GET /agents/{name}/logs."""

from __future__ import annotations

import json

import httpx
import pytest
from api.checks import problem
from api.conftest import Deploy

from support.node import until
from support.wat import LOGGER


@pytest.fixture
def logger(deploy: Deploy, http: httpx.Client) -> str:
    """An agent that has logged twice."""
    name = deploy(LOGGER)
    for _ in range(2):
        assert http.post(f"/agents/{name}/invoke", json={}).status_code == 200
    until(lambda: len(http.get(f"/agents/{name}/logs").json()["items"]) == 2, 10, "two lines")
    return name


def test_the_last_lines_are_a_page(http: httpx.Client, logger: str) -> None:
    first, second = http.get(f"/agents/{logger}/logs").json()["items"]
    assert first["text"] == second["text"] == "hello"
    assert first["seq"] < second["seq"]
    assert [item["seq"] for item in http.get(f"/agents/{logger}/logs?limit=1").json()["items"]] == [second["seq"]]


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 1001}, {"follow": "maybe"}])
def test_wrong_parameters_are_named(http: httpx.Client, params: dict[str, object]) -> None:
    assert problem(http.get("/agents/echo/logs", params=params), 400, "INVALID_REQUEST")["path"] in params


def test_following_gives_lines_as_they_come(http: httpx.Client, logger: str) -> None:
    with http.stream("GET", f"/agents/{logger}/logs?follow=true") as answer:
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        assert answer.headers["x-trace-id"]
        lines = (line for line in answer.iter_lines() if line)
        assert [json.loads(next(lines))["text"] for _ in range(2)] == ["hello"] * 2
        message_id = http.post(f"/agents/{logger}/invoke", json={}).json()["message_id"]
        assert json.loads(next(lines))["message_id"] == message_id


def test_following_as_events(http: httpx.Client, logger: str) -> None:
    headers = {"Accept": "text/event-stream"}
    with http.stream("GET", f"/agents/{logger}/logs?follow=true", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        line = next(line for line in answer.iter_lines() if line.startswith("data: "))
        assert json.loads(line[6:])["text"] == "hello"


def test_a_stream_ends_with_its_agent(http: httpx.Client, logger: str) -> None:
    with http.stream("GET", f"/agents/{logger}/logs?follow=true") as answer:
        lines = answer.iter_lines()
        next(lines)
        assert http.delete(f"/agents/{logger}").status_code == 200
        assert len(list(lines)) < 20
