"""Agents without durable state run where they are placed: brought up, updated, stopped and removed on every node."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine
from typing import Any

import pytest

from caxton.cluster.placement import rank
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Invoke, Named, Nothing, Remove, Stop
from caxton.protocol.versions import ConfigChange, Rollback, Update
from support.desk_node import message
from support.linked_desks import Desks, Linked, linked_desks, until
from support.router_modules import CAT, ECHO, KEYS, wasm

KEYS_SHA = hashlib.sha256(wasm(KEYS)).hexdigest()
OTHER = CAT.replace('(memory (export "memory") 2)', '(memory (export "memory") 3)')


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 150))


async def says(node: Linked, name: str, content: bytes) -> Any:
    answer = await node.ask("invoke", Invoke(message(name, content), 10.0))
    return answer["reply"]


def test_agents_are_where_the_registry_says() -> None:
    async def test() -> None:
        async with linked_desks(3) as cluster:
            await _everywhere(cluster)
            await _updated(cluster)
            await _stopped_and_started(cluster)
            await _refused(cluster)
            await _with_a_home(cluster)
            await _missed_while_down(cluster)
            await _not_in_a_minority(cluster)
            await _once(cluster)
            await _removed(cluster)
            for node in cluster:
                ledger = await node.ask("ledger", Nothing())
                assert ledger["node"]["imbalance"] == 0

    run(test())


async def _everywhere(cluster: Desks) -> None:
    view = await cluster[0].deploy("cat", CAT, replicas="all")
    assert view["agent"]["status"] == "running"
    await cluster.all(lambda node: node.status("cat") == "running")
    ids = {node.desk.registry.require("cat").agent_id for node in cluster}
    assert len(ids) == 1
    for node in cluster:
        assert (await says(node, "cat", b'"here"'))["content"] == "here"
    assert sum(node.desk.cluster.fetching.got for node in cluster) == 2
    assert all(row.writer == "n1" for node in cluster for row in node.store.reader.registry() if row.kind == "agent")


async def _updated(cluster: Desks) -> None:
    await cluster[0].ask("agent.update", Update("cat", ConfigChange(), wasm(OTHER), wait_seconds=20.0))
    await cluster.all(lambda node: node.desk.registry.require("cat").version == 2)
    module = cluster[0].desk.registry.require("cat").module.sha256
    assert {node.desk.registry.require("cat").module.sha256 for node in cluster} == {module}
    assert (await says(cluster[2], "cat", b'"new"'))["content"] == "new"
    await cluster[0].ask("agent.rollback", Rollback("cat"))
    await cluster.all(lambda node: node.desk.registry.require("cat").version == 1)


async def _stopped_and_started(cluster: Desks) -> None:
    await cluster[0].ask("agent.stop", Stop("cat"))
    await cluster.all(lambda node: node.status("cat") == "stopped")
    await cluster[0].ask("agent.start", Named("cat"))
    await cluster.all(lambda node: node.status("cat") == "running")
    assert (await says(cluster[1], "cat", b'"again"'))["content"] == "again"


async def _refused(cluster: Desks) -> None:
    """More than one of an agent that keeps something; a second agent of a name that another node has."""
    for module in (ECHO, KEYS):
        with pytest.raises(CaxtonError) as refused:
            await cluster[0].deploy("many", module, replicas=2)
        assert refused.value.code is Code.INVALID_REQUEST
        assert refused.value.details["path"] == "replicas"
    with pytest.raises(CaxtonError) as refused:
        await cluster[0].deploy("nowhere", CAT, node="n9")
    assert refused.value.details["path"] == "node"


async def _with_a_home(cluster: Desks) -> None:
    """An agent that keeps something is where it was deployed, and nowhere else; its name is taken everywhere."""
    await cluster[1].deploy("keeper", KEYS)
    await cluster.all(lambda node: node.desk.cluster.records.agent("keeper"))
    assert cluster[2].desk.cluster.records.agent("keeper").home == "n2"
    with pytest.raises(CaxtonError) as refused:
        await cluster[2].deploy("keeper", CAT)
    assert refused.value.code is Code.AGENT_ALREADY_EXISTS
    await cluster.all(lambda node: node.desk.modules.path(KEYS_SHA).is_file())  # in case its home is lost
    assert [node.status("keeper") for node in cluster] == [None, "running", None]


async def _missed_while_down(cluster: Desks) -> None:
    one, _, three = cluster
    await three.stop()
    await one.deploy("late", CAT, replicas="all")
    await one.ask("agent.remove", Remove("cat"))
    await three.boot()
    await until(lambda: three.status("late") == "running" and three.status("cat") is None)
    assert three.store.reader.versions("cat") == []


async def _not_in_a_minority(cluster: Desks) -> None:
    """Nothing is begun or ended where less than half of the cluster is seen."""
    one, two, three = cluster
    cluster.cut(three, one, two)
    await one.deploy("apart", CAT, replicas="all")
    await until(lambda: two.status("apart") == "running")
    await one.ask("agent.remove", Remove("late"))
    await until(lambda: two.status("late") is None)
    assert three.status("late") == "running"
    assert (await says(three, "late", b'"on"'))["content"] == "on"
    cluster.heal()
    await until(lambda: three.status("late") is None and three.status("apart") == "running")


async def _once(cluster: Desks) -> None:
    """One replica: on the first node in rank, and on the next one when that is gone."""
    order = rank("single", cluster.names)
    first, second = cluster.nodes[order[0]], cluster.nodes[order[1]]
    await first.deploy("single", CAT)
    await cluster.all(lambda node: node.desk.cluster.records.agent("single"))
    assert [node.status("single") for node in cluster].count("running") == 1
    sha256 = first.desk.registry.require("single").module.sha256
    await cluster.all(lambda node: node.desk.modules.path(sha256).is_file())
    await first.stop()
    await until(lambda: second.status("single") == "running")
    await first.boot()
    await until(lambda: first.status("single") == "running" and second.status("single") is None)
    assert first.desk.cluster.records.agent("single").version == 1


async def _removed(cluster: Desks) -> None:
    await cluster[0].ask("agent.remove", Remove("apart"))
    await cluster.all(lambda node: node.status("apart") is None)
    await cluster.all(lambda node: node.desk.cluster.records.is_removed("apart"))
    assert await cluster[0].deploy("apart", CAT, replicas=2)
    await until(lambda: [node.status("apart") for node in cluster].count("running") == 2)
