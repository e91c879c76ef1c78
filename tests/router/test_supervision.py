"""Agents that fail too often: the budget, the quarantine with its probes, instances that do not start."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from caxton.protocol.agents import AgentStatus, Instance, Retry, Supervision
from caxton.protocol.errors import CaxtonError
from caxton.protocol.messages import Delivery, Message
from support import router_agents as agents
from support.router_node import Node, message, running_node, until

ONCE = Retry(max_deliveries=1)


def poison(sender: str, **fields: Any) -> Message:
    return message("picky", "!", sender=sender, **fields)


def names(node: Node, prefix: str = "agent.") -> list[str]:
    return [name for name, _ in node.events if name.startswith(prefix)]


async def quarantined(node: Node, **settings: Any) -> None:
    """An agent with two dead letters of two senders."""
    budget = Supervision(dead_letters=2, **{"pause_seconds": 60, **settings})
    await node.deploy("picky", agents.PICKY, retry=ONCE, supervision=budget)
    bad = [poison("client:one"), poison("client:two")]
    await node.send(*bad)
    assert await node.settled(*(one.message_id for one in bad)) == ["dead", "dead"]
    await until(lambda: status(node) is AgentStatus.QUARANTINED)


def status(node: Node) -> AgentStatus:
    return node.registry.require("picky").status


def test_a_quarantined_agent_keeps_its_mailbox_and_says_why() -> None:
    async def run() -> None:
        async with running_node() as node:
            await quarantined(node)
            agent = node.registry.require("picky")
            assert "2 dead letters of 2 senders" in (agent.status_reason or "")
            good = message("picky", "fine")
            assert await node.send(good) == ["pending"]
            with pytest.raises(CaxtonError) as caught:
                await node.ask("picky", "fine")
            assert caught.value.code == "AGENT_QUARANTINED"
            assert 1 <= caught.value.details["retry_after_seconds"] <= 60
            assert names(node) == ["agent.quarantined"]
            assert node.core.counts("picky").pending == 1
            await node.assert_balanced()
            node.core.end_quarantine(agent, "the test says so")
            assert await node.settled(good.message_id) == ["done"]
            assert (agent.status, agent.status_reason, agent.quarantine) == (AgentStatus.RUNNING, None, None)

    asyncio.run(run())


def test_one_senders_poison_is_not_enough() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("picky", agents.PICKY, retry=ONCE)
            bad = [poison("client:one") for _ in range(15)]
            await node.send(*bad)
            await node.settled(*(one.message_id for one in bad))
            assert status(node) is AgentStatus.RUNNING
            another = poison("client:two")
            await node.send(another)
            await node.settled(another.message_id)
            await until(lambda: status(node) is AgentStatus.QUARANTINED)

    asyncio.run(run())


def test_deaths_outside_the_window_do_not_count() -> None:
    async def run() -> None:
        async with running_node() as node:
            budget = Supervision(dead_letters=2, window_seconds=0.2)
            await node.deploy("picky", agents.PICKY, retry=ONCE, supervision=budget)
            for sender in ("client:one", "client:two"):
                one = poison(sender)
                await node.send(one)
                await node.settled(one.message_id)
                over = time.monotonic() + 0.3
                await until(lambda over=over: time.monotonic() > over)
            assert status(node) is AgentStatus.RUNNING

    asyncio.run(run())


def test_a_probe_that_is_handled_ends_the_quarantine() -> None:
    async def run() -> None:
        async with running_node() as node:
            await quarantined(node, pause_seconds=0.2)
            good = [message("picky", "fine") for _ in range(3)]
            await node.send(*good)
            assert await node.settled(*(one.message_id for one in good)) == ["done"] * 3
            assert status(node) is AgentStatus.RUNNING
            assert names(node) == ["agent.quarantined", "agent.recovered"]
            assert node.core.stats()["meters"]["quarantines"] == {"quarantined": 1, "probed": 1, "recovered": 1}
            await node.assert_balanced()

    asyncio.run(run())


def test_a_probe_that_fails_doubles_the_pause_up_to_its_bound() -> None:
    async def run() -> None:
        async with running_node() as node:
            await quarantined(node, pause_seconds=0.1, max_pause_seconds=0.3)
            began = time.monotonic()
            bad = [poison("client:one") for _ in range(3)]
            await node.send(*bad)
            states = await node.settled(*(one.message_id for one in bad))
            assert states == ["dead"] * 3  # one by one, after 0.1, 0.2 and 0.3 s
            assert time.monotonic() - began >= 0.5
            quarantine = node.registry.require("picky").quarantine
            assert quarantine is not None
            assert quarantine.pause_seconds == 0.3
            assert status(node) is AgentStatus.QUARANTINED
            await node.assert_balanced()

    asyncio.run(run())


def test_a_probe_may_be_an_invocation() -> None:
    async def run() -> None:
        async with running_node() as node:
            await quarantined(node, pause_seconds=0.05)

            def half_open() -> bool:
                box = node.core._boxes.get("picky")
                return box is not None and box.gate is not None and box.gate.is_open

            await until(half_open)
            assert (await node.ask("picky", "fine", delivery=Delivery.EPHEMERAL)).performative is None
            assert status(node) is AgentStatus.RUNNING

    asyncio.run(run())


def test_a_quarantine_outlives_the_router_and_its_probe_still_comes() -> None:
    async def run() -> None:
        async with running_node() as node:
            await quarantined(node, pause_seconds=1.0)
            good = message("picky", "fine")
            await node.send(good)
            await node.crash()
            await node.boot()
            agent = node.registry.require("picky")
            assert (agent.status, agent.quarantine is not None) == (AgentStatus.QUARANTINED, True)
            assert node.row(good.message_id).state == "pending"
            assert await node.settled(good.message_id) == ["done"]
            await until(lambda: status(node) is AgentStatus.RUNNING)
            await node.crash()
            await node.boot()
            assert status(node) is AgentStatus.RUNNING
            await node.assert_balanced()

    asyncio.run(run())


def test_what_was_under_way_when_the_gate_closed_is_no_probe() -> None:
    async def run() -> None:
        async with running_node() as node:
            budget = Supervision(dead_letters=2, pause_seconds=60)
            many = {"instance": Instance.PER_MESSAGE, "max_concurrency": 4}
            await node.deploy("picky", agents.PICKY, retry=ONCE, supervision=budget, **many)
            mixed = [poison("client:one"), poison("client:two"), message("picky", "a"), message("picky", "b")]
            await node.send(*mixed)
            await until(lambda: status(node) is AgentStatus.QUARANTINED)
            await until(lambda: node.core.counts("picky").in_flight == 0)
            assert status(node) is AgentStatus.QUARANTINED

    asyncio.run(run())


@pytest.mark.parametrize("traps", [False, True])
def test_an_instance_that_does_not_start_is_tried_again_with_growing_pauses(
    traps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caxton.router.supervision.quarantine.RESTART_SECONDS", 0.05)

    async def run() -> None:
        async with running_node() as node:
            await node.deploy("picky", agents.starts_at(5, else_traps=traps), start=False)
            began = time.monotonic()
            good = message("picky")
            await node.send(good)
            await until(lambda: "agent.quarantined" in names(node))
            assert "does not start" in (node.registry.require("picky").status_reason or "")
            assert await node.settled(good.message_id) == ["done"]
            assert time.monotonic() - began >= 0.05 + 0.1 + 0.2 + 0.4
            assert node.row(good.message_id).attempts == 0  # the message was not at fault
            assert node.key("picky", "n") == b"\x01"
            assert status(node) is AgentStatus.RUNNING
            await node.assert_balanced()

    asyncio.run(run())


def test_who_waits_for_an_agent_that_does_not_start_is_told_at_once() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("picky", agents.starts_at(9), start=False)
            with pytest.raises(CaxtonError) as caught:
                await node.ask("picky")
            assert caught.value.code == "AGENT_FAILED"
            with pytest.raises(CaxtonError) as caught:
                await node.ask("picky")
            assert caught.value.code == "AGENT_QUARANTINED"

    asyncio.run(run())
