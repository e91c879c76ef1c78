"""The routes below /admin, and /metrics."""

from __future__ import annotations

import uuid

import httpx
import pytest
from api.checks import problem
from api.conftest import Deploy

from support.node import Node, until
from support.wat import SILENT


@pytest.mark.parametrize("verb", ["resume", "pause", "gc"])
def test_verbs(admin: httpx.Client, verb: str) -> None:
    try:
        assert admin.post(f"/{verb}").status_code == 200
        assert admin.post(f"/{verb}").status_code == 200
        problem(admin.get(f"/{verb}"), 405, "METHOD_NOT_ALLOWED")
        problem(admin.post(f"/{verb}?x=1"), 400, "INVALID_REQUEST")
    finally:
        admin.post("/resume")


def test_a_paused_node_accepts_and_goes_on_later(http: httpx.Client, deploy: Deploy, paused: object) -> None:
    name = deploy(SILENT)
    message_id = http.post("/messages", json={"performative": "inform", "receiver": name}).json()["message_id"]
    assert http.get(f"/messages/{message_id}").json()["state"] == "pending"
    assert callable(paused)
    paused()
    until(lambda: http.get(f"/messages/{message_id}").json()["state"] == "done", 10, "done")


def test_gc_ends_idle_instances(http: httpx.Client, admin: httpx.Client, deploy: Deploy) -> None:
    name = deploy(SILENT)
    http.post(f"/agents/{name}/invoke", json={})
    assert admin.post("/gc").json()["count"] >= 0
    assert http.post(f"/agents/{name}/invoke", json={}).status_code == 200


def test_log_level(node: Node, admin: httpx.Client) -> None:
    assert admin.post("/log-level", json={"level": "debug"}).status_code == 200
    assert problem(admin.post("/log-level", json={"level": "loud"}), 400, "INVALID_REQUEST")["path"] == "level"
    assert problem(admin.post("/log-level", json={"leve": "info"}), 400, "INVALID_REQUEST")["nearest"] == "level"
    assert admin.post("/log-level", json={"level": "info"}).status_code == 200


def test_keys_are_made_listed_and_revoked(admin: httpx.Client) -> None:
    made = admin.post("/keys", json={"subject": "alice", "role": "viewer", "ttl_seconds": 60})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    assert made.json()["key"].startswith("caxton_")
    key_id = made.json()["key_id"]
    (listed,) = (item for item in admin.get("/keys").json()["items"] if item["key_id"] == key_id)
    assert "key" not in listed
    assert listed["expires_at"]
    assert admin.delete(f"/keys/{key_id}").json()["revoked_at"]
    assert made.json()["key"] not in admin.get("/keys").text


def test_pages_hold_every_key_once(admin: httpx.Client) -> None:
    made = {
        admin.post("/keys", json={"subject": f"bob{number}", "role": "admin"}).json()["key_id"] for number in range(3)
    }
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = admin.get("/keys", params={"limit": 2, **cursor}).json()
        found += [item["key_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(found) == len(set(found))
    assert made <= set(found)
    problem(admin.get("/keys?cursor=nonsense"), 400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    "body",
    [
        {"subject": "a b", "role": "viewer"},
        {},
        {"subject": "a"},
        {"subject": "a", "role": "root"},
        {"subject": "a", "role": "viewer", "ttl_seconds": -1},
        {"subject": "a", "role": "viewer", "agents": ["*"]},
        {"subject": "a", "role": "agent-client"},
        {"subject": "a", "role": "agent-client", "agents": ["A b"]},
        {"subject": "a", "role": "viewer", "namespace": "../up"},
        {"subject": "bootstrap", "role": "admin"},
        {"subjetc": "a", "role": "viewer"},
    ],
)
def test_a_wrong_key_is_not_made(admin: httpx.Client, body: dict[str, object]) -> None:
    problem(admin.post("/keys", json=body), 400, "INVALID_REQUEST")


@pytest.mark.parametrize("key_id", ["none", str(uuid.uuid4()), "x" * 300])
def test_an_unknown_key_is_404(admin: httpx.Client, key_id: str) -> None:
    problem(admin.delete(f"/keys/{key_id}"), 404, "KEY_NOT_FOUND")


def test_metrics_are_on_both_addresses(node: Node) -> None:
    for url in (node.metrics_url, node.admin_url):
        text = httpx.get(f"{url}/metrics").text
        assert "caxton_ledger_imbalance 0.0" in text
        assert "caxton_router_up 1.0" in text


@pytest.mark.parametrize("path", ["keys", "pause", "gc", "log-level"])
def test_administration_is_on_the_admin_address_only(node: Node, path: str) -> None:
    for url in (node.metrics_url, node.url):
        for method in ("GET", "POST", "DELETE"):
            problem(httpx.request(method, f"{url}/api/v1/admin/{path}"), 404, "NOT_FOUND")


def test_the_api_is_not_on_the_admin_address(node: Node) -> None:
    problem(httpx.get(f"{node.admin_url}/api/v1/agents"), 404, "NOT_FOUND")
    problem(httpx.get(f"{node.url}/metrics"), 404, "NOT_FOUND")
