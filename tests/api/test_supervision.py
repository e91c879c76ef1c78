"""Quarantine, held conversations, schedules and outbound calls over HTTP."""

from __future__ import annotations

import uuid

import httpx
import pytest
from api.checks import problem, settle
from api.conftest import Deploy

from support.wat import SILENT, TRAP


def test_a_quarantined_agent_says_why_keeps_its_mail_and_is_started_by_hand(
    http: httpx.Client, deploy: Deploy
) -> None:
    budget = {"dead_letters": 2, "senders": 1, "pause_seconds": 600}
    name = deploy(TRAP, supervision=budget)
    for _ in range(2):
        problem(http.post(f"/agents/{name}/invoke", json={}), 502, "AGENT_FAILED")
    shown = settle(http, f"/agents/{name}", "quarantined", "status")
    assert "2 dead letters of 1 senders" in shown["status_reason"]
    assert shown["quarantine"]["pause_seconds"] == 600
    assert shown["quarantine"]["since"] < shown["quarantine"]["probe_at"]
    assert name in {one["name"] for one in http.get("/agents", params={"status": "quarantined"}).json()["items"]}
    problem(http.post(f"/agents/{name}/invoke", json={}), 503, "AGENT_QUARANTINED")
    item = http.post("/messages", json={"performative": "inform", "receiver": name}).json()
    assert item["state"] == "pending"
    started = http.post(f"/agents/{name}/start")
    assert (started.status_code, started.json()["status"]) == (200, "running")
    assert started.json()["quarantine"] is None
    settle(http, f"/messages/{item['message_id']}", "dead")  # it ran at last


@pytest.fixture
def held(http: httpx.Client, deploy: Deploy) -> tuple[str, str, str]:
    """An agent, a dead letter of it, and a message that waits behind that."""
    name = deploy(TRAP, retry={"on_dead": "hold"}, supervision={"dead_letters": 100})
    batch = [{"performative": "inform", "receiver": name, "content": n, "conversation_id": "c"} for n in (1, 2)]
    dead, behind = [item["message_id"] for item in http.post("/messages", json=batch).json()["items"]]
    settle(http, f"/messages/{dead}", "dead")
    return name, dead, behind


def test_a_skipped_letter_stays_and_what_waited_goes_on(http: httpx.Client, held: tuple[str, str, str]) -> None:
    name, dead, behind = held
    assert http.get(f"/dead-letters/{dead}").json()["holds_conversation"] is True
    (listed,) = http.get("/dead-letters", params={"agent": name}).json()["items"]
    assert listed["holds_conversation"] is True
    assert http.get(f"/messages/{behind}").json()["state"] == "pending"
    assert http.post(f"/dead-letters/{dead}/skip").json() == {"count": 1}
    settle(http, f"/messages/{behind}", "dead")
    assert "holds_conversation" not in http.get(f"/dead-letters/{dead}").json()
    problem(http.post(f"/dead-letters/{dead}/skip"), 409, "CONFLICT")


def test_an_edited_letter_is_tried_with_its_new_content(
    http: httpx.Client, deploy: Deploy, held: tuple[str, str, str]
) -> None:
    name, dead, behind = held
    assert http.post(f"/dead-letters/{dead}/replay", json={"content": {"n": 7}}).json() == {"count": 1}
    shown = settle(http, f"/messages/{dead}", "dead")
    assert shown["content"] == {"n": 7}
    assert http.get(f"/messages/{behind}").json()["state"] == "pending"
    other = deploy(SILENT)
    assert http.post(f"/dead-letters/{dead}/replay", json={"content": 8, "to": other}).json() == {"count": 1}
    (moved,) = http.get("/messages", params={"agent": other}).json()["items"]
    assert moved["content"] == 8
    settle(http, f"/messages/{behind}", "dead")  # nothing holds it any more
    assert http.get(f"/agents/{name}").json()["counters"]["dead"] == 2


def test_what_cannot_be_replayed_is_refused(http: httpx.Client, held: tuple[str, str, str]) -> None:
    _, dead, behind = held
    for message_id, code in ((str(uuid.uuid4()), "MESSAGE_NOT_FOUND"), (behind, "MESSAGE_NOT_FOUND")):
        problem(http.post(f"/dead-letters/{message_id}/replay", json={}), 404, code)
    problem(http.post(f"/dead-letters/{dead}/replay", json={"to": "nobody-at-all"}), 404, "AGENT_NOT_FOUND")
    large = http.post(f"/dead-letters/{dead}/replay", json={"content": "x" * 1_000_001})
    problem(large, 413, "PAYLOAD_TOO_LARGE")


def test_schedules_are_listed_with_their_next_due_time(http: httpx.Client, deploy: Deploy) -> None:
    one = {"name": "yearly", "cron": "0 0 1 1 *", "time_zone": "Europe/Berlin"}
    name = deploy(SILENT, schedules=[one])
    (shown,) = http.get(f"/agents/{name}/schedules").json()["items"]
    assert shown["next_due"].endswith("-12-31T23:00:00.000000Z")
    assert {**one, "misfire": "once", "jitter_seconds": 0.0, "last_due": None}.items() <= shown.items()
    problem(http.get("/agents/nobody-at-all/schedules"), 404, "AGENT_NOT_FOUND")


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"schedules": [{"name": "a", "cron": "99 * * * *"}]}, "schedules[0].cron"),
        ({"schedules": [{"name": "a", "cron": "0 0 * * *", "time_zone": "Nowhere"}]}, "schedules[0].time_zone"),
        ({"schedules": [{"name": "7", "cron": "0 0 * * *"}]}, "schedules[0].name"),
        ({"grants": {"http": ["example.com"]}}, "grants.http[0]"),
        ({"supervision": {"senders": 0}}, "supervision.senders"),
        ({"retry": {"on_dead": "panic"}}, "retry.on_dead"),
    ],
)
def test_a_deployment_that_asks_for_nonsense_is_refused(
    http: httpx.Client, config: dict[str, object], path: str
) -> None:
    answer = http.post("/agents", json={"name": "nonsense", "wat": SILENT, **config})
    assert problem(answer, 400, "INVALID_REQUEST")["path"] == path


def test_outbound_calls_are_listed_by_agent(http: httpx.Client, deploy: Deploy) -> None:
    assert http.get(f"/agents/{deploy(SILENT)}/http-calls").json() == {"items": [], "next_cursor": None}
    problem(http.get("/agents/echo/http-calls", params={"cursor": "x"}), 400, "INVALID_REQUEST")
    problem(http.get("/agents/nobody-at-all/http-calls"), 404, "AGENT_NOT_FOUND")
