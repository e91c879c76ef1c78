"""Agents whose memory is committed with their executions: what they go on from, whatever is killed."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import msgspec

from support import snapshot_agents as agents
from support.router_node import Node, running_node, until


async def answer(node: Node, name: str) -> Any:
    """The reply to one message."""
    return msgspec.json.decode((await node.ask(name)).content)


async def kill_worker_of(node: Node, name: str) -> None:
    """SIGKILL; back when another is there."""
    box = node.core._boxes.get(name)
    assert box is not None
    assert box.worker is not None
    pid = box.worker.pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: pid not in {worker["pid"] for worker in node.core.stats()["workers"]})


def test_a_killed_workers_agent_goes_on_bit_by_bit() -> None:
    async def run() -> None:
        async with running_node(runtime__executor_workers=2) as node:
            await node.deploy("undisturbed", agents.STATE)
            expected = [await answer(node, "undisturbed") for _ in range(12)]
            await node.deploy("killed", agents.STATE, state="snapshot")
            for step in range(12):
                assert await answer(node, "killed") == expected[step]
                if step % 2:
                    await kill_worker_of(node, "killed")
            assert node.registry.require("killed").wakes == 5
            assert node.registry.require("killed").incarnation == 1
            await node.assert_balanced()

    asyncio.run(run())
