"""POST /messages."""

from __future__ import annotations

import json
import uuid

import httpx
import pytest
from api.checks import BOTH_WAYS, problem, settle
from api.conftest import Deploy

from support.wat import SILENT, TALLY

GOOD = {"performative": "inform", "receiver": "echo", "content": {"a": 1}}
NDJSON = {"Content-Type": "application/x-ndjson"}


@BOTH_WAYS
def test_one_message_is_accepted_and_can_be_read(http: httpx.Client) -> None:
    message_id = str(uuid.uuid4())
    answer = http.post("/messages", json={**GOOD, "message_id": message_id.upper(), "priority": 9})
    assert answer.status_code == 202
    assert answer.json() == {"message_id": message_id, "state": "pending"}
    shown = http.get(f"/messages/{message_id}").json()
    assert (shown["content"], shown["sender"], shown["priority"]) == ({"a": 1}, "client:anonymous", 9)
    assert answer.headers["x-trace-id"] in shown["trace_context"]


@BOTH_WAYS
def test_a_bad_item_never_spoils_the_others(http: httpx.Client) -> None:
    items = [GOOD, {"performative": "inform"}, {**GOOD, "receiver": "nobody"}, 7, {**GOOD, "colour": 1}, GOOD]
    answer = http.post("/messages", json=items)
    assert answer.status_code == 202
    found = answer.json()["items"]
    codes = [item.get("error", {}).get("code") for item in found]
    assert codes == [None, "INVALID_REQUEST", "AGENT_NOT_FOUND", "INVALID_REQUEST", "INVALID_REQUEST", None]
    for item in (found[0], found[5]):
        assert settle(http, f"/messages/{item['message_id']}", "done")["reply"]["performative"] == "inform"


@BOTH_WAYS
def test_ndjson_is_a_batch(http: httpx.Client) -> None:
    lines = "\n".join(json.dumps(item) for item in (GOOD, GOOD)) + "\n\n{broken\r\n\xff\n" + json.dumps(GOOD)
    answer = http.post("/messages", content=lines.encode("latin-1"), headers=NDJSON)
    assert answer.status_code == 202
    states = [item.get("state", "error") for item in answer.json()["items"]]
    assert states == ["pending", "pending", "error", "error", "pending"]


def test_nothing_accepted_has_the_status_of_the_first_error(http: httpx.Client) -> None:
    answer = http.post("/messages", json=[{**GOOD, "receiver": "nobody"}, 7])
    problem(answer, 404, "AGENT_NOT_FOUND")
    assert [item["error"]["code"] for item in answer.json()["items"]] == ["AGENT_NOT_FOUND", "INVALID_REQUEST"]


@BOTH_WAYS
def test_the_same_id_with_another_body_is_a_conflict(http: httpx.Client, deploy: Deploy) -> None:
    body = {"performative": "request", "receiver": deploy(TALLY), "message_id": str(uuid.uuid4())}
    assert http.post("/messages", json=body).status_code == 202
    assert http.post("/messages", json=body).status_code == 202
    problem(http.post("/messages", json={**body, "content": 2}), 409, "CONFLICT")
    assert settle(http, f"/messages/{body['message_id']}", "done")["reply"]["content"] == 1
    again = http.post("/messages", json=body)
    assert (again.status_code, again.json()["state"]) == (202, "done")
    problem(http.post("/messages", json={**body, "content": 2}), 409, "CONFLICT")
    assert http.post(f"/agents/{body['receiver']}/invoke", json={}).json()["content"] == 2


def test_the_same_id_twice_in_one_batch_is_one_message(http: httpx.Client, deploy: Deploy) -> None:
    body = {"performative": "request", "receiver": deploy(TALLY), "message_id": str(uuid.uuid4())}
    items = http.post("/messages", json=[body, body, {**body, "content": 2}]).json()["items"]
    assert [item.get("error", {}).get("code") for item in items] == [None, None, "CONFLICT"]
    settle(http, f"/messages/{body['message_id']}", "done")
    assert http.post(f"/agents/{body['receiver']}/invoke", json={}).json()["content"] == 2


