"""A dead letter that holds up its conversation, and what can be done about it."""

from __future__ import annotations

import asyncio
from typing import Any

from caxton.protocol.agents import Retry
from caxton.protocol.messages import Message
from caxton.store import Retention
from support import router_agents as agents
from support.router_node import Node, message, running_node, until

HOLD = Retry(max_deliveries=1, on_dead="hold")


def answer(loop: asyncio.AbstractEventLoop, done: asyncio.Future[Any], swept: Any) -> None:
    loop.call_soon_threadsafe(done.set_result, swept)


def talk(content: Any, conversation_id: str = "talk") -> Message:
    return message("picky", content, conversation_id=conversation_id)


async def one_dead(node: Node) -> tuple[Message, Message, Message]:
    """A dead letter, one that waits behind it, and one of another conversation that was handled."""
    await node.deploy("picky", agents.PICKY, retry=HOLD)
    dead, behind, other = talk("!"), talk("fine"), talk("fine", "other")
    await node.send(dead, behind, other)
    assert await node.settled(dead.message_id, other.message_id) == ["dead", "done"]
    assert node.row(behind.message_id).state == "pending"
    assert node.key("picky", "n") == b"\x01"
    return dead, behind, other


def test_only_its_own_conversation_waits_and_a_skip_lets_it_go_on() -> None:
    async def run() -> None:
        async with running_node() as node:
            dead, behind, _ = await one_dead(node)
            late = talk("late")
            await node.send(late)
            assert await node.core.holds.skip(dead.message_id) == 1
            assert await node.settled(behind.message_id, late.message_id) == ["done", "done"]
            assert node.row(dead.message_id).state == "dead"
            assert await node.core.holds.skip(dead.message_id) == 0
            await node.assert_balanced()

    asyncio.run(run())


def test_an_edited_replay_is_handled_before_what_waited() -> None:
    async def run() -> None:
        async with running_node() as node:
            dead, behind, _ = await one_dead(node)
            node.core.hold("paused")
            assert await node.core.revive([dead.message_id], b'"mended"') == 1
            assert node.row(dead.message_id).message.content == b'"mended"'
            box = node.core._boxes.get("picky")
            assert box is not None
            assert [entry.message_id for entry in box.mailbox._conversations["talk"]] == [
                dead.message_id,
                behind.message_id,
            ]
            node.core.release("paused")
            assert await node.settled(dead.message_id, behind.message_id) == ["done", "done"]
            ended = [node.row(one.message_id).finished_at or 0.0 for one in (dead, behind)]
            assert ended == sorted(ended)
            assert node.store.reader.held() == []
            await node.assert_balanced()

    asyncio.run(run())


def test_a_replay_that_dies_again_holds_again() -> None:
    async def run() -> None:
        async with running_node() as node:
            dead, behind, _ = await one_dead(node)
            assert await node.core.revive([dead.message_id]) == 1
            await until(lambda: node.row(dead.message_id).state == "dead")
            await until(lambda: len(node.store.reader.held()) == 1)
            assert node.row(behind.message_id).state == "pending"
            await node.assert_balanced()

    asyncio.run(run())


def test_a_hold_outlives_the_router_and_retention() -> None:
    async def run() -> None:
        async with running_node() as node:
            dead, behind, other = await one_dead(node)
            done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            loop = asyncio.get_running_loop()
            node.store.writer.sweep(
                Retention(retention=0, dedup_window=0),
                4e9,
                lambda swept: answer(loop, done, swept),
            )
            assert (await done).messages == 1
            assert node.store.reader.message(other.message_id) is None
            await node.crash()
            await node.boot()
            free = talk("free", "third")
            await node.send(free)
            await node.settled(free.message_id)
            assert node.row(behind.message_id).state == "pending"
            assert await node.core.holds.forget([dead.message_id]) == 1  # purged: nothing to wait for
            assert await node.settled(behind.message_id) == ["done"]
            await node.assert_balanced()

    asyncio.run(run())


def test_without_the_setting_the_conversation_goes_on() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("picky", agents.PICKY, retry=Retry(max_deliveries=1))
            dead, behind = talk("!"), talk("fine")
            await node.send(dead, behind)
            assert await node.settled(dead.message_id, behind.message_id) == ["dead", "done"]

    asyncio.run(run())


def test_a_removed_agents_holds_go_with_it() -> None:
    async def run() -> None:
        async with running_node() as node:
            _, behind, _ = await one_dead(node)
            agent = node.registry.require("picky")
            await node.core.drain(agent, 0.1)
            await node.core.discard_pending(agent, purge=False, remove=True)
            assert node.store.reader.held() == []
            assert node.row(behind.message_id).state == "dead"
            await node.assert_balanced()

    asyncio.run(run())
