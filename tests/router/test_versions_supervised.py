"""A new version brings its own schedules, retry policy and failure budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from caxton.protocol.errors import CaxtonError
from caxton.protocol.operations import Named, Submit
from caxton.protocol.versions import Steer
from support.desk_node import RouterNode, deploy, message, until
from support.router_agents import COUNTER, PICKY
from support.router_client import RouterClient
from support.versions import another, rollback, update

HOURLY = {"name": "hourly", "cron": "0 * * * *"}
DAILY = {"name": "daily", "cron": "0 6 * * *", "time_zone": "Europe/Berlin"}


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode() as started:
        yield started


@pytest.fixture
def client(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as connected:
        yield connected


def scheduled(client: RouterClient, name: str) -> list[str]:
    """Its schedules that have a next due time."""
    items = client.call("agent.schedules", Named(name))["items"]
    return [item["name"] for item in items if item["next_due"]]


def test_schedules_are_those_of_the_version_that_serves(client: RouterClient, node: RouterNode) -> None:
    deploy(client, "clock", COUNTER, schedules=[HOURLY])
    assert scheduled(client, "clock") == ["hourly"]
    update(client, "clock", another(COUNTER, 1), strategy="canary", canary={"percent": 10}, schedules=[DAILY])
    assert scheduled(client, "clock") == ["hourly"]  # the candidate has none of its own yet
    client.call("agent.steer", Steer("clock", "promote"))
    assert scheduled(client, "clock") == ["daily"]
    update(client, "clock", schedules=[DAILY, HOURLY])
    assert scheduled(client, "clock") == ["daily", "hourly"]
    update(client, "clock", another(COUNTER, 2))
    assert scheduled(client, "clock") == ["daily", "hourly"]
    rollback(client, "clock", 1)
    assert scheduled(client, "clock") == ["hourly"]
    update(client, "clock", schedules=[])
    assert scheduled(client, "clock") == []


def test_a_new_budget_counts_from_its_version_on(client: RouterClient) -> None:
    once: dict[str, Any] = {"retry": {"max_deliveries": 1}}
    deploy(client, "picky", PICKY, supervision={"dead_letters": 100}, **once)
    assert update(client, "picky", supervision={"dead_letters": 1, "senders": 1, "pause_seconds": 60})["status"]
    client.call("submit", Submit([message("picky", b'"!"')]))
    until(lambda: client.call("agent.get", Named("picky"))["status"] == "quarantined")
    assert update(client, "picky", another(PICKY, 1))["status"] == "running"


def test_a_schedule_that_is_none_is_refused_for_a_version_too(client: RouterClient) -> None:
    deploy(client, "same", COUNTER)
    with pytest.raises(CaxtonError) as caught:
        update(client, "same", schedules=[{"name": "s", "cron": "99 * * * *"}])
    assert (caught.value.code, caught.value.details["path"]) == ("INVALID_REQUEST", "schedules[0].cron")
    assert client.call("agent.get", Named("same"))["version"] == 1
