"""Conversations, capabilities, topics and tasks over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from api.checks import pages, problem, settle
from api.conftest import Deploy

from caxton.protocol.ids import new_id
from support import router_agents as agents
from support.node import until
from support.wat import ECHO, SILENT


def send(http: httpx.Client, receiver: str, performative: str = "request", **fields: Any) -> httpx.Response:
    return http.post("/messages", json={"performative": performative, "receiver": receiver, **fields})


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_a_conversation_is_held_to_its_protocol_and_shown_as_a_timeline(http: httpx.Client, deploy: Deploy) -> None:
    name, talk = deploy(SILENT), new_id()
    checked = {"protocol": "fipa-request", "conversation_id": talk}
    details = problem(send(http, name, "agree", **checked), 409, "PROTOCOL_VIOLATION")
    assert (details["state"], details["allowed"]) == ("new", ["initiator: request"])
    assert send(http, name, **checked, reply_by=soon(600)).status_code == 202
    details = problem(send(http, name, **checked), 409, "PROTOCOL_VIOLATION")
    assert details["state"] == "requested"
    shown = http.get(f"/conversations/{talk}").json()
    (standing,) = shown["protocols"]
    assert (standing["state"], standing["participant"], standing["steps"]) == ("requested", name, 1)
    assert standing["deadline"].startswith(shown["messages"][0]["reply_by"][:19])
    assert [one["performative"] for one in shown["messages"]] == ["request"]
    assert send(http, name, "cancel", **checked).status_code == 202
    shown = http.get(f"/conversations/{talk}", params={"limit": 1}).json()
    assert [one["performative"] for one in shown["messages"]] == ["cancel"]
    earlier = http.get(f"/conversations/{talk}", params={"cursor": shown["next_cursor"]}).json()
    assert [one["performative"] for one in earlier["messages"]] == ["request"]


def test_conversations_are_listed_by_what_they_are(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(ECHO)
    talks = [new_id() for _ in range(3)]
    for talk in talks:
        assert send(http, name, protocol="fipa-request", conversation_id=talk).status_code == 202
    until(
        lambda: len(http.get("/conversations", params={"agent": name, "state": "done"}).json()["items"]) == 3,
        20,
        "all are done",
    )
    found = [one["conversation_id"] for page in pages(http, "/conversations", agent=name, limit=2) for one in page]
    assert found == talks[::-1]
    assert http.get("/conversations", params={"agent": name, "open": "true"}).json()["items"] == []
    assert http.get("/conversations", params={"agent": name, "protocol": "fipa-query"}).json()["items"] == []
    problem(http.get("/conversations", params={"protocol": "fipa-brokering"}), 400, "INVALID_REQUEST")
    problem(http.get("/conversations", params={"state": "odd"}), 400, "INVALID_REQUEST")
    problem(http.get("/conversations", params={"cursor": "odd"}), 400, "INVALID_REQUEST")
    problem(http.get(f"/conversations/{new_id()}"), 404, "NOT_FOUND")


def test_any_conversation_has_a_timeline(http: httpx.Client) -> None:
    talk = f"odd/name {new_id()}"
    for number in range(3):
        assert send(http, "echo", conversation_id=talk, content=number).status_code == 202
    shown = http.get(f"/conversations/{talk}").json()
    assert [one["content"] for one in shown["messages"]] == [0, 1, 2]
    assert shown["protocols"] == []


def test_a_capability_is_registered_used_and_forgotten(http: httpx.Client, deploy: Deploy) -> None:
    declared, registered = deploy(SILENT, capabilities=["api/ocr"]), deploy(SILENT)
    assert [one["agent"] for one in http.get("/capabilities/api/ocr").json()["providers"]] == [declared]
    problem(http.get("/capabilities/api/orc"), 404, "NOT_FOUND")
    body = {"strategy": "priority", "providers": [{"agent": registered, "priority": 9}]}
    view = http.put("/capabilities/api/ocr", json=body).json()
    assert view["strategy"] == "priority"
    assert {one["agent"]: one["source"] for one in view["providers"]} == {
        declared: "deployment",
        registered: "registered",
    }
    message_id = send(http, "capability:api/ocr").json()["message_id"]
    assert http.get(f"/messages/{message_id}").json()["receiver"] == registered
    assert http.post(f"/agents/{registered}/stop", json={}).status_code == 200
    message_id = send(http, "capability:api/ocr").json()["message_id"]
    assert http.get(f"/messages/{message_id}").json()["receiver"] == declared
    assert "api/ocr" in [one["name"] for page in pages(http, "/capabilities", limit=1) for one in page]
    assert http.delete("/capabilities/api/ocr").json() == {"count": 1}
    problem(http.delete("/capabilities/api/ocr"), 404, "NOT_FOUND")
    details = problem(send(http, "capability:api/orc"), 404, "AGENT_NOT_FOUND")
    assert details["near"] == ["api/ocr"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"strategy": "random"}, "INVALID_REQUEST"),
        ({"providers": [{"agent": "echo", "priority": 11}]}, "INVALID_REQUEST"),
        ({"providers": [{"agent": "No Name"}]}, "INVALID_REQUEST"),
        ({"providers": [{"agent": "nobody-is-called-so"}]}, "AGENT_NOT_FOUND"),
    ],
)
def test_a_registration_that_cannot_be_is_refused(http: httpx.Client, body: dict[str, Any], code: str) -> None:
    problem(http.put("/capabilities/refused", json=body), 404 if code == "AGENT_NOT_FOUND" else 400, code)
    problem(http.get("/capabilities/refused"), 404, "NOT_FOUND")


def test_subscribers_get_what_is_published(http: httpx.Client, deploy: Deploy) -> None:
    first, stopped = deploy(ECHO), deploy(ECHO)
    for name in (first, stopped):
        assert http.post("/topics/news/subscribe", json={"agent": name}).status_code == 200
    assert [one["agent"] for one in http.get("/topics/news").json()["subscribers"]] == sorted([first, stopped])
    assert http.post(f"/agents/{stopped}/stop", json={}).status_code == 200
    one = {"performative": "inform", "receiver": "topic:news", "content": 1, "message_id": new_id()}
    answered = http.post("/messages", json=one)
    assert answered.status_code == 202
    deliveries = answered.json()["deliveries"]
    assert (deliveries["accepted"], deliveries["refused_count"]) == (1, 1)
    assert [(each["receiver"], each["code"]) for each in deliveries["refused"]] == [(stopped, "AGENT_STOPPED")]
    assert http.post("/messages", json=one).json() == {"message_id": one["message_id"], "state": "done"}
    problem(http.post("/messages", json={**one, "content": 2}), 409, "CONFLICT")
    assert len(http.get(f"/agents/{first}/messages").json()["items"]) == 1
    assert http.get(f"/messages/{one['message_id']}").json()["reply"]["content"]["accepted"] == 1
    topics = {each["name"]: each["count"] for page in pages(http, "/topics", limit=1) for each in page}
    assert topics["news"] == 2
    assert http.post("/topics/news/unsubscribe", json={"agent": stopped}).json()["count"] == 1
    problem(http.post("/topics/news/subscribe", json={"agent": "nobody-is-called-so"}), 404, "AGENT_NOT_FOUND")


def test_a_task_is_done_by_the_best_bidder(http: httpx.Client, deploy: Deploy) -> None:
    cheap = deploy(agents.bidder('{"price":3}'), capabilities=["api-build"])
    deploy(agents.bidder('{"price":8}'), capabilities=["api-build"])
    wish = {
        "capability": "api-build",
        "content": {"what": "a shed"},
        "select": {"field": "price"},
        "reply_by": soon(30),
    }
    headers = {"Idempotency-Key": new_id()}
    made = http.post("/tasks", json=wish, headers=headers)
    assert made.status_code == 201, made.text
    location = made.headers["location"].removeprefix("/api/v1")
    done = settle(http, location, "done")
    assert (done["winner"], done["result"], done["content"]) == (cheap, {"ok": True}, {"what": "a shed"})
    assert sorted(bid["state"] for bid in done["bids"]) == ["done", "rejected"]
    assert http.post("/tasks", json=wish, headers=headers).json()["state"] == "done"
    problem(http.post("/tasks", json={**wish, "content": 1}, headers=headers), 409, "CONFLICT")
    listed = http.get("/tasks", params={"capability": "api-build", "state": "done"}).json()["items"]
    assert [one["task_id"] for one in listed] == [done["task_id"]]
    said = http.get(f"/conversations/{done['task_id']}").json()
    assert {"cfp", "propose", "accept_proposal", "reject_proposal", "inform"} == {
        one["performative"] for one in said["messages"]
    }
    problem(http.delete(location), 409, "CONFLICT")
    ledger = {row["name"]: row for row in http.get("/ledger").json()["agents"]}
    assert ledger["task:node"]["accepted"] == ledger["task:node"]["done"]
    assert http.get("/ledger").json()["node"]["imbalance"] == 0


def test_a_task_is_cancelled_once(http: httpx.Client, deploy: Deploy) -> None:
    deploy(SILENT, capabilities=["api-wait"])
    wish = {"capability": "api-wait", "select": {"field": "price", "order": "max"}, "reply_by": soon(300)}
    location = http.post("/tasks", json=wish).headers["location"].removeprefix("/api/v1")
    for _ in range(2):
        assert http.delete(location).json()["state"] == "cancelled"
    problem(http.get(f"/tasks/{new_id()}"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"select": {}}, "select"),
        ({"select": {"field": "a", "chooser": "echo"}}, "select"),
        ({"select": {"chooser": "No Name"}}, "select.chooser"),
        ({"reply_by": "2020-01-01T00:00:00Z"}, "reply_by"),
        ({"reply_by": "soon"}, "reply_by"),
        ({"finish_by": "2021-01-01T00:00:00Z"}, "finish_by"),
        ({"capability": "No Name"}, "capability"),
    ],
)
def test_a_task_that_cannot_be_is_refused(http: httpx.Client, change: dict[str, Any], path: str) -> None:
    wish = {"capability": "none-offers-this", "select": {"field": "price"}, "reply_by": soon(30), **change}
    assert problem(http.post("/tasks", json=wish), 400, "INVALID_REQUEST")["path"] == path


def test_a_task_that_nobody_can_do_names_what_is_near(http: httpx.Client, deploy: Deploy) -> None:
    deploy(SILENT, capabilities=["api-translate"])
    wish = {"capability": "api-translat", "select": {"field": "price"}, "reply_by": soon(30)}
    assert problem(http.post("/tasks", json=wish), 404, "AGENT_NOT_FOUND")["near"] == ["api-translate"]


def test_an_update_changes_what_is_offered(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(SILENT, capabilities=["api-before"])
    answer = http.put(f"/agents/{name}", json={"name": name, "wat": SILENT, "capabilities": ["api-after"]})
    assert answer.status_code in (201, 202), answer.text
    until(lambda: http.get("/capabilities/api-after").status_code == 200, 30, "the new version offers it")
    problem(http.get("/capabilities/api-before"), 404, "NOT_FOUND")
    message_id = send(http, "capability:api-after").json()["message_id"]
    assert http.get(f"/messages/{message_id}").json()["receiver"] == name
