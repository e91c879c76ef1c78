"""`capability:NAME`: one agent is chosen when the message is accepted, durably, for the whole conversation."""

from __future__ import annotations

import asyncio

import msgspec

from caxton.protocol.agents import AgentStatus
from caxton.protocol.errors import Code
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Message
from caxton.router.scheduler import PAUSED
from caxton.store import CapabilityRow, ProviderRow
from support import router_agents as agents
from support.router_node import Node, message, running_node, until

WORK = "capability:work"


def got(node: Node, *sent: Message) -> list[str]:
    """Which agent got each message."""
    return [node.row(one.message_id).message.receiver for one in sent]


async def workers(node: Node, *names: str, wat: str = agents.COUNTER) -> None:
    for name in names:
        await node.deploy(name, wat)
        node.registry.require(name).capabilities = ["work"]
    node.core.talking.capabilities.changed()


async def stop(node: Node, name: str, status: AgentStatus = AgentStatus.STOPPED) -> None:
    agent = node.registry.require(name)
    agent.status = status
    if status is AgentStatus.STOPPED:
        await node.core.drain(agent, 1.0)


def test_the_least_loaded_gets_it_and_a_conversation_stays_where_it_is() -> None:
    async def run() -> None:
        async with running_node() as node:
            await workers(node, "w1", "w2", "w3")
            node.core.hold(PAUSED)
            await node.send(message("w1"), message("w1"), message("w2"))
            sent = [message(WORK) for _ in range(3)]
            await node.send(*sent)
            assert sorted(got(node, *sent)) == ["w2", "w3", "w3"]
            talk = [message(WORK, conversation_id="talk") for _ in range(5)]
            await node.send(*talk)
            assert len(set(got(node, *talk))) == 1
            node.core.release(PAUSED)
            await node.settled(*(one.message_id for one in (*sent, *talk)))
            later = message(WORK, conversation_id="talk")
            await node.send(later)
            assert got(node, later) == got(node, talk[0])
            await node.assert_balanced()

    asyncio.run(run())


def test_the_choice_survives_the_router_and_a_duplicate_joins_its_first() -> None:
    async def run() -> None:
        async with running_node() as node:
            await workers(node, "w1", "w2")
            node.core.hold(PAUSED)
            one = message(WORK, conversation_id="talk")
            await node.send(one)
            (first,) = got(node, one)
            await node.crash()
            await node.boot()
            for agent in node.registry:
                agent.capabilities = ["work"]
            node.core.talking.capabilities.changed()
            await until(lambda: not node.core.ready_reasons())
            await node.settled(one.message_id)
            two = message(WORK, conversation_id="talk")
            await node.send(two)
            assert got(node, two) == [first]
            await node.settled(two.message_id)
            await stop(node, first)
            assert (await node.refused(one)).code is Code.AGENT_STOPPED  # as for any agent; not chosen anew
            three = message(WORK, conversation_id="talk")
            await node.send(three)
            assert got(node, three) != [first]
            await node.assert_balanced()

    asyncio.run(run())


def test_strategies_round_robin_and_priority() -> None:
    async def run() -> None:
        async with running_node() as node:
            await workers(node, "w1", "w2", "w3")
            node.core.hold(PAUSED)
            await node.send(*[message("w1") for _ in range(5)])
            capabilities = node.core.talking.capabilities
            capabilities.register(CapabilityRow("work", "round_robin"))
            turns = [message(WORK) for _ in range(6)]
            await node.send(*turns)
            assert sorted(got(node, *turns)) == ["w1", "w1", "w2", "w2", "w3", "w3"]
            capabilities.register(CapabilityRow("work", "priority", [ProviderRow("w1", 9), ProviderRow("w2", 9)]))
            ranked = [message(WORK) for _ in range(4)]
            await node.send(*ranked)
            assert got(node, *ranked) == ["w2"] * 4  # w1 has more before it, w3 is of less priority
            await stop(node, "w1", AgentStatus.QUARANTINED)
            await stop(node, "w2", AgentStatus.QUARANTINED)
            last = message(WORK)
            await node.send(last)
            assert got(node, last) == ["w3"]
            await node.crash()
            await node.boot()
            assert node.core.talking.capabilities.strategy("work") == "priority"

    asyncio.run(run())


def test_nobody_offers_it_clients_and_agents_are_told_what_is_near() -> None:
    async def run() -> None:
        async with running_node() as node:
            await workers(node, "w1")
            error = await node.refused(message("capability:wrok"))
            assert error.code is Code.AGENT_NOT_FOUND
            assert error.details["near"] == ["work"]
            assert node.store.reader.talks.choice("talk", "wrok") is None
            await node.deploy("asks", agents.sender("capability:wokr"))
            await node.send(message("asks", sender="client:test"))
            await until(lambda: bool(node.store.reader.messages(agent="asks", limit=9).rows[1:]))
            told = node.store.reader.messages(agent="asks", limit=9).rows[0].message
            assert told.performative == "failure"
            assert msgspec.json.decode(told.content)["near"] == ["work"]
            await stop(node, "w1")
            assert (await node.refused(message(WORK))).code is Code.AGENT_NOT_FOUND

    asyncio.run(run())


def test_agents_send_and_request_by_capability_and_broadcast_reaches_all() -> None:
    async def run() -> None:
        async with running_node() as node:
            await workers(node, "w1", "w2", wat=agents.ECHO)
            await node.deploy("asks", agents.requester(WORK))
            view = await node.ask("asks")
            assert msgspec.json.decode(view.content)["sender"] in ("w1", "w2")
            await node.deploy("sends", agents.sender(WORK))
            await node.ask("sends")
            await node.deploy("all", agents.broadcaster('{"capability":"work"}', '{"performative":"inform"}'))
            one = message("all")
            await node.send(one)
            await node.settled(one.message_id)
            assert node.key("all", "n") == b"\x02"
            for name in ("w1", "w2"):
                senders = [row.message.sender for row in node.store.reader.messages(agent=name, limit=9).rows]
                assert senders.count("all") == 1
            await node.assert_balanced()

    asyncio.run(run())


def test_a_refused_message_leaves_no_choice_behind() -> None:
    async def run() -> None:
        async with running_node(messaging__mailbox_size=1) as node:
            await workers(node, "w1")
            node.core.hold(PAUSED)
            await node.send(message("w1"))
            conversation = new_id()
            assert (await node.refused(message(WORK, conversation_id=conversation))).code is Code.MAILBOX_FULL
            await node.core.write_counts()
            assert node.store.reader.talks.choice(conversation, "work") is None
            node.core.release(PAUSED)

    asyncio.run(run())
