"""With `isolation = "namespace"`, agents of different namespaces never share a process."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from caxton.executor.processes import rss_bytes
from support import router_agents as agents
from support.router_node import Node, message, running_node, until

APART = {"runtime__isolation": "namespace", "runtime__executor_workers": 2}
NAMESPACES = ("red", "blue")


def pids_by_tag(node: Node) -> dict[str, set[int]]:
    """Where agents of each group of workers are known, by group."""
    found: dict[str, set[int]] = {}
    for worker in node.core._executor.workers.all():
        if worker.usable:
            found.setdefault(worker.tag, set()).add(worker.pid)
    return found


def pids_with(node: Node, namespace: str) -> set[int]:
    """Processes that have ever been told of an agent of this namespace and still live."""
    handles = {box.handle for box in node.core._boxes if box.agent.name.startswith(f"{namespace}/")}
    return {worker.pid for worker in node.core._executor.workers.all() if worker.loaded & handles}


def test_two_namespaces_under_load_never_share_a_process() -> None:
    async def run() -> None:
        async with running_node(**APART) as node:
            names = [f"{team}/count-{number}" for team in NAMESPACES for number in range(4)] + ["own"]
            for name in names:
                await node.deploy(name, agents.COUNTER)
            readings: list[tuple[set[int], ...]] = []

            async def watch() -> None:
                while True:
                    standing = pids_by_tag(node).get("", set())
                    readings.append((pids_with(node, "red"), pids_with(node, "blue"), standing))
                    await asyncio.sleep(0)

            watching = asyncio.get_running_loop().create_task(watch())
            sent = [message(name) for _ in range(40) for name in names]
            await node.send(*sent)
            assert set(await node.settled(*[one.message_id for one in sent])) == {"done"}
            watching.cancel()
            for red, blue, standing in readings:
                assert red.isdisjoint(blue)
                assert standing.isdisjoint(red | blue)
            assert any(red and blue for red, blue, _ in readings)
            assert {node.key(name, "n") for name in names} == {b"\x28"}  # every message took effect once
            await node.assert_balanced()

    asyncio.run(run())


def test_a_killed_worker_of_one_namespace_leaves_the_other_alone() -> None:
    async def run() -> None:
        async with running_node(**APART) as node:
            await node.deploy("red/sleeps", agents.sleeper(3.0))
            await node.deploy("blue/sleeps", agents.sleeper(3.0))
            red, blue = message("red/sleeps"), message("blue/sleeps")
            await node.send(red, blue)
            await until(lambda: node.core.in_flight(red.message_id) and node.core.in_flight(blue.message_id))
            (victim,), (other,) = pids_with(node, "red"), pids_with(node, "blue")
            flight = node.core._boxes.get("blue/sleeps").first()  # type: ignore[union-attr]  # it runs
            os.kill(victim, signal.SIGKILL)
            assert await node.settled(red.message_id, blue.message_id) == ["done", "done"]
            assert flight.worker.pid == other
            assert flight.worker.usable
            assert rss_bytes(other) > 0
            assert not rss_bytes(victim)

    asyncio.run(run())


def test_more_namespaces_than_workers_take_turns_in_fresh_processes() -> None:
    async def run() -> None:
        async with running_node(**APART) as node:
            node.core._executor.workers.groups._most = 2
            seen: dict[int, str] = {}
            for number in range(5):
                name = f"team{number}/count"
                await node.deploy(name, agents.COUNTER)
                one = message(name)
                await node.send(one)
                assert await node.settled(one.message_id) == ["done"]
                for worker in node.core._executor.workers.all():
                    assert seen.setdefault(worker.pid, worker.tag) == worker.tag
                groups = {tag: pids for tag, pids in pids_by_tag(node).items() if tag}
                assert sum(map(len, groups.values())) <= 2
            assert len({tag for tag in seen.values() if tag}) == 5

    asyncio.run(run())


def test_a_worker_of_a_namespace_that_does_nothing_ends() -> None:
    async def run() -> None:
        settings: dict[str, Any] = {**APART, "runtime__agent_idle_timeout": "1s"}
        async with running_node(**settings) as node:
            await node.deploy("red/count", agents.COUNTER)
            one = message("red/count")
            await node.send(one)
            assert await node.settled(one.message_id) == ["done"]
            await until(lambda: "red/" not in pids_by_tag(node))
            again = message("red/count")
            await node.send(again)
            assert await node.settled(again.message_id) == ["done"]
            assert node.key("red/count", "n") == b"\x02"

    asyncio.run(run())


def test_shared_isolation_lets_namespaces_share_the_standing_pool() -> None:
    async def run() -> None:
        async with running_node(runtime__executor_workers=1) as node:
            for team in NAMESPACES:
                await node.deploy(f"{team}/count", agents.COUNTER)
                one = message(f"{team}/count")
                await node.send(one)
                assert await node.settled(one.message_id) == ["done"]
            assert pids_with(node, "red") == pids_with(node, "blue")

    asyncio.run(run())
