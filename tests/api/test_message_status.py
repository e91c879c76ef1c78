"""GET /messages, GET and DELETE /messages/{id}."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from api.checks import pages, problem, settle
from api.conftest import Deploy

from support.node import until
from support.wat import ECHO, LOOP, SILENT, TRAP, sleeping


def send(http: httpx.Client, receiver: str, **fields: Any) -> str:
    answer = http.post("/messages", json={"performative": "request", "receiver": receiver, **fields})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["message_id"])


def test_a_message_that_is_done_has_its_reply(http: httpx.Client) -> None:
    done = settle(http, f"/messages/{send(http, 'echo', content='x')}", "done")
    assert done["reply"]["content"]["content"] == "x"
    assert done["execution"]["id"]
    assert done["accepted_at"] <= done["finished_at"]
    assert done["accepted_at"].endswith("Z")


def test_a_message_that_is_dead_has_its_attempts(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(TRAP, retry={"max_deliveries": 3, "delay_seconds": 0.01})
    dead = settle(http, f"/messages/{send(http, name)}", "dead")
    assert [attempt["number"] for attempt in dead["attempts"]] == [1, 2, 3]
    assert {attempt["code"] for attempt in dead["attempts"]} == {"AGENT_FAILED"}
    assert all(attempt["backtrace"] for attempt in dead["attempts"])
    assert dead["error"]["code"] == "AGENT_FAILED"


def test_a_message_whose_time_has_passed_is_expired(http: httpx.Client) -> None:
    message_id = send(http, "echo", reply_by="2020-01-01T00:00:00Z")
    settle(http, f"/messages/{message_id}", "expired")
    problem(http.delete(f"/messages/{message_id}"), 409, "CONFLICT")


def test_a_waiting_message_is_cancelled_once(
    http: httpx.Client, deploy: Deploy, paused: Callable[[], object]
) -> None:
    message_id = send(http, deploy(ECHO))
    assert http.get(f"/messages/{message_id}").json()["state"] == "pending"
    for _ in range(2):
        assert http.delete(f"/messages/{message_id}").json()["state"] == "cancelled"
    paused()
    assert "reply" not in http.get(f"/messages/{message_id}").json()


@pytest.mark.parametrize("text", [sleeping(30), LOOP], ids=["sleeps", "computes"])
def test_a_running_message_is_cancelled(http: httpx.Client, deploy: Deploy, text: str) -> None:
    message_id = send(http, deploy(text))
    settle(http, f"/messages/{message_id}", "in_flight")
    assert http.delete(f"/messages/{message_id}").json()["state"] == "cancelled"
    assert http.get(f"/messages/{message_id}").json()["state"] == "cancelled"


def test_a_message_between_two_attempts_is_cancelled(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(TRAP, retry={"max_deliveries": 3, "delay_seconds": 60})
    message_id = send(http, name)
    path = f"/messages/{message_id}"

    def tried() -> bool:
        return len(http.get(path).json().get("attempts", [])) == 1

    until(tried, 10, "one attempt")
    assert http.delete(path).json()["state"] == "cancelled"


@pytest.mark.parametrize(("text", "state"), [(SILENT, "done"), (TRAP, "dead")])
def test_a_message_that_has_ended_cannot_be_cancelled(
    http: httpx.Client, deploy: Deploy, text: str, state: str
) -> None:
    path = f"/messages/{send(http, deploy(text))}"
    settle(http, path, state)
    problem(http.delete(path), 409, "CONFLICT")
    assert http.get(path).json()["state"] == state


def test_a_caller_who_waits_is_told_of_the_cancellation(http: httpx.Client, deploy: Deploy) -> None:
    headers = {"Prefer": "respond-async"}
    message_id = str(uuid.uuid4())
    body = {"message_id": message_id, "delivery": "durable"}
    job = http.post(f"/agents/{deploy(sleeping(30))}/invoke", json=body, headers=headers).json()
    settle(http, f"/messages/{message_id}", "in_flight")
    http.delete(f"/messages/{message_id}")
    assert settle(http, f"/jobs/{job['job_id']}", "failed")["error"]["code"] == "MESSAGE_CANCELLED"


def test_lists_with_filters(http: httpx.Client, deploy: Deploy) -> None:
    name, other = deploy(SILENT), deploy(TRAP)
    mine = send(http, name, conversation_id=f"talk-{name}")
    theirs = send(http, other, conversation_id=f"talk-{name}")
    settle(http, f"/messages/{mine}", "done")
    settle(http, f"/messages/{theirs}", "dead")

    def found(**params: str) -> set[str]:
        return {item["message_id"] for item in http.get("/messages", params=params).json()["items"]}

    assert found(conversation_id=f"talk-{name}") == {mine, theirs}
    assert found(conversation_id=f"talk-{name}", state="dead") == {theirs}
    assert found(agent=name) == {mine}
    assert found(agent=name, state="pending") == set()
    assert found(agent="nobody") == set()


@pytest.mark.parametrize("params", [{"state": "lost"}, {"cursor": "x"}, {"limit": "201"}, {"agnet": "x"}])
def test_wrong_filters_are_named(http: httpx.Client, params: dict[str, str]) -> None:
    assert problem(http.get("/messages", params=params), 400, "INVALID_REQUEST")["path"] in params


@pytest.mark.parametrize("limit", [50, 200])
def test_pages_hold_every_message_once_while_more_arrive(http: httpx.Client, deploy: Deploy, limit: int) -> None:
    name = deploy(SILENT)
    batch = [{"performative": "inform", "receiver": name}] * 450
    sent = [item["message_id"] for item in http.post("/messages", json=batch).json()["items"]]
    found: list[str] = []
    for page in pages(http, "/messages", agent=name, limit=limit):
        assert len(page) <= limit
        found += [item["message_id"] for item in page]
        http.post("/messages", json=batch[:3])
    assert len(found) == len(set(found)) == 450
    assert set(found) == set(sent)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_message_is_404(http: httpx.Client, method: str) -> None:
    problem(http.request(method, f"/messages/{uuid.uuid4()}"), 404, "MESSAGE_NOT_FOUND")
    assert problem(http.request(method, "/messages/not-an-id"), 400, "INVALID_REQUEST")["path"] == "message_id"
