"""Namespaces over HTTP: two bound keys on one node, quotas, and ids and senders that are not one's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from api.checks import settle
from api.conftest import brief_node

from support import router_agents as agents
from support import wat
from support.credentials import GUARDED, KEY_HEADER, bearer, make_key
from support.node import Node, until

BASE = "/api/v1"


@pytest.fixture(scope="module")
def shared() -> Iterator[Node]:
    """A node with authentication, and the agent `echo` in two namespaces."""
    with brief_node(security=GUARDED) as made:
        made.client.headers.update(bearer())
        for name in ("red/echo", "blue/echo"):
            made.deploy(name, wat.ECHO)
        yield made


def keyed(node: Node, subject: str, role: str, **scope: Any) -> httpx.Client:
    made = make_key(node, subject, role, **scope)
    return httpx.Client(base_url=node.url + BASE, headers={KEY_HEADER: made["key"]}, timeout=60)


@pytest.fixture(scope="module")
def red(shared: Node) -> Iterator[httpx.Client]:
    with keyed(shared, "rita", "deployer", namespace="red") as client:
        yield client


@pytest.fixture(scope="module")
def blue(shared: Node) -> Iterator[httpx.Client]:
    with keyed(shared, "bob", "deployer", namespace="blue") as client:
        yield client


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def test_each_key_has_its_own_node(red: httpx.Client, blue: httpx.Client) -> None:
    for client, own, other in ((red, "red", "blue"), (blue, "blue", "red")):
        assert [agent["name"] for agent in client.get("/agents").json()["items"]] == [f"{own}/echo"]
        assert client.post(f"/agents/{own}/echo/invoke", json={"content": 1}).status_code == 200
        hidden = client.get(f"/agents/{other}/echo")
        assert (hidden.status_code, code(hidden)) == (404, "AGENT_NOT_FOUND")
        assert code(client.post(f"/agents/{other}/echo/invoke", json={"content": 1})) == "AGENT_NOT_FOUND"
        assert f"{other}/" not in client.get("/ledger").text
        refused = client.post("/agents", json={"name": f"{other}/mine", "wat": wat.ECHO})
        assert (refused.status_code, code(refused)) == (403, "FORBIDDEN")


def test_a_bound_deployer_gives_no_way_out(red: httpx.Client) -> None:
    wanted = {"name": "red/out", "wat": wat.ECHO, "grants": {"send": ["blue/*"]}}
    refused = red.post("/agents", json=wanted)
    assert (refused.status_code, refused.json()["error"]["details"]["path"]) == (403, "grants.send[0]")


@pytest.mark.parametrize("delivery", ["durable", "ephemeral"])
def test_an_id_of_another_client_is_a_conflict_without_content(shared: Node, delivery: str) -> None:
    """Both may send to the agent; the second knows the first one's id, and even its body."""
    with keyed(shared, f"carl-{delivery}", "operator") as carl, keyed(shared, f"eve-{delivery}", "operator") as eve:
        body = {"content": {"word": "secret-of-carl"}, "delivery": delivery}
        first = carl.post("/agents/red/echo/invoke", json=body).json()
        again = {**body, "message_id": first["message_id"]}
        stolen = eve.post("/agents/red/echo/invoke", json=again)
        if delivery == "durable":
            assert (stolen.status_code, code(stolen)) == (409, "CONFLICT")
        assert "secret-of-carl" not in stolen.text or delivery == "ephemeral"  # there it is its own, run once more
        message = {"performative": "request", "receiver": "red/echo", "content": {"word": "secret-of-carl"}}
        sent = carl.post("/messages", json=message).json()["message_id"]
        until(lambda: carl.get(f"/messages/{sent}").json()["state"] == "done", 30, "done")
        for other in (message, {**message, "content": 2}):
            answer = eve.post("/messages", json={**other, "message_id": sent})
            assert (answer.status_code, code(answer)) == (409, "CONFLICT")
            assert set(answer.json()["error"]["details"]) == {"message_id"}
        stolen_id = {**body, "message_id": sent}
        invoked = eve.post("/agents/red/echo/invoke", json=stolen_id)
        assert (invoked.status_code, code(invoked)) == (409, "CONFLICT")
        begun = eve.post("/agents/red/echo/invoke", json=stolen_id, headers={"Prefer": "respond-async"})
        assert settle(shared.client, begun.headers["Location"], "failed")["error"]["code"] == "CONFLICT"
        assert carl.post("/messages", json={**message, "message_id": sent}).json()["state"] == "done"


