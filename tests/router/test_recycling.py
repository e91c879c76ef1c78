"""Workers that have served long enough are replaced under load; nothing is lost, nobody waits."""

from __future__ import annotations

import asyncio

import pytest

from caxton.protocol.agents import Instance
from caxton.router.recycling import Bounds
from support import router_agents as agents
from support.router_node import Node, message, running_node, until


def pids(node: Node) -> set[int]:
    return {worker["pid"] for worker in node.core.stats()["workers"]}


async def work(node: Node, names: list[str], rounds: int) -> list[str]:
    """Messages to every agent, a bounded number at a time; their ids."""
    sent: list[str] = []
    for _ in range(rounds):
        batch = [message(name) for name in names for _ in range(5)]
        await node.send(*batch)
        sent += [one.message_id for one in batch]
        assert node.core.ready_reasons() == []
        await node.settled(*sent[-len(batch) :])
    return sent


@pytest.mark.parametrize(
    "bounds",
    [Bounds(executions=60), Bounds(growth_bytes=-(1 << 40), warm_up_executions=60)],
    ids=["executions", "memory"],
)
def test_a_worker_that_served_enough_is_replaced_and_nothing_is_lost(bounds: Bounds) -> None:
    async def run() -> None:
        async with running_node(runtime__executor_workers=2) as node:
            names = [f"c{number}" for number in range(4)]
            for name in names:
                await node.deploy(name, agents.COUNTER)
            await node.deploy("long", agents.sleeper(2.5))
            await node.deploy("each", agents.SILENT, instance=Instance.PER_MESSAGE)
            first = pids(node)
            long = message("long")
            await node.send(long)
            await until(lambda: node.core.in_flight(long.message_id))
            node.core._executor.workers.recycling.bounds = bounds
            sent = []
            async with asyncio.timeout(60):
                while pids(node) & first:
                    sent += await work(node, [*names, "each"], 2)
            node.core._executor.workers.recycling.bounds = Bounds()
            sent += await work(node, names, 1)
            assert set(await node.settled(*sent, long.message_id)) == {"done"}
            assert not [data for kind, data in node.events if kind.startswith("worker.")]
            assert node.row(long.message_id).attempts == 0
            assert node.key("long", "n") == b"\x01"  # it was not run again: its worker waited for it
            counts = {name: sum(node.row(one).message.receiver == name for one in sent) for name in names}
            assert {name: (node.key(name, "n") or b"")[0] for name in names} == {
                name: count % 256 for name, count in counts.items()
            }
            assert node.registry.require("c0").incarnation > 1
            await until(lambda: len(pids(node)) == 2)
            await node.assert_balanced()

    asyncio.run(run())


def test_an_agent_whose_worker_is_gone_stops_at_once() -> None:
    async def run() -> None:
        async with running_node(runtime__executor_workers=1) as node:
            agent = await node.deploy("count", agents.COUNTER)
            one = message("count")
            await node.send(one)
            await node.settled(one.message_id)
            first = pids(node)
            node.core._executor.workers.recycling.bounds = Bounds(executions=1)
            await until(lambda: not pids(node) & first)
            node.core._executor.workers.recycling.bounds = Bounds()
            async with asyncio.timeout(2):  # nobody is left to say that the instance ended
                await node.core.drain(agent, 1.0)

    asyncio.run(run())
