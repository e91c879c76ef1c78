"""Versions of an agent with snapshots: there is one memory, whichever version runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Named
from caxton.protocol.versions import Steer
from support.desk_node import RouterNode, deploy, invoke
from support.router_client import RouterClient
from support.snapshot_agents import COUNTER
from support.versions import another, rollback, update

ONE, TWO, THREE = (another(COUNTER, number) for number in (1, 2, 3))
A, B, C = (sha256(module).hexdigest() for module in (ONE, TWO, THREE))


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode(runtime={"executor_workers": 2}) as started:
        yield started


@pytest.fixture
def client(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as connected:
        yield connected


def counts(client: RouterClient, name: str, times: int) -> list[Any]:
    return [invoke(client, name)["content"] for _ in range(times)]


def test_a_version_that_can_read_the_snapshot_goes_on_under_load(node: RouterNode, client: RouterClient) -> None:
    deploy(client, "busy", ONE, state="snapshot")
    seen: list[Any] = []
    enough = threading.Event()

    def ask() -> None:
        with node.client() as mine:
            while not enough.is_set():
                seen.extend(counts(mine, "busy", 1))

    asker = threading.Thread(target=ask)
    asker.start()
    update(client, "busy", TWO, snapshot_from=[A, C])
    update(client, "busy", THREE, snapshot_from=[A, B])
    update(client, "busy", limits={"memory_bytes": 8_000_000})  # the same module keeps its snapshot
    rollback(client, "busy", 2)
    enough.set()
    asker.join(30)
    seen += counts(client, "busy", 3)
    assert seen == list(range(1, len(seen) + 1))


def test_a_version_that_cannot_read_the_snapshot_begins_anew_and_says_so(
    node: RouterNode, client: RouterClient
) -> None:
    deploy(client, "anew", ONE, state="snapshot")
    assert counts(client, "anew", 3) == [1, 2, 3]
    update(client, "anew", TWO)
    assert client.call("agent.get", Named("anew"))["resources"]["snapshot"]["memory_bytes"] == 131_072
    rollback(client, "anew")
    assert counts(client, "anew", 2) == [4, 5]  # the new one had not handled anything
    assert "begins with fresh memory" not in node.log
    update(client, "anew", TWO)
    assert counts(client, "anew", 2) == [1, 2]
    assert f"agent anew begins with fresh memory: it is of the module {A}" in node.log


def test_a_canary_shares_the_memory_or_is_refused(client: RouterClient) -> None:
    deploy(client, "shared", ONE, state="snapshot", snapshot_from=[B])
    assert counts(client, "shared", 2) == [1, 2]
    for change in ({}, {"state": "memory", "snapshot_from": []}):
        with pytest.raises(CaxtonError) as caught:
            update(client, "shared", TWO, strategy="canary", canary={"percent": 50}, **change)
        path = "state" if change else "snapshot_from"
        assert (caught.value.code, caught.value.details["path"]) == (Code.INVALID_REQUEST, path)
    update(client, "shared", TWO, strategy="canary", canary={"percent": 50}, snapshot_from=[A])
    assert counts(client, "shared", 30) == list(range(3, 33))  # conversations of both versions, in turn
    client.call("agent.steer", Steer("shared", "promote"))
    assert counts(client, "shared", 2) == [33, 34]
    assert client.call("agent.get", Named("shared"))["resources"]["wakes"] > 5


def test_back_from_blue_green_the_memory_is_the_last_one(client: RouterClient) -> None:
    deploy(client, "green", ONE, state="snapshot", snapshot_from=[B])
    assert counts(client, "green", 2) == [1, 2]
    update(client, "green", TWO, strategy="blue_green", snapshot_from=[A])
    assert counts(client, "green", 2) == [3, 4]
    client.call("agent.steer", Steer("green", "abort"))
    assert counts(client, "green", 2) == [5, 6]


def test_a_memory_that_was_a_cache_for_a_while_is_not_gone_back_to(client: RouterClient) -> None:
    deploy(client, "cache", ONE, state="snapshot")
    assert counts(client, "cache", 3) == [1, 2, 3]
    update(client, "cache", state="memory")
    assert counts(client, "cache", 2) == [1, 2]
    assert client.call("agent.get", Named("cache"))["resources"]["snapshot"] is None
    update(client, "cache", state="snapshot")
    assert counts(client, "cache", 2) == [1, 2]
