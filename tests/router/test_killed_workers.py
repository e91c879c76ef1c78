"""Workers that only a kill frees: whose fault it was, and what becomes of the others."""

from __future__ import annotations

import asyncio
import os
import signal

from caxton.protocol.agents import Limits, Profile, Retry
from support import router_agents as agents
from support.router_node import Node, message, running_node, until

WAITS = agents.reactor("(memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))").replace(
    '(memory (export "memory") 4)', '(memory (export "memory") 4 4 shared)'
)
"""Sits in an instruction that no epoch interrupts."""


def tag_of(node: Node, agent: str) -> str | None:
    """The tag of the worker that the agent runs on now."""
    box = node.core._boxes.get(agent)
    first = box.first() if box is not None else None
    return None if first is None else first.worker.tag


def killed(node: Node) -> list[tuple[str, str | None]]:
    return [(data["reason"], data["agent"]) for kind, data in node.events if kind == "worker.killed"]


def test_the_culprit_is_named_and_isolated_and_innocents_run_again_uncounted() -> None:
    async def run() -> None:
        async with running_node(runtime__wasm_features=("threads",), runtime__executor_workers=1) as node:
            await node.deploy("good", agents.sleeper(3.0))
            limits, once = Limits(execution_timeout_seconds=0.3), Retry(max_deliveries=1)
            await node.deploy("stuck", WAITS, profile=Profile.THREADS, limits=limits, retry=once)
            good, stuck, again = message("good"), message("stuck"), message("stuck")
            await node.send(good)
            await until(lambda: node.core.in_flight(good.message_id))
            await node.send(stuck)
            assert await node.settled(stuck.message_id) == ["dead"]
            assert killed(node) == [("killed_timeout", "stuck")]
            assert node.registry.require("stuck").isolated
            assert not node.registry.require("good").isolated
            await node.send(again)
            await until(lambda: tag_of(node, "stuck") == "stuck")
            await until(lambda: tag_of(node, "good") == "")
            assert await node.settled(good.message_id, again.message_id) == ["done", "dead"]
            assert node.row(good.message_id).attempts == 0
            assert node.key("good", "n") == b"\x01"
            await until(lambda: killed(node) == [("killed_timeout", "stuck")] * 2)
            await node.assert_balanced()

    asyncio.run(run())


def test_a_worker_stopped_outside_of_any_guest_is_noticed_and_replaced() -> None:
    async def run() -> None:
        async with running_node(runtime__executor_workers=1) as node:
            await node.deploy("good", agents.sleeper(30.0))
            await node.deploy("count", agents.COUNTER)
            good = message("good")
            await node.send(good)
            await until(lambda: node.core._boxes.get("good").first().sleeping)  # type: ignore[union-attr]  # it runs
            (worker,) = node.core.stats()["workers"]
            os.kill(worker["pid"], signal.SIGSTOP)
            count = message("count")
            await node.send(count)
            assert await node.settled(count.message_id) == ["done"]
            assert killed(node) == [("killed_silent", None)]
            assert not node.registry.require("good").isolated
            await until(lambda: node.core.in_flight(good.message_id))  # it runs again, uncounted
            assert (node.row(good.message_id).attempts, node.row(count.message_id).attempts) == (0, 0)
            await node.core.cancel(good.message_id)
            await node.assert_balanced()

    asyncio.run(run())
