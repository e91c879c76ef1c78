from __future__ import annotations

import json
import uuid

import httpx
import pytest
from api.checks import BOTH_WAYS, problem

GOOD = {"performative": "inform", "receiver": "echo", "content": {"a": 1}}
NDJSON = {"Content-Type": "application/x-ndjson"}


@BOTH_WAYS
def test_one_message_is_accepted_and_can_be_read(http: httpx.Client, echo: str) -> None:
    message_id = str(uuid.uuid4())
    answer = http.post("/messages", json={**GOOD, "message_id": message_id.upper(), "priority": 9})
    assert answer.status_code == 202
    assert answer.json() == {"message_id": message_id, "state": "pending"}
    shown = http.get(f"/messages/{message_id}").json()
    assert (shown["content"], shown["sender"], shown["priority"]) == ({"a": 1}, "client:anonymous", 9)
    assert answer.headers["x-trace-id"] in shown["trace_context"]


@BOTH_WAYS
def test_a_bad_item_never_spoils_the_others(http: httpx.Client, echo: str) -> None:
    items = [GOOD, {"performative": "inform"}, {**GOOD, "receiver": "nobody"}, 7, GOOD]
    answer = http.post("/messages", json=items)
    assert answer.status_code == 202
    found = answer.json()["items"]
    codes = [item.get("error", {}).get("code") for item in found]
    assert codes == [None, "INVALID_REQUEST", "AGENT_NOT_FOUND", "INVALID_REQUEST", None]


def test_ndjson_is_a_batch(http: httpx.Client, echo: str) -> None:
    lines = "\n".join(json.dumps(item) for item in (GOOD, GOOD)) + "\n\n{broken\r\n"
    answer = http.post("/messages", content=lines, headers=NDJSON)
    assert answer.status_code == 202
    states = [item.get("state", "error") for item in answer.json()["items"]]
    assert states == ["pending", "pending", "error"]


def test_nothing_accepted_has_the_status_of_the_first_error(http: httpx.Client, echo: str) -> None:
    answer = http.post("/messages", json=[{**GOOD, "receiver": "nobody"}, 7])
    problem(answer, 404, "AGENT_NOT_FOUND")
    assert [item["error"]["code"] for item in answer.json()["items"]] == ["AGENT_NOT_FOUND", "INVALID_REQUEST"]


def test_a_full_mailbox_says_when_to_come_back(http: httpx.Client) -> None:
    http.post("/agents", json={"name": "full", "wat": "(module)"})
    answer = http.post("/messages", json={**GOOD, "receiver": "full"})
    problem(answer, 429, "MAILBOX_FULL")
    assert answer.headers["retry-after"] == "7"


def test_the_same_id_with_another_body_is_a_conflict(http: httpx.Client, echo: str) -> None:
    body = {**GOOD, "message_id": str(uuid.uuid4())}
    assert http.post("/messages", json=body).status_code == 202
    assert http.post("/messages", json=body).status_code == 202
    problem(http.post("/messages", json={**body, "content": 2}), 409, "CONFLICT")


def test_an_idempotency_key_counts_the_items(http: httpx.Client, echo: str) -> None:
    headers = {"Idempotency-Key": "batch-1"}
    first, again = (http.post("/messages", json=[GOOD, GOOD], headers=headers).json()["items"] for _ in range(2))
    assert first == again
    assert first[0]["message_id"] != first[1]["message_id"]


def test_ten_thousand_are_accepted_and_one_more_is_not(http: httpx.Client, echo: str) -> None:
    answer = http.post("/messages", json=[GOOD] * 10_000)
    assert answer.status_code == 202
    assert len(answer.json()["items"]) == 10_000
    problem(http.post("/messages", json=[GOOD] * 10_001), 413, "PAYLOAD_TOO_LARGE")
    problem(http.post("/messages", json=[]), 400, "INVALID_REQUEST")


def test_field_names_may_be_written_with_a_dash_and_in_any_case(http: httpx.Client, echo: str) -> None:
    body = {"Performative": "ACCEPT-PROPOSAL", "receiver": "echo", "Reply-With": "r1"}
    answer = http.post("/messages", json=body)
    assert answer.status_code == 202
    assert http.get(f"/messages/{answer.json()['message_id']}").json()["performative"] == "accept_proposal"
    problem(http.post("/messages", json={**body, "reply_with": "r2"}), 400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"performative": "shout"}, "performative"),
        ({"performative": None}, "performative"),
        ({"receiver": "No Agent"}, "receiver"),
        ({"receiver": "topic:"}, "receiver"),
        ({"priority": 0}, "priority"),
        ({"reply_by": "tomorrow"}, "reply_by"),
        ({"reply_by": "2026-01-01T00:00:00"}, "reply_by"),
        ({"in_reply_to": ""}, "in_reply_to"),
        ({"conversation_id": "x" * 129}, "conversation_id"),
        ({"sender": "echo"}, "sender"),
        ({"trace_context": "x"}, "trace_context"),
        ({"convresation_id": "x"}, "convresation_id"),
    ],
)
def test_a_wrong_field_is_named(http: httpx.Client, echo: str, change: dict[str, object], path: str) -> None:
    details = problem(http.post("/messages", json={**GOOD, **change}), 400, "INVALID_REQUEST")
    assert details["path"] == path


def test_lists_with_filters(http: httpx.Client) -> None:
    answer = http.get("/messages", params={"agent": "echo", "state": "dead", "conversation_id": "c", "limit": 3})
    assert answer.json() == {"items": [], "next_cursor": None}
    problem(http.get("/messages", params={"state": "lost"}), 400, "INVALID_REQUEST")
    problem(http.get("/messages", params={"cursor": "x"}), 400, "INVALID_REQUEST")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("where", ["messages", "dead-letters"])
def test_an_unknown_message_is_404(http: httpx.Client, method: str, where: str) -> None:
    if (where, method) != ("dead-letters", "DELETE"):
        problem(http.request(method, f"/{where}/{uuid.uuid4()}"), 404, "MESSAGE_NOT_FOUND")
        problem(http.request(method, f"/{where}/not-an-id"), 400, "INVALID_REQUEST")


def test_a_message_can_be_cancelled(http: httpx.Client, echo: str) -> None:
    message_id = http.post("/messages", json=GOOD).json()["message_id"]
    assert http.delete(f"/messages/{message_id}").json()["message_id"] == message_id
