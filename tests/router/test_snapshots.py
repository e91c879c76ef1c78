"""Agents whose memory is committed with their executions: what they go on from, whatever is killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
from contextlib import closing
from typing import Any

import msgspec

from caxton.protocol.agents import Limits
from caxton.protocol.messages import Delivery
from caxton.protocol.snapshots import BLOCK_BYTES
from caxton.router.snapshots.service import hibernates
from caxton.store import Changes
from support import snapshot_agents as agents
from support.router_node import Node, Retry, message, running_node, until

TRAPS_ON_5 = agents.counter_and("(if (i32.eq (i32.load (i32.const 4096)) (i32.const 5)) (then unreachable))")
SLEEPS = agents.counter_and(
    "(drop (call $sleep (i64.const 3000000)))",
    '(import "caxton" "sleep_micros" (func $sleep (param i64) (result i32)))',
)


async def answer(node: Node, name: str, **fields: Any) -> Any:
    """The reply to one message."""
    return msgspec.json.decode((await node.ask(name, **fields)).content)


async def kill_worker_of(node: Node, name: str) -> None:
    """SIGKILL; back when it is gone."""
    box = node.core._boxes.get(name)
    assert box is not None
    assert box.worker is not None
    pid = box.worker.pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: pid not in {worker["pid"] for worker in node.core.stats()["workers"]})


async def send_away(node: Node, name: str) -> None:
    """The agent leaves memory, as under memory pressure."""
    box = node.core._boxes.get(name)
    assert box is not None
    await until(lambda: not box.running)
    assert node.core.end_idle(1 << 62) >= 1
    await until(lambda: hibernates(box))


def rows(node: Node, table: str) -> list[tuple[Any, ...]]:
    return node.store.reader._all(f"SELECT * FROM {table} ORDER BY 1, 2")


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
            agent = node.registry.require("killed")
            assert (agent.wakes, agent.incarnation) == (5, 1)
            await node.assert_balanced()

    asyncio.run(run())


def test_a_router_that_crashed_goes_on_from_the_last_commit() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("count", agents.COUNTER, state="snapshot")
            for expected in range(1, 7):
                assert await answer(node, "count") == expected
                await node.crash()
                await node.boot()
                await until(lambda: not node.core.ready_reasons())
                assert node.core.hibernated("count")
            await node.assert_balanced()

    asyncio.run(run())


def test_memory_never_runs_ahead_of_the_ledger_nor_behind_it_under_kills() -> None:
    async def run() -> None:
        async with running_node(runtime__executor_workers=2) as node:
            await node.deploy("count", agents.COUNTER, state="snapshot", retry=Retry(max_deliveries=50))
            sent = [message("count") for _ in range(120)]
            for start in range(0, len(sent), 20):
                await node.send(*sent[start : start + 20])
                await asyncio.sleep(random.uniform(0.0, 0.05))  # a random moment is the point
                for worker in node.core.stats()["workers"]:
                    os.kill(worker["pid"], signal.SIGKILL)
                await until(lambda: node.core._executor.available)
            assert set(await node.settled(*(one.message_id for one in sent))) == {"done"}
            replies = [msgspec.json.decode(node.row(one.message_id).outcome.content) for one in sent]
            assert sorted(replies) == list(range(1, len(sent) + 1))  # each took effect on the memory exactly once
            assert await answer(node, "count") == len(sent) + 1
            await node.assert_balanced()

    asyncio.run(run())


def test_a_trap_goes_back_to_the_last_commit() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("count", TRAPS_ON_5, state="snapshot", retry=Retry(max_deliveries=2))
            assert [await answer(node, "count") for _ in range(4)] == [1, 2, 3, 4]
            poison = message("count")
            await node.send(poison)
            assert await node.settled(poison.message_id) == ["dead"]
            assert [attempt.code for attempt in node.store.reader.attempts(poison.message_id)] == ["AGENT_FAILED"] * 2

    asyncio.run(run())


def test_a_cancelled_execution_leaves_nothing_in_memory() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("slow", SLEEPS, state="snapshot")
            first = message("slow")
            await node.send(first)
            await until(lambda: node.core.in_flight(first.message_id))
            box = node.core._boxes.get("slow")
            assert box is not None
            await until(lambda: any(flight.sleeping for flight in box.running.values()))
            assert node.core.end_idle(1 << 62) == 0  # it waits: that is no time to leave memory
            await node.core.cancel(first.message_id)
            assert await answer(node, "slow") == 1

    asyncio.run(run())


def test_only_changed_blocks_are_written_and_each_once() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("count", agents.COUNTER, state="snapshot", limits=Limits(memory_bytes=16_000_000))
            for _ in range(20):
                await answer(node, "count")
            await node.core._commits.drain()
            found = rows(node, "agent_snapshot_block")
            assert [row[1] for row in found] == [0, 1, 8]  # digits, count, message; of 32 blocks
            assert {len(row[2]) for row in found} == {BLOCK_BYTES}
            figures = node.core.stats()["meters"]["snapshots"]
            assert (figures["taken"], figures["bytes"]) == (20, 20 * 3 * BLOCK_BYTES)

    asyncio.run(run())


def test_an_agent_that_left_memory_is_stored_small_and_wakes_bit_by_bit() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("undisturbed", agents.STATE)
            expected = [await answer(node, "undisturbed") for _ in range(9)]
            await node.deploy("sleepy", agents.STATE, state="snapshot")
            for step, reply in enumerate(expected):
                assert await answer(node, "sleepy") == reply
                if step % 3 == 2:
                    before = node.store.reader.snapshots.stored_bytes("sleepy")
                    await send_away(node, "sleepy")
                    await until(lambda: not rows(node, "agent_snapshot_block"))
                    assert 0 < node.store.reader.snapshots.stored_bytes("sleepy") < before / 4
            assert await answer(node, "sleepy")
            assert node.registry.require("sleepy").wakes == 3
            figures = node.core.stats()["meters"]["snapshots"]
            assert figures["wakes"]["buckets"][-1] == ("+Inf", 3)

    asyncio.run(run())


def test_a_fold_that_comes_too_late_changes_nothing() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("count", agents.COUNTER, state="snapshot")
            await answer(node, "count")
            late = node.core.snapshots.folding._folded("count", 0)
            assert late is not None
            await answer(node, "count")
            await node.core.commit(Changes(snapshot_folds=[late]))
            assert rows(node, "agent_snapshot_part") == []
            assert len(rows(node, "agent_snapshot_block")) == 3
            await kill_worker_of(node, "count")
            assert await answer(node, "count") == 3

    asyncio.run(run())


def test_idle_agents_hibernate_and_wake_with_the_next_message() -> None:
    async def run() -> None:
        async with running_node(runtime__agent_idle_timeout="1s") as node:
            await node.deploy("kept", agents.COUNTER, state="snapshot")
            await node.deploy("ended", agents.COUNTER)
            assert [await answer(node, name) for name in ("kept", "ended")] == [1, 1]
            await until(lambda: node.core.hibernated("kept") and not node.core.resident("ended"))
            assert node.core.stats()["meters"]["snapshots"]["hibernated"] == 1
            assert not node.core.hibernated("ended")
            assert [await answer(node, name) for name in ("kept", "ended")] == [2, 1]
            assert node.registry.require("kept").incarnation == 1
            assert node.registry.require("ended").incarnation == 2

    asyncio.run(run())


def test_no_message_is_lost_while_agents_hibernate_under_load() -> None:
    async def run() -> None:
        async with running_node(runtime__executor_workers=2) as node:
            names = [f"count{index}" for index in range(4)]
            for name in names:
                await node.deploy(name, agents.COUNTER, state="snapshot")
            busy = True

            async def press() -> None:
                while busy:
                    node.core.end_idle(1 << 62)
                    await asyncio.sleep(0.002)

            pressing = asyncio.create_task(press())

            async def talk(name: str) -> None:
                for expected in range(1, 61):
                    assert await answer(node, name, delivery=random.choice(list(Delivery))) == expected

            await asyncio.gather(*(talk(name) for name in names))
            busy = False
            await pressing
            assert sum(node.registry.require(name).wakes for name in names) > 20
            await node.assert_balanced()

    asyncio.run(run())


def test_a_snapshot_from_before_other_instances_is_never_gone_back_to() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("count", agents.COUNTER, state="snapshot")
            assert [await answer(node, "count") for _ in range(3)] == [1, 2, 3]
            await node.crash()
            with closing(sqlite3.connect(node.store.database)) as database, database:  # as an older release runs it
                database.execute("UPDATE agent SET incarnation = 2")
            await node.boot()
            await until(lambda: not node.core.ready_reasons())
            assert await answer(node, "count") == 1
            assert node.registry.require("count").incarnation == 3
            await kill_worker_of(node, "count")
            assert await answer(node, "count") == 2

    asyncio.run(run())


def test_another_modules_snapshot_is_dropped_unless_the_agent_can_read_it() -> None:
    async def run() -> None:
        async with running_node() as node:
            agent = await node.deploy("count", agents.COUNTER, state="snapshot")
            other = await node.deploy("other", agents.counter_and("(nop)"), state="snapshot")
            assert [await answer(node, "count") for _ in range(2)] == [1, 2]

            async def become(config: Any, module: Any) -> None:
                await node.core.drain(agent, 1.0)
                node.core.detach(agent)
                agent.config, agent.module = config, module
                await node.core.start_agent(agent)
                node.core.attach(agent)

            reads = msgspec.structs.replace(agent.config, snapshot_from=[agent.module.sha256])
            mute = agent.config
            await become(reads, other.module)
            assert await answer(node, "count") == 3
            assert not [kind for kind, _ in node.events if kind == "agent.snapshot_dropped"]
            old = (await node.deploy("old", agents.COUNTER, state="snapshot")).module
            await become(mute, old)
            (dropped,) = [data for kind, data in node.events if kind == "agent.snapshot_dropped"]
            assert dropped["name"] == "count"
            assert other.module.sha256 in dropped["reason"]
            assert [await answer(node, "count") for _ in range(2)] == [1, 2]
            await kill_worker_of(node, "count")
            assert await answer(node, "count") == 3  # nothing of the dropped one is mixed in

    asyncio.run(run())
