"""Draining a node over HTTP: what a balancer and its clients see."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from api.checks import BASE, problem
from api.conftest import Deploy

from support import wat
from support.node import Node, until


@pytest.fixture
def drained(node: Node, admin: httpx.Client) -> Iterator[None]:
    answer = admin.post("/drain", json={"wait_seconds": 5})
    assert (answer.status_code, answer.json()) == (200, {"drained": True, "running": []})
    yield
    assert admin.post("/undrain").status_code == 200
    assert httpx.get(f"{node.url}/ready").status_code == 200


@pytest.mark.usefixtures("drained")
def test_balancers_see_it_and_new_work_is_sent_elsewhere(node: Node, http: httpx.Client) -> None:
    assert problem(httpx.get(f"{node.url}/ready"), 503, "NOT_READY")["reasons"] == ["draining"]
    for answer in [
        http.post("/agents/echo/invoke", json={"content": 1}),
        http.post("/messages", json={"performative": "inform", "receiver": "echo"}),
        http.post("/agents", json={"name": "late", "wat": wat.ECHO}),
        http.post("/agents/echo/start"),
        http.post("/dead-letters/replay", json={"agent": "echo"}),
    ]:
        problem(answer, 503, "DRAINING")
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.usefixtures("drained")
@pytest.mark.parametrize("path", ["/health", "/agents", "/agents/echo", "/messages", "/ledger", "/dead-letters"])
def test_reads_are_answered(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 200


@pytest.mark.parametrize("body", [{"wait_seconds": -1}, {"wait_seconds": 3601}, {"wait": 1}, {"wait_seconds": "1"}])
def test_a_wrong_wait_drains_nothing(node: Node, admin: httpx.Client, body: dict[str, object]) -> None:
    problem(admin.post("/drain", json=body), 400, "INVALID_REQUEST")
    assert httpx.get(f"{node.url}/ready").status_code == 200


def test_what_runs_too_long_is_named(node: Node, admin: httpx.Client, http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(wat.LOOP, limits={"execution_timeout_seconds": 25})
    message = http.post("/messages", json={"performative": "inform", "receiver": name}).json()["message_id"]
    until(lambda: http.get(f"/messages/{message}").json()["state"] == "in_flight", 20, "it runs")
    try:
        answer = admin.post("/drain", json={"wait_seconds": 0}).json()
        assert [(one["agent"], one["message_id"]) for one in answer["running"]] == [(name, message)]
        assert http.get(f"/messages/{message}").json()["state"] == "pending"
        http.delete(f"/messages/{message}")
    finally:
        admin.post("/undrain")


def test_draining_is_for_administrators(guarded: Node) -> None:
    for verb in ("drain", "undrain"):
        problem(httpx.post(f"{guarded.admin_url}{BASE}/admin/{verb}"), 401, "UNAUTHORIZED")
        problem(httpx.post(f"{guarded.url}{BASE}/admin/{verb}"), 404, "NOT_FOUND")