def test_what_an_agent_client_sent_is_its_own(shared: Node) -> None:
    with (
        keyed(shared, "carl", "agent-client", agents=["red/*"]) as carl,
        keyed(shared, "eve", "agent-client", agents=["red/*"]) as eve,
    ):
        sent = carl.post("/messages", json={"performative": "request", "receiver": "red/echo"}).json()["message_id"]
        assert carl.get(f"/messages/{sent}").json()["sender"] == "client:carl"
        hidden, unknown = eve.get(f"/messages/{sent}"), eve.get("/messages/00000000-0000-4000-8000-000000000000")
        assert (
            (hidden.status_code, code(hidden)) == (unknown.status_code, code(unknown)) == (404, "MESSAGE_NOT_FOUND")
        )
        assert code(carl.post("/agents/blue/echo/invoke", json={})) == "AGENT_NOT_FOUND"


def test_nobody_sends_in_another_name(shared: Node, red: httpx.Client) -> None:
    forged = {"performative": "request", "receiver": "red/echo", "sender": "client:root"}
    refused = red.post("/messages", json=forged)
    assert (refused.status_code, code(refused)) == (400, "INVALID_REQUEST")
    draft = '{"performative":"inform","receiver":"red/echo","sender":"blue/echo","content":1}'
    call = f"(drop (call $send (i32.const 0) (i32.const {len(draft)}))) (i32.const 0)"
    shared.deploy("red/forger", agents.reactor(call, data=draft))
    answer = red.post("/agents/red/forger/invoke", json={"content": 1})
    failed = answer.json()
    assert "blue/echo" not in str(red.get("/agents/red/echo/messages").json())
    assert failed.get("performative") == "failure" or failed["error"]["code"] == "INVALID_MESSAGE"


def test_quotas_by_their_routes(shared: Node, red: httpx.Client, blue: httpx.Client) -> None:
    root = shared.client
    view = root.put(f"{BASE}/namespaces/red", json={"messages_per_second": 2.0, "agents": 1}).json()
    assert view["quota"] == {"messages_per_second": 2.0, "agents": 1}
    full = red.post("/agents", json={"name": "red/more", "wat": wat.ECHO})
    assert (full.status_code, code(full)) == (409, "RESOURCE_LIMIT_EXCEEDED")

    def limited() -> httpx.Response | None:
        answer = red.post("/agents/red/echo/invoke", json={})
        return answer if answer.status_code == 429 else None

    answer = until(limited, 30, "RATE_LIMITED")
    assert code(answer) == "RATE_LIMITED"
    assert int(answer.headers["Retry-After"]) >= 1
    assert blue.post("/agents/blue/echo/invoke", json={}).status_code == 200
    assert red.get("/namespaces/red").json()["quota"] == view["quota"]
    assert red.get("/namespaces/blue").status_code == 404
    for method, body in (("PUT", {}), ("DELETE", None)):
        assert red.request(method, "/namespaces/red", json=body).status_code == 403
    bad = root.put(f"{BASE}/namespaces/red", json={"messages_per_second": -1})
    assert (bad.status_code, code(bad)) == (400, "INVALID_REQUEST")
    assert [one["name"] for one in root.get(f"{BASE}/namespaces").json()["items"]] == ["blue", "red"]
    metrics = httpx.get(f"{shared.metrics_url}/metrics").text
    assert 'caxton_namespace_quota{namespace="red",resource="messages_per_second"} 2.0' in metrics
    assert 'namespace="blue"' not in metrics
    assert root.delete(f"{BASE}/namespaces/red").json() == {"count": 1}
    assert root.get(f"{BASE}/namespaces/red").json()["quota"] == {}
    missing = root.get(f"{BASE}/namespaces/none")
    assert (missing.status_code, code(missing)) == (404, "NOT_FOUND")
