from __future__ import annotations

import httpx
import pytest
from api.checks import problem
from support.node import Node


@pytest.mark.parametrize("verb", ["pause", "resume", "gc"])
def test_verbs(admin: httpx.Client, verb: str) -> None:
    assert admin.post(f"/{verb}").status_code == 200
    assert admin.post(f"/{verb}").status_code == 200
    problem(admin.get(f"/{verb}"), 405, "METHOD_NOT_ALLOWED")


def test_log_level(admin: httpx.Client) -> None:
    assert admin.post("/log-level", json={"level": "debug"}).status_code == 200
    assert problem(admin.post("/log-level", json={"level": "loud"}), 400, "INVALID_REQUEST")["path"] == "level"


def test_keys(admin: httpx.Client) -> None:
    made = admin.post("/keys", json={"subject": "alice", "ttl_seconds": 60})
    assert made.status_code == 201
    assert made.json()["key"].startswith("caxton_")
    assert made.headers["cache-control"] == "no-store"
    assert "items" in admin.get("/keys").json()
    problem(admin.post("/keys", json={"subject": "a b"}), 400, "INVALID_REQUEST")
    problem(admin.delete("/keys/none"), 404, "KEY_NOT_FOUND")


def test_metrics_are_on_both_addresses(node: Node) -> None:
    for port in (node.metrics_port, node.admin_port):
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        assert "caxton_ledger_imbalance 0.0" in text
        assert "caxton_router_up 1.0" in text


@pytest.mark.parametrize("path", ["keys", "pause", "gc", "log-level"])
def test_administration_is_on_the_admin_address_only(node: Node, path: str) -> None:
    for port in (node.metrics_port, node.port):
        for method in ("GET", "POST", "DELETE"):
            answer = httpx.request(method, f"http://127.0.0.1:{port}/api/v1/admin/{path}")
            problem(answer, 404, "NOT_FOUND")


def test_the_api_is_not_on_the_admin_address(node: Node) -> None:
    problem(httpx.get(f"{node.admin_url}/api/v1/agents"), 404, "NOT_FOUND")
    assert httpx.get(f"{node.url}/metrics").status_code == 404
