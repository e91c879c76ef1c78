"""The routes below /dead-letters."""

from __future__ import annotations

import uuid

import httpx
import pytest
from api.checks import pages, problem, settle
from api.conftest import Deploy

from support.node import Node
from support.wat import SILENT, TRAP


def dead_in(http: httpx.Client, name: str, count: int = 1) -> list[str]:
    """Has messages to this agent die; gives their ids."""
    batch = [{"performative": "inform", "receiver": name, "content": number} for number in range(count)]
    ids = [item["message_id"] for item in http.post("/messages", json=batch).json()["items"]]
    for message_id in ids:
        settle(http, f"/messages/{message_id}", "dead")
    return ids


@pytest.fixture
def trap(deploy: Deploy) -> str:
    return deploy(TRAP)


def listed(http: httpx.Client, name: str) -> set[str]:
    return {item["message_id"] for item in http.get("/dead-letters", params={"agent": name}).json()["items"]}


def test_are_listed_and_shown_with_their_attempts(http: httpx.Client, trap: str) -> None:
    (message_id,) = dead_in(http, trap)
    assert listed(http, trap) == {message_id}
    shown = http.get(f"/dead-letters/{message_id}").json()
    assert (shown["state"], shown["receiver"]) == ("dead", trap)
    assert shown["attempts"][0]["code"] == "AGENT_FAILED"
    assert "wasm" in shown["attempts"][0]["backtrace"]


def test_pages_hold_every_one_once(http: httpx.Client, trap: str) -> None:
    ids = dead_in(http, trap, 5)
    found = [item["message_id"] for page in pages(http, "/dead-letters", agent=trap, limit=2) for item in page]
    assert sorted(found) == sorted(ids)


def test_a_message_that_lives_is_no_dead_letter(http: httpx.Client, deploy: Deploy) -> None:
    body = {"performative": "inform", "receiver": deploy(SILENT)}
    message_id = http.post("/messages", json=body).json()["message_id"]
    settle(http, f"/messages/{message_id}", "done")
    problem(http.get(f"/dead-letters/{message_id}"), 404, "MESSAGE_NOT_FOUND")
    for verb in ("replay", "purge"):
        assert http.post(f"/dead-letters/{verb}", json={"message_ids": [message_id]}).json() == {"count": 0}
    assert http.get(f"/messages/{message_id}").json()["state"] == "done"


def test_an_unknown_one_is_404(http: httpx.Client) -> None:
    problem(http.get(f"/dead-letters/{uuid.uuid4()}"), 404, "MESSAGE_NOT_FOUND")
    problem(http.get("/dead-letters/not-an-id"), 400, "INVALID_REQUEST")


def test_a_replayed_one_is_tried_again(node: Node, http: httpx.Client, trap: str) -> None:
    (message_id,) = dead_in(http, trap)
    assert http.post("/dead-letters/replay", json={"message_ids": [message_id] * 2}).json() == {"count": 1}
    settle(http, f"/dead-letters/{message_id}", "dead")
    assert node.settled()["imbalance"] == 0


def test_a_replay_may_go_to_another_agent(node: Node, http: httpx.Client, trap: str, deploy: Deploy) -> None:
    name = deploy(SILENT)
    ids = dead_in(http, trap, 3)
    assert http.post("/dead-letters/replay", json={"agent": trap, "to": name}).json() == {"count": 3}
    assert listed(http, trap) == set()
    assert [item["receiver"] for item in http.get(f"/agents/{name}/messages").json()["items"]] == [name] * 3
    assert http.post("/dead-letters/replay", json={"message_ids": ids, "to": name}).json() == {"count": 0}
    assert node.settled()["imbalance"] == 0


def test_a_replay_to_nobody_moves_nothing(http: httpx.Client, trap: str) -> None:
    ids = dead_in(http, trap)
    problem(http.post("/dead-letters/replay", json={"agent": trap, "to": "nobody"}), 404, "AGENT_NOT_FOUND")
    assert listed(http, trap) == set(ids)


def test_a_stopped_agent_finds_what_was_replayed_when_it_starts(http: httpx.Client, trap: str) -> None:
    (message_id,) = dead_in(http, trap)
    http.post(f"/agents/{trap}/stop")
    assert http.post("/dead-letters/replay", json={"message_ids": [message_id]}).json() == {"count": 1}
    assert http.get(f"/messages/{message_id}").json()["state"] == "pending"
    http.post(f"/agents/{trap}/start")
    settle(http, f"/messages/{message_id}", "dead")


def test_a_replay_to_an_agent_that_is_gone_moves_nothing(http: httpx.Client, trap: str) -> None:
    ids = dead_in(http, trap)
    http.delete(f"/agents/{trap}")
    problem(http.post("/dead-letters/replay", json={"agent": trap}), 404, "AGENT_NOT_FOUND")
    assert http.post("/dead-letters/replay", json={"message_ids": ids}).json() == {"count": 0}
    assert listed(http, trap) == set(ids)


def test_purged_ones_are_forgotten_and_counted_on(node: Node, http: httpx.Client, trap: str) -> None:
    first, *rest = dead_in(http, trap, 3)
    assert http.post("/dead-letters/purge", json={"message_ids": [first]}).json() == {"count": 1}
    problem(http.get(f"/dead-letters/{first}"), 404, "MESSAGE_NOT_FOUND")
    assert listed(http, trap) == set(rest)
    assert http.post("/dead-letters/purge", json={"agent": trap}).json() == {"count": 2}
    row = next(row for row in node.ledger()["agents"] if row["name"] == trap)
    assert (row["dead"], row["imbalance"]) == (3, 0)


def test_everything_may_be_purged(http: httpx.Client, trap: str) -> None:
    dead_in(http, trap, 2)
    assert http.post("/dead-letters/purge", json={"everything": True}).json()["count"] >= 2
    assert http.get("/dead-letters").json()["items"] == []


@pytest.mark.parametrize("verb", ["replay", "purge"])
def test_ids_that_nobody_knows_count_for_nothing(http: httpx.Client, verb: str) -> None:
    ids = [str(uuid.uuid4()) for _ in range(3)]
    assert http.post(f"/dead-letters/{verb}", json={"message_ids": ids}).json() == {"count": 0}


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("replay", {}),
        ("replay", {"agent": "a", "message_ids": [str(uuid.uuid4())]}),
        ("replay", {"agent": "a", "to": "B!"}),
        ("replay", {"agent": 7}),
        ("replay", {"message_ids": ["x"]}),
        ("replay", {"everything": True}),
        ("purge", {}),
        ("purge", {"agent": "a", "everything": True}),
        ("purge", {"message_ids": "x"}),
        ("purge", {"message_id": "x"}),
        ("purge", {"message_ids": [str(uuid.uuid4())] * 10_001}),
        ("purge", []),
    ],
)
def test_what_to_act_on_must_be_clear(http: httpx.Client, verb: str, body: object) -> None:
    problem(http.post(f"/dead-letters/{verb}", json=body), 400, "INVALID_REQUEST")


def test_a_body_is_required(http: httpx.Client) -> None:
    problem(http.post("/dead-letters/purge"), 415, "UNSUPPORTED_MEDIA_TYPE")
