"""`topic:NAME`: one message for every subscriber, all in one transaction; subscriptions outlive every process."""

from __future__ import annotations

import asyncio
import os
import signal

import msgspec
import pytest

from caxton.protocol.agents import Grants
from caxton.protocol.errors import Code
from caxton.protocol.messages import Message
from caxton.protocol.views import ItemView
from caxton.router.scheduler import PAUSED
from caxton.router.talks import topics
from support import router_agents as agents
from support.router_node import Node, message, running_node, until

NEWS = "topic:news"
GRANTS = Grants(topics=["n*"])


async def publish(node: Node, one: Message) -> ItemView:
    (item,) = await node.core.submit([one])
    assert item.error is None
    return item


def received(node: Node, agent: str) -> int:
    counts = node.store.reader.ledger().get(agent)
    return 0 if counts is None else counts.accepted


def test_guests_subscribe_and_everybody_gets_what_is_published_once() -> None:
    async def run() -> None:
        async with running_node() as node:
            for name in ("s1", "s2"):
                await node.deploy(name, agents.subscriber("news"), grants=GRANTS)
                await node.ask(name)
            await node.deploy("denied", agents.subscriber("news"))
            assert (await node.ask("denied")).performative == "failure"
            await node.deploy("other", agents.subscriber("other"), grants=GRANTS)
            assert (await node.ask("other")).performative == "failure"
            assert sorted(node.core.talking.addressing.topics.subscribers("news")) == ["s1", "s2"]
            one = message(NEWS, 1)
            item = await publish(node, one)
            assert (item.state, item.deliveries and item.deliveries.accepted) == ("done", 2)
            assert (await publish(node, one)).state == "done"
            await until(lambda: node.key("s1", "n") == node.key("s2", "n") == b"\x02")
            assert (await node.refused(message(NEWS, 2, message_id=one.message_id))).code is Code.CONFLICT
            assert node.row(one.message_id).state == "done"
            await node.assert_balanced()
            assert [received(node, name) for name in ("s1", "s2")] == [2, 2]

    asyncio.run(run())


def test_subscriptions_outlive_the_router_and_the_worker_and_end_with_the_agent() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("s1", agents.subscriber("news"), grants=GRANTS)
            await node.ask("s1")
            os.kill(node.core.stats()["workers"][0]["pid"], signal.SIGKILL)
            await node.crash()
            await node.boot()
            await until(lambda: not node.core.ready_reasons())
            item = await publish(node, message(NEWS))
            assert item.deliveries is not None
            assert item.deliveries.accepted == 1
            await until(lambda: node.key("s1", "n") == b"\x02")
            agent = node.registry.require("s1")
            await node.core.drain(agent, 1.0)
            await node.core.discard_pending(agent, purge=False, remove=True)
            node.core.detach(agent)
            await node.core.write_counts()
            assert node.store.reader.talks.subscriptions() == []
            item = await publish(node, message(NEWS))
            assert item.deliveries is not None
            assert item.deliveries.accepted == 0
            await node.assert_balanced()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("wanted", "draft", "kept"),
    [
        ('{"topic":"news","capability":"x"}', '{"performative":"inform"}', b"\xfe"),
        ('{"topic":"No Name"}', '{"performative":"inform"}', b"\xfe"),
        ("[]", '{"performative":"inform"}', b"\xfe"),
        ('{"topic":"empty"}', '{"performative":"inform"}', b"\x00"),
        ('{"topic":"news"}', '{"performative":"inform","receiver":"somebody"}', None),
        ('{"topic":"news"}', "not json", None),
    ],
)
def test_a_broadcast_that_cannot_be_reaches_nobody(wanted: str, draft: str, kept: bytes | None) -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("s1", agents.COUNTER)
            node.core.talking.addressing.topics.subscribe("news", "s1")
            await node.deploy("pub", agents.broadcaster(wanted, draft))
            view = await node.ask("pub")
            assert (view.performative == "failure") == (kept is None)
            assert node.key("pub", "n") == kept  # the function's answer, or nothing of a failed execution
            assert received(node, "s1") == 0

    asyncio.run(run())


def test_an_agent_subscribes_to_a_bounded_number_of_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("s1", agents.subscriber("news"), grants=GRANTS)
            monkeypatch.setattr(topics, "MAX_PER_AGENT", 1)
            node.core.talking.addressing.topics.subscribe("other", "s1")
            view = await node.ask("s1")
            assert view.performative == "failure"
            assert msgspec.json.decode(view.content)["code"] == Code.RESOURCE_LIMIT_EXCEEDED
            node.core.talking.addressing.topics.unsubscribe("other", "s1")
            assert (await node.ask("s1")).performative != "failure"
            assert node.core.talking.addressing.topics.names() == ["news"]

    asyncio.run(run())


def test_an_execution_that_traps_subscribes_to_nothing() -> None:
    async def run() -> None:
        async with running_node() as node:
            trap = agents.subscriber("news").replace("(call $bump) (i32.const 0)", "unreachable")
            await node.deploy("trap", trap, grants=GRANTS)
            one = message("trap")
            await node.send(one)
            assert await node.settled(one.message_id) == ["dead"]
            assert node.core.talking.addressing.topics.names() == []

    asyncio.run(run())


def test_an_agent_publishes_to_all_but_itself_and_is_told_who_did_not_get_it() -> None:
    async def run() -> None:
        async with running_node() as node:
            draft = '{"performative":"inform","receiver":"topic:news","content":{"n":1}}'
            await node.deploy("pub", agents.broadcaster('{"topic":"news"}', draft))
            for name in ("s1", "gone"):
                await node.deploy(name, agents.COUNTER)
                node.core.talking.addressing.topics.subscribe("news", name)
            node.core.talking.addressing.topics.subscribe("news", "pub")
            gone = node.registry.require("gone")
            await node.core.drain(gone, 1.0)
            one = message("pub")
            await node.send(one)
            await node.settled(one.message_id)
            await until(lambda: node.key("s1", "n") == b"\x01")
            told = [row.message for row in node.store.reader.messages(agent="pub", limit=9).rows]
            failure = next(item for item in told if item.performative == "failure")
            content = msgspec.json.decode(failure.content)
            assert content["code"] == Code.AGENT_STOPPED
            assert [item["receiver"] for item in content["refused"]] == ["gone"]
            assert "inform" not in [item.performative for item in told]
            await node.assert_balanced()

    asyncio.run(run())


def test_a_thousand_subscribers_and_one_full_mailbox() -> None:
    async def run() -> None:
        async with running_node(messaging__mailbox_size=2) as node:
            for number in range(1_000):
                await node.deploy(f"s{number}", agents.SILENT, start=False)
                node.core.talking.addressing.topics.subscribe("news", f"s{number}")
            node.core.hold(PAUSED)
            await node.send(message("s7"), message("s7"))
            item = await publish(node, message(NEWS))
            assert item.deliveries is not None
            assert (item.deliveries.accepted, item.deliveries.refused_count) == (999, 1)
            assert [(one.receiver, one.code) for one in item.deliveries.refused] == [("s7", Code.MAILBOX_FULL)]
            assert sum(received(node, f"s{number}") for number in range(1_000)) == 999 + 2
            node.core.release(PAUSED)
            await until(lambda: not node.store.reader.pending(limit=1), seconds=60)
            await node.assert_balanced()

    asyncio.run(run())