@BOTH_WAYS
def test_an_idempotency_key_counts_the_items(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(TALLY)
    headers = {"Idempotency-Key": f"batch-{name}"}
    message = {"performative": "request", "receiver": name}

    def send(*items: object) -> list[dict[str, object]]:
        found: list[dict[str, object]] = http.post("/messages", json=items, headers=headers).json()["items"]
        return found

    first, again = send(message, message), send(message, message)
    assert [item["message_id"] for item in first] == [item["message_id"] for item in again]
    assert first[0]["message_id"] != first[1]["message_id"]
    for item in first:
        settle(http, f"/messages/{item['message_id']}", "done")
    assert http.post(f"/agents/{name}/invoke", json={}).json()["content"] == 3
    assert "CONFLICT" in str(send(message, {**message, "content": "other"})[1]["error"])


@BOTH_WAYS
def test_an_id_in_the_body_counts_before_an_idempotency_key(http: httpx.Client, deploy: Deploy) -> None:
    name, chosen = deploy(TALLY), str(uuid.uuid4())
    headers = {"Idempotency-Key": f"both-{name}"}
    unnamed = {"performative": "request", "receiver": name}
    for _ in range(2):
        answer = http.post("/messages", json=[{**unnamed, "message_id": chosen.upper()}, unnamed], headers=headers)
        first, second = (item["message_id"] for item in answer.json()["items"])
        assert first == chosen != second
        for known in (first, second):
            settle(http, f"/messages/{known}", "done")
    assert http.post(f"/agents/{name}/invoke", json={}).json()["content"] == 3
    problem(http.post("/messages", json={**unnamed, "message_id": "x"}, headers=headers), 400, "INVALID_REQUEST")


@BOTH_WAYS
def test_ten_thousand_are_accepted_and_one_more_is_not(http: httpx.Client, deploy: Deploy) -> None:
    message = {"performative": "inform", "receiver": deploy(SILENT)}
    answer = http.post("/messages", json=[message] * 10_000)
    assert answer.status_code == 202
    assert [item["state"] for item in answer.json()["items"]] == ["pending"] * 10_000
    problem(http.post("/messages", json=[message] * 10_001), 413, "PAYLOAD_TOO_LARGE")
    problem(http.post("/messages", content=b"{}\n" * 10_001, headers=NDJSON), 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(("content", "kind"), [(b"[]", "json"), (b"\n \n", "x-ndjson"), (b"", "x-ndjson")])
def test_an_empty_batch_is_refused(http: httpx.Client, content: bytes, kind: str) -> None:
    answer = http.post("/messages", content=content, headers={"Content-Type": f"application/{kind}"})
    problem(answer, 400, "INVALID_REQUEST")


def test_an_item_over_the_limit_is_refused_alone(http: httpx.Client) -> None:
    answer = http.post("/messages", json=[GOOD, {**GOOD, "content": "x" * 1_000_000}])
    assert answer.status_code == 202
    assert answer.json()["items"][1]["error"]["code"] == "PAYLOAD_TOO_LARGE"


def test_field_names_may_be_written_with_a_dash_and_in_any_case(http: httpx.Client) -> None:
    body = {"Performative": "ACCEPT-PROPOSAL", "receiver": "echo", "Reply-With": "r1"}
    answer = http.post("/messages", json=body)
    assert answer.status_code == 202
    shown = http.get(f"/messages/{answer.json()['message_id']}").json()
    assert (shown["performative"], shown["reply_with"]) == ("accept_proposal", "r1")
    problem(http.post("/messages", json={**body, "reply_with": "r2"}), 400, "INVALID_REQUEST")


@BOTH_WAYS
@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"performative": "shout"}, "performative"),
        ({"performative": None}, "performative"),
        ({"receiver": "No Agent"}, "receiver"),
        ({"receiver": "topic:"}, "receiver"),
        ({"receiver": "capability:No Name"}, "receiver"),
        ({"receiver": "task:node"}, "receiver"),
        ({"priority": 0}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"reply_by": "tomorrow"}, "reply_by"),
        ({"reply_by": "2026-01-01T00:00:00"}, "reply_by"),
        ({"in_reply_to": ""}, "in_reply_to"),
        ({"conversation_id": "x" * 129}, "conversation_id"),
        ({"message_id": "7"}, "message_id"),
        ({"sender": "echo"}, "sender"),
        ({"trace_context": "x"}, "trace_context"),
        ({"convresation_id": "x"}, "convresation_id"),
    ],
)
def test_a_wrong_field_is_named(http: httpx.Client, change: dict[str, object], path: str) -> None:
    details = problem(http.post("/messages", json={**GOOD, **change}), 400, "INVALID_REQUEST")
    assert details["path"] == path


def test_an_unknown_field_names_the_nearest(http: httpx.Client) -> None:
    details = problem(http.post("/messages", json={**GOOD, "convresation_id": "x"}), 400, "INVALID_REQUEST")
    assert details["nearest"] == "conversation_id"
