"""Messages through a real executor: replies, order, retries, dead letters, effects exactly once."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import Delivery
from caxton.router.scheduler import PAUSED
from support import router_agents as agents
from support.router_node import Retry, message, running_node, until


def test_an_echo_is_answered_and_the_ledger_balances() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("echo", agents.ECHO)
            view = await node.ask("echo", {"x": 1})
            assert view.performative == "inform"
            assert msgspec.json.decode(view.content)["content"] == {"x": 1}
            one = message("echo", 5)
            assert await node.send(one) == ["pending"]
            assert await node.settled(one.message_id) == ["done"]
            outcome = node.row(one.message_id).outcome
            assert outcome is not None
            assert outcome.content is not None
            assert msgspec.json.decode(outcome.content)["content"] == 5
            await node.assert_balanced()

    asyncio.run(run())


def test_order_within_a_conversation_holds_when_one_is_tried_again() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("rec", agents.recorder(agents.content_offset("rec"), trap_on="12"))
            sent = [message("rec", number, conversation_id="talk") for number in range(10, 18)]
            other = message("rec", 99)
            await node.send(*sent, other)
            assert set(await node.settled(*(one.message_id for one in (*sent, other)))) == {"done"}
            log = node.key("rec", "n")
            assert log is not None
            seen = [log[at : at + 2].decode() for at in range(0, len(log), 2)]
            assert [number for number in seen if number != "99"] == [str(number) for number in range(10, 18)]
            assert seen.index("99") < seen.index("12")  # a message in backoff holds up its conversation only
            assert node.row(sent[2].message_id).attempts == 1
            await node.assert_balanced()

    asyncio.run(run())


def test_priority_goes_first_between_conversations_only() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("rec", agents.recorder(agents.content_offset("rec")))
            node.core.hold(PAUSED)
            low = [message("rec", number, conversation_id="talk", priority=1) for number in (10, 11)]
            late_but_high = message("rec", 12, conversation_id="talk", priority=10)
            high = message("rec", 13, priority=9)
            await node.send(*low, late_but_high, high)
            node.core.release(PAUSED)
            await node.settled(*(one.message_id for one in (*low, late_but_high, high)))
            assert node.key("rec", "n") == b"13101112"

    asyncio.run(run())


def test_a_trap_commits_nothing_and_after_three_the_message_is_dead() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("trap", agents.TRAP)
            one = message("trap")
            await node.send(one)
            assert await node.settled(one.message_id) == ["dead"]
            attempts = node.store.reader.attempts(one.message_id)
            assert [attempt.number for attempt in attempts] == [1, 2, 3]
            assert attempts[0].code == Code.AGENT_FAILED
            assert attempts[0].backtrace
            assert node.key("trap", "n") is None
            assert [data["message_id"] for name, data in node.events if name == "message.dead"] == [one.message_id]
            await node.assert_balanced()
            assert await node.core.revive([one.message_id]) == 1
            assert await node.settled(one.message_id) == ["dead"]
            await node.assert_balanced()

    asyncio.run(run())


def test_a_retry_waits_for_its_backoff() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("once", agents.TRAP_ONCE, retry=Retry(delay_seconds=0.4))
            one = message("once")
            began = time.monotonic()
            await node.send(one)
            assert await node.settled(one.message_id) == ["done"]
            assert time.monotonic() - began >= 0.4 * 0.75
            assert node.key("once", "n") == b"\x01"  # the attempt that trapped left nothing

    asyncio.run(run())


def test_the_agents_own_error_is_answered_and_not_tried_again() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("no", agents.REFUSES)
            one = message("no")
            await node.send(one)
            assert await node.settled(one.message_id) == ["done"]
            row = node.row(one.message_id)
            assert row.attempts == 0
            assert row.outcome is not None
            assert row.outcome.performative == "failure"
            assert node.key("no", "n") is None
            view = await node.ask("no")
            assert view.performative == "failure"

    asyncio.run(run())


def test_a_deadline_that_passes_before_the_start_expires_the_message() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("slow", agents.sleeper(0.3))
            first, second = message("slow"), message("slow", reply_by=time.time() + 0.1)
            await node.send(first, second)
            assert await node.settled(first.message_id, second.message_id) == ["done", "expired"]
            with pytest.raises(CaxtonError) as caught:
                await node.ask("slow", reply_by=time.time() - 1)
            assert caught.value.code is Code.MESSAGE_EXPIRED
            await node.assert_balanced()

    asyncio.run(run())


def test_messages_between_agents_take_effect_exactly_once() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("b", agents.COUNTER)
            await node.deploy("a", agents.sender("b", times=3))
            sent = [message("a") for _ in range(5)]
            await node.send(*sent)
            await until(lambda: node.key("b", "n") == b"\x0f")
            await until(lambda: node.core.stats()["queued"] == 0)
            await node.assert_balanced()
            assert node.store.reader.ledger()["b"].done == 15

    asyncio.run(run())


def test_what_cannot_be_delivered_comes_back_as_a_failure() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("a", agents.sender("nobody"))
            one = message("a")
            await node.send(one)
            # the failure that comes back makes `a` send again, whose failure is not answered by another one
            await until(lambda: sum(1 for name, _ in node.events if name == "message.undeliverable") >= 2)
            assert await node.settled(one.message_id) == ["done"]
            rows = node.store.reader.messages(agent="a").rows
            failures = [row.message for row in rows if row.message.performative == "failure"]
            assert failures
            assert failures[0].sender == "nobody"
            assert msgspec.json.decode(failures[0].content)["code"] == Code.AGENT_NOT_FOUND
            node.core.hold(PAUSED)

    asyncio.run(run())


def test_cancel_reaches_what_waits_and_what_runs() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("slow", agents.sleeper(5))
            running, waiting = message("slow"), message("slow")
            await node.send(running, waiting)
            await until(lambda: node.core.in_flight(running.message_id))
            await node.core.cancel(waiting.message_id)
            await node.core.cancel(running.message_id)
            assert await node.settled(running.message_id, waiting.message_id) == ["cancelled", "cancelled"]
            with pytest.raises(CaxtonError) as caught:
                await node.core.cancel("00000000-0000-4000-8000-000000000000")
            assert caught.value.code is Code.MESSAGE_NOT_FOUND
            assert node.key("slow", "n") is None
            await node.assert_balanced()

    asyncio.run(run())


def test_an_agent_that_drains_keeps_its_mail() -> None:
    async def run() -> None:
        async with running_node() as node:
            agent = await node.deploy("slow", agents.sleeper(3))
            first, second = message("slow"), message("slow")
            await node.send(first, second)
            await until(lambda: node.core.in_flight(first.message_id))
            await node.core.drain(agent, 0.05)
            assert (await node.refused(message("slow"))).code is Code.AGENT_STOPPED
            with pytest.raises(CaxtonError) as caught:
                await node.ask("slow", delivery=Delivery.EPHEMERAL)
            assert caught.value.code is Code.AGENT_STOPPED
            assert node.core.counts("slow").pending == 2
            assert await node.core.discard_pending(agent, purge=False) == 2
            assert await node.settled(first.message_id, second.message_id) == ["dead", "dead"]
            await node.assert_balanced()
            node.core.detach(agent)
            assert (await node.refused(message("slow"))).code is Code.AGENT_NOT_FOUND

    asyncio.run(run())
