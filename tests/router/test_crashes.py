"""Processes that die: a worker, the executor, the router. Nothing accepted is lost, nothing takes effect twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal

import pytest

from support import router_agents as agents
from support.router_node import Limits, Node, Retry, message, running_node, until


def worker_pids(node: Node) -> list[int]:
    return [worker["pid"] for worker in node.core.stats()["workers"]]


def is_asleep(node: Node, agent: str) -> bool:
    box = node.core._boxes.get(agent)
    first = box.first() if box is not None else None
    return first is not None and first.sleeping


def spins(node: Node) -> bool:
    """Whether a worker has said that something is runnable there."""
    return any(worker.stats and worker.stats.runnable for worker in node.core._executor.workers.all())


def test_a_killed_worker_costs_only_the_culprit_an_attempt() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("good", agents.sleeper(1.0))
            await node.deploy("spin", agents.SPIN)
            good, spin = message("good"), message("spin")
            await node.send(good, spin)
            await until(lambda: node.core.in_flight(good.message_id) and node.core.in_flight(spin.message_id))
            await until(lambda: is_asleep(node, "good") and spins(node))
            os.kill(worker_pids(node)[0], signal.SIGKILL)
            assert await node.settled(good.message_id) == ["done"]
            assert node.row(good.message_id).attempts == 0
            assert node.key("good", "n") == b"\x01"
            assert node.store.reader.attempts(spin.message_id)[0].code == "AGENT_FAILED"
            agent = node.registry.require("spin")
            assert agent.isolated
            await until(lambda: any(worker["tag"] == "spin" for worker in node.core.stats()["workers"]))
            await node.core.cancel(spin.message_id)
            await node.assert_balanced()

    asyncio.run(run())


def test_a_worker_that_cannot_be_stopped_is_killed_and_the_attempt_counts() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("good", agents.sleeper(4.0))
            limits = Limits(execution_timeout_seconds=2.0)
            await node.deploy("stuck", agents.SPIN, limits=limits, retry=Retry(max_deliveries=1))
            good, stuck = message("good"), message("stuck")
            await node.send(good)
            await until(lambda: node.core.in_flight(good.message_id))
            await node.send(stuck)
            await until(lambda: node.core.in_flight(stuck.message_id))
            await until(lambda: is_asleep(node, "good") and spins(node))  # stopped outside a guest it had no culprit
            os.kill(worker_pids(node)[0], signal.SIGSTOP)  # nothing but a kill ends it now
            assert await node.settled(stuck.message_id) == ["dead"]
            assert node.store.reader.attempts(stuck.message_id)[0].code == "EXECUTION_TIMEOUT"
            assert node.registry.require("stuck").isolated
            assert not node.registry.require("good").isolated
            assert await node.settled(good.message_id) == ["done"]
            assert node.row(good.message_id).attempts == 0
            await node.assert_balanced()

    asyncio.run(run())


@pytest.mark.parametrize("victim", ["worker", "executor"])
def test_under_load_nothing_is_lost_and_nothing_happens_twice(victim: str) -> None:
    async def run() -> None:
        seed = random.randrange(2**32)
        print("seed", seed)
        chance = random.Random(seed)
        async with running_node(runtime__executor_workers=2) as node:
            names = [f"c{number}" for number in range(4)]
            for name in names:
                await node.deploy(name, agents.COUNTER)
            sent = [message(name) for _ in range(60) for name in names]
            for start in range(0, len(sent), 24):
                await node.send(*sent[start : start + 24])
                some = start + chance.randrange(24)
                await until(lambda some=some: node.row(sent[some].message_id).state == "done")  # type: ignore[misc]  # bound early
                if start % 72 == 48:
                    await kill(node, victim)
            assert set(await node.settled(*(one.message_id for one in sent))) == {"done"}
            assert [node.key(name, "n") for name in names] == [b"\x3c"] * 4
            await until(lambda: not node.core.ready_reasons())
            await node.assert_balanced()

    asyncio.run(run())


async def kill(node: Node, victim: str) -> None:
    if victim == "worker":
        pids = worker_pids(node)
        if pids:
            os.kill(pids[0], signal.SIGKILL)
    else:
        node.executor.end(signal.SIGKILL)
        node.executor.again()


def test_a_router_that_crashes_goes_on_from_the_store() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("b", agents.COUNTER)
            await node.deploy("a", agents.sender("b", times=2))
            await node.deploy("trap", agents.TRAP)
            sent = [message("a") for _ in range(40)]
            bad = message("trap")
            await node.send(*sent, bad)
            await until(lambda: node.row(sent[5].message_id).state == "done")
            await node.crash()
            await node.boot()
            assert set(await node.settled(*(one.message_id for one in sent))) == {"done"}
            await until(lambda: node.core.stats()["queued"] == 0)
            assert node.key("b", "n") == b"\x50"
            assert node.row(bad.message_id).state == "dead"
            assert node.row(bad.message_id).attempts == 3  # attempts are remembered across the crash
            await node.assert_balanced()

    asyncio.run(run())


def test_order_and_incarnation_survive_a_crash_of_the_router() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("rec", agents.recorder(agents.content_offset("rec")))
            before = node.registry.require("rec").incarnation
            sent = [message("rec", number, conversation_id="talk") for number in range(10, 60)]
            await node.send(*sent)
            await until(lambda: node.key("rec", "n") is not None)
            await node.crash()
            await node.boot()
            await node.settled(*(one.message_id for one in sent))
            assert node.key("rec", "n") == "".join(str(number) for number in range(10, 60)).encode()
            assert node.registry.require("rec").incarnation > before
            await node.assert_balanced()

    asyncio.run(run())
