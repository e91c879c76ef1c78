"""Snapshots over the life of an agent: deploying, stopping, starting, removing, and routers that are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from caxton.protocol.agents import AgentConfig
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Deploy, Listing, Named, Remove, Stop
from caxton.protocol.snapshots import MAX_MEMORY_BYTES
from support import snapshot_agents as agents
from support.desk_node import RouterNode, deploy, invoke, until
from support.router_client import RouterClient
from support.router_modules import CAT, DESCRIBED, wasm


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode(runtime={"shareable_dirs": ["/tmp"]}) as started:
        yield started


@pytest.fixture
def client(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as connected:
        yield connected


def count(client: RouterClient, name: str) -> Any:
    return invoke(client, name)["content"]


def resources(client: RouterClient, name: str) -> Any:
    return client.call("agent.get", Named(name))["resources"]


def refused(client: RouterClient, module: str, **config: Any) -> CaxtonError:
    with pytest.raises(CaxtonError) as caught:
        deploy(client, "refused", module, state="snapshot", **config)
    return caught.value


@pytest.mark.parametrize(
    ("module", "config", "path"),
    [
        (CAT, {}, "state"),
        (CAT, {"shape": "command"}, "state"),
        (agents.COUNTER, {"instance": "per_message"}, "state"),
        (agents.COUNTER, {"grants": {"scratch": True}}, "grants.scratch"),
        (agents.COUNTER, {"grants": {"dirs": [{"host": "/tmp", "guest": "/data"}]}}, "grants.dirs"),
        (agents.COUNTER, {"limits": {"memory_bytes": MAX_MEMORY_BYTES + 1}}, "limits.memory_bytes"),
    ],
)
def test_what_cannot_have_snapshots_is_refused(client: RouterClient, module: str, config: Any, path: str) -> None:
    error = refused(client, module, **config)
    assert (error.code, error.details["path"]) == (Code.INVALID_REQUEST, path)


def test_a_module_that_changes_tables_is_refused_with_the_place(client: RouterClient) -> None:
    module = agents.counter_and("(table.set (i32.const 0) (ref.null func))", "").replace(
        "(memory (export", "(table 1 funcref) (memory (export"
    )
    error = refused(client, module)
    assert (error.code, error.details["found"]) == (Code.INVALID_WASM, "table.set")
    assert error.details["offset"] > 0
    deploy(client, "plain", module)  # without snapshots it is as good as any
    assert count(client, "plain") == 1
    client.call("agent.remove", Remove("plain"))


def test_snapshot_from_needs_snapshots(client: RouterClient) -> None:
    config = AgentConfig(name="refused", snapshot_from=["0" * 64])
    with pytest.raises(CaxtonError) as caught:
        client.call("agent.deploy", Deploy(config, wasm(agents.COUNTER), 10.0))
    assert (caught.value.code, caught.value.details["path"]) == (Code.INVALID_REQUEST, "snapshot_from")


def test_stopping_keeps_the_snapshot_and_removing_takes_it(client: RouterClient) -> None:
    view = deploy(client, "count", agents.COUNTER, state="snapshot")
    assert view["limits"]["memory_bytes"] == MAX_MEMORY_BYTES
    assert (view["resources"]["snapshot"], view["resources"]["hibernated"]) == (None, False)
    assert [count(client, "count") for _ in range(3)] == [1, 2, 3]
    shown = resources(client, "count")
    assert (shown["snapshot"]["memory_bytes"], shown["snapshot"]["stored_bytes"]) == (131_072, 3 * 4_096)
    assert 0 <= shown["snapshot"]["age_seconds"] < 30
    assert (shown["resident"], shown["hibernated"], shown["wakes"]) == (True, False, 0)
    client.call("agent.stop", Stop("count"))
    stopped = resources(client, "count")
    assert stopped["snapshot"] is not None
    assert not stopped["hibernated"]  # it is stopped
    client.call("agent.start", Named("count"))
    assert count(client, "count") == 4
    (listed,) = [one for one in client.call("agent.list", Listing())["items"] if one["name"] == "count"]
    assert listed["resources"]["snapshot"]["memory_bytes"] == 131_072
    client.call("agent.remove", Remove("count", purge=True))
    deploy(client, "count", agents.COUNTER, state="snapshot")
    assert resources(client, "count")["snapshot"] is None
    assert count(client, "count") == 1
    client.call("agent.remove", Remove("count"))


def test_a_started_agent_still_offers_what_it_said_at_its_deployment(client: RouterClient) -> None:
    deploy(client, "described", DESCRIBED, state="snapshot")
    invoke(client, "described")
    client.call("agent.stop", Stop("described"))
    view = client.call("agent.start", Named("described"))
    assert (view["capabilities"], view["descriptor"]["by"]) == (["sum"], "test")
    client.call("agent.remove", Remove("described"))


def test_a_deployment_that_fails_its_self_test_leaves_no_snapshot_behind(client: RouterClient) -> None:
    error = refused(client, agents.COUNTER, self_test={"content": None, "expect": 7})
    assert error.code is Code.AGENT_FAILED
    deploy(client, "refused", agents.COUNTER, state="snapshot", self_test={"content": None, "expect": 1})
    assert count(client, "refused") == 2
    client.call("agent.remove", Remove("refused"))


def test_killed_routers_and_executors_go_on_where_the_last_commit_was() -> None:
    with RouterNode(runtime={"wasm_memory_limit": "8MB"}) as node:
        with node.client() as client:
            view = deploy(client, "count", agents.COUNTER, state="snapshot")
            assert view["limits"]["memory_bytes"] == 8_000_000
        for expected in range(1, 9):
            with node.client() as client:
                assert count(client, "count") == expected
            if expected % 2:
                node.kill_router()
                node.start_router()
            else:
                assert node.executor is not None
                os.kill(node.executor.pid, signal.SIGKILL)
                node.executor.wait(30)
                node.start_executor()
                until(node.is_ready)
        with node.client() as client:
            shown = resources(client, "count")
            assert (shown["incarnation"], shown["hibernated"]) == (1, True)
            assert client.call("ledger")["node"]["imbalance"] == 0
