"""The audit over HTTP: who may read it, and what it says of those who may not come in."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from api.checks import BASE, KEY_HEADER, problem

from caxton.protocol.audit import Record
from support.audit_files import records
from support.node import Node, until


def recorded(node: Node, action: str) -> list[Record]:
    return [record for record in records(node.home / "data" / "audit") if record.action == action]


def test_it_is_listed_in_pages_with_filters(node: Node, client: httpx.Client) -> None:
    for name in ("gone-1", "gone-2", "gone-3"):
        client.delete(f"{BASE}/agents/{name}", headers={"X-Request-Id": f"asked-{name}"})
    query: dict[str, Any] = {"target": "gone-*", "outcome": "failed", "limit": 2, "since": "2020-01-01T00:00:00Z"}
    first = client.get(f"{BASE}/audit", params=query).json()
    second = client.get(f"{BASE}/audit", params={**query, "cursor": first["next_cursor"]}).json()
    items = first["items"] + second["items"]
    assert [item["target"] for item in items] == ["gone-3", "gone-2", "gone-1"]
    assert {item["outcome"] for item in items} == {"AGENT_NOT_FOUND"}
    assert items[0]["actor"]["address"] == "127.0.0.1"
    assert items[0]["request_id"] == "asked-gone-3"


@pytest.mark.parametrize(
    "query", ["since=yesterday", "until=2020-01-01", "limit=0", "limit=201", "cursor=x", "who=me", "actor="]
)
def test_a_bad_filter_is_refused(client: httpx.Client, query: str) -> None:
    problem(client.get(f"{BASE}/audit?{query}"), 400, "INVALID_REQUEST")


def test_it_needs_credentials(guarded: Node) -> None:
    problem(httpx.get(f"{guarded.url}{BASE}/audit"), 401, "UNAUTHORIZED")


def test_a_failed_login_is_recorded_with_its_address_and_nothing_of_the_key(guarded: Node) -> None:
    before = sum(record.details["count"] for record in recorded(guarded, "login.failed"))
    secret = "ck_nobody_0123456789abcdef"
    problem(httpx.get(f"{guarded.url}{BASE}/ledger", headers={KEY_HEADER: secret}), 401, "UNAUTHORIZED")
    until(lambda: counted(guarded) > before, 30, "a record of the failed login")
    found = recorded(guarded, "login.failed")[-1]
    assert (found.actor.address, found.outcome) == ("127.0.0.1", "UNAUTHORIZED")
    text = b"".join(path.read_bytes() for path in (guarded.home / "data" / "audit").glob("*.jsonl"))
    assert secret.encode() not in text


def counted(node: Node) -> int:
    return sum(record.details["count"] for record in recorded(node, "login.failed"))


def test_a_storm_of_logins_on_hot_and_cold_routes_is_a_handful_of_records(guarded: Node) -> None:
    """Every one is counted; requests of others are answered meanwhile."""
    before, made = counted(guarded), len(recorded(guarded, "login.failed"))

    def attempt(number: int) -> int:
        with httpx.Client(base_url=guarded.url + BASE, headers={KEY_HEADER: f"ck_{number}_x"}) as stranger:
            answers = [stranger.post("/agents/echo/invoke", json={"content": 1}) for _ in range(15)]
            answers += [stranger.get("/agents") for _ in range(10)]
            return Counter(answer.status_code for answer in answers)[401]

    with ThreadPoolExecutor(8) as pool:
        refused = sum(pool.map(attempt, range(40)))
    assert refused == 1_000
    assert guarded.client.get(f"{BASE}/ledger").status_code == 200
    until(lambda: counted(guarded) >= before + refused, 90, "every attempt counted, when the window is over")
    assert len(recorded(guarded, "login.failed")) - made < 20


def test_a_deployment_over_http_names_the_key(guarded: Node) -> None:
    guarded.client.delete(f"{BASE}/agents/nobody-at-all")
    ended = recorded(guarded, "agent.remove")[-1]
    assert (ended.target, ended.actor.subject) == ("nobody-at-all", "alice")


def test_what_is_in_a_path_is_one_harmless_line(guarded: Node) -> None:
    httpx.get(f"{guarded.url}{BASE}/agents/%0a%1b%5b31m%22,%22phase%22")
    until(lambda: recorded(guarded, "login.failed"), 30, "a record")
    for path in (guarded.home / "data" / "audit").glob("*.jsonl"):
        assert all(json.loads(line) for line in path.read_bytes().splitlines())
