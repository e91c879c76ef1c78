"""What a node that is full answers: 429 with Retry-After, 507 below the disk's low mark."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from api.checks import BASE, problem, settle

from support.node import Node, until
from support.wat import SILENT, sleeping

MESSAGE = {"performative": "inform", "receiver": "held"}


@pytest.fixture
def held(small: Node) -> Iterator[httpx.Client]:
    """A client of `small`, whose agent `held` is busy with one message for as long as the test lasts."""
    small.deploy("held", sleeping(60))
    with httpx.Client(base_url=small.url + BASE, timeout=20) as client:
        message_id = client.post("/messages", json=MESSAGE).json()["message_id"]
        settle(client, f"/messages/{message_id}", "in_flight")
        yield client
        client.post("/agents/held/stop", json={"grace_period_seconds": 0})
        client.delete("/agents/held?purge=true")


def test_a_full_mailbox_says_when_to_come_back(held: httpx.Client) -> None:
    room = 0
    while (answer := held.post("/messages", json=MESSAGE)).status_code == 202:
        room += 1
    assert 4 <= room <= 5
    details = problem(answer, 429, "MAILBOX_FULL")
    assert details["limit"] == 5
    problem(held.post("/agents/held/invoke", json={}), 429, "MAILBOX_FULL")
    problem(held.post("/messages", json=[MESSAGE, MESSAGE]), 429, "MAILBOX_FULL")
    assert held.post("/agents/echo/invoke", json={}).status_code == 200
    first = held.get("/messages?agent=held&state=pending").json()["items"][0]
    held.delete(f"/messages/{first['message_id']}")
    assert held.post("/messages", json=MESSAGE).status_code == 202


def test_a_batch_is_accepted_as_far_as_there_is_room(held: httpx.Client) -> None:
    answer = held.post("/messages", json=[MESSAGE] * 10)
    assert answer.status_code == 202
    items = answer.json()["items"]
    accepted = [item for item in items if "error" not in item]
    assert 4 <= len(accepted) <= 5
    assert items[: len(accepted)] == accepted
    assert {item["error"]["code"] for item in items[len(accepted) :]} == {"MAILBOX_FULL"}


def test_a_job_for_a_full_mailbox_fails(held: httpx.Client) -> None:
    held.post("/messages", json=[MESSAGE] * 10)
    answer = held.post("/agents/held/invoke", json={}, headers={"Prefer": "respond-async"})
    if answer.status_code == 202:
        job = settle(held, f"/jobs/{answer.json()['job_id']}", "failed")
        assert job["error"]["code"] == "MAILBOX_FULL"
    else:
        problem(answer, 429, "MAILBOX_FULL")


def test_a_disk_below_its_mark_takes_nothing_new_and_ends_what_it_has(small: Node) -> None:
    small.deploy("brief", sleeping(3))
    body = {"performative": "inform", "receiver": "brief"}
    message_id = small.client.post(f"{BASE}/messages", json=body).json()["message_id"]
    small.reload("messaging", low_disk_bytes="1000TB")
    client = small.client
    try:
        until(lambda: client.get("/ready").status_code == 503, 10, "not ready")
        until(lambda: client.post(f"{BASE}/messages", json=body).status_code == 507, 10, "507")
        assert "low_disk" in problem(client.get("/ready"), 503, "NOT_READY")["reasons"]
        problem(client.post(f"{BASE}/messages", json=body), 507, "STORAGE_FULL")
        problem(client.post(f"{BASE}/messages", json=[body, body]), 507, "STORAGE_FULL")
        problem(client.post(f"{BASE}/agents/brief/invoke", json={}), 507, "STORAGE_FULL")
        problem(client.post(f"{BASE}/agents", json={"name": "late", "wat": SILENT}), 507, "STORAGE_FULL")
        job = client.post(f"{BASE}/agents/brief/invoke", json={}, headers={"Prefer": "respond-async"})
        problem(job, 507, "STORAGE_FULL")
        with httpx.Client(base_url=small.url + BASE, timeout=20) as http:
            settle(http, f"/messages/{message_id}", "done")
    finally:
        small.reload("messaging", low_disk_bytes="1MB")
    client = small.client
    until(lambda: client.get("/ready").status_code == 200, 10, "ready again")
    until(lambda: client.post(f"{BASE}/messages", json=body).status_code == 202, 10, "room again")
    small.client.delete(f"{BASE}/agents/brief?purge=true")
