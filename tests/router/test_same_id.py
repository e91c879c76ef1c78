"""Deduplication, conflicts, ephemeral counts and backpressure."""

from __future__ import annotations

import asyncio
import dataclasses

import msgspec
import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Delivery
from caxton.router.scheduler import PAUSED
from support import router_agents as agents
from support.router_node import message, running_node, until


def test_an_id_takes_effect_once_however_often_it_is_sent() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("count", agents.COUNTER)
            one = message("count", 1)
            await node.send(one, one, one)
            await asyncio.gather(*(node.send(one) for _ in range(5)))
            await node.settled(one.message_id)
            assert await node.send(one) == ["done"]
            assert node.key("count", "n") == b"\x01"
            assert node.store.reader.ledger()["count"].accepted == 1
            other_body = message("count", 2, message_id=one.message_id)
            assert (await node.refused(other_body)).code is Code.CONFLICT
            await node.assert_balanced()

    asyncio.run(run())


def test_a_duplicate_of_a_running_invoke_joins_it_and_a_later_one_gets_its_outcome() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("slow", agents.sleeper(0.3))
            one = new_id()

            async def invoke(delivery: Delivery) -> str:
                view = await node.ask("slow", 1, message_id=one, idempotent=True, delivery=delivery)
                assert view.execution is not None
                return view.execution.id

            executions = {*await asyncio.gather(*(invoke(Delivery.EPHEMERAL) for _ in range(4)))}
            executions |= {await invoke(Delivery.EPHEMERAL), await invoke(Delivery.DURABLE)}
            assert len(executions) == 1
            assert node.key("slow", "n") == b"\x01"
            with pytest.raises(CaxtonError) as caught:
                await node.ask("slow", 2, message_id=one, idempotent=True)
            assert caught.value.code is Code.CONFLICT
            await node.assert_balanced()

    asyncio.run(run())


def test_ephemeral_messages_are_counted_and_leave_rows_only_with_effects() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("echo", agents.ECHO)
            await node.deploy("count", agents.COUNTER)
            await node.deploy("trap", agents.TRAP)
            plain = [await node.ask("echo", number) for number in range(5)]
            effect = await node.ask("count")
            with pytest.raises(CaxtonError) as caught:
                await node.ask("trap")
            assert caught.value.code is Code.AGENT_FAILED
            assert [node.store.reader.message(view.message_id) for view in plain] == [None] * 5
            assert node.row(effect.message_id).state == "done"
            await node.assert_balanced()
            ledger = node.store.reader.ledger()
            assert (ledger["echo"].accepted, ledger["echo"].done) == (5, 5)
            assert (ledger["count"].accepted, ledger["count"].done) == (1, 1)
            assert (ledger["trap"].accepted, ledger["trap"].dead) == (1, 1)  # one attempt: the caller holds the retry

    asyncio.run(run())


def test_a_caller_that_gives_up_ends_its_execution() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("slow", agents.sleeper(20))
            with pytest.raises(CaxtonError) as caught:
                await node.ask("slow", timeout=0.1)
            assert caught.value.code is Code.EXECUTION_TIMEOUT
            await until(lambda: node.core.stats()["queued"] == 0)
            await node.assert_balanced()
            assert node.store.reader.ledger()["slow"].cancelled == 1

    asyncio.run(run())


def test_a_full_mailbox_and_a_full_node_refuse_and_recover() -> None:
    async def run() -> None:
        async with running_node(messaging__mailbox_size=3, messaging__queue_size=5) as node:
            await node.deploy("a", agents.COUNTER)
            await node.deploy("b", agents.COUNTER)
            node.core.hold(PAUSED)
            sent = [message("a") for _ in range(3)]
            await node.send(*sent)
            refusal = await node.refused(message("a"))
            assert refusal.code is Code.MAILBOX_FULL
            assert refusal.details["retry_after_seconds"] > 0
            await node.send(message("b"), message("b"))
            assert (await node.refused(message("b"))).code is Code.MAILBOX_FULL
            node.core.release(PAUSED)
            await node.settled(*(one.message_id for one in sent))
            await until(lambda: node.core.stats()["queued"] == 0)
            assert (await node.ask("a")).performative is None
            await node.assert_balanced()

    asyncio.run(run())


def test_a_guest_feels_the_pressure_of_a_full_mailbox() -> None:
    async def run() -> None:
        async with running_node(messaging__mailbox_size=2) as node:
            await node.deploy("slow", agents.sleeper(2))
            data = '{"performative":"inform","receiver":"slow","content":1}'
            # the status of send_message, negated, is what the handler returns: 3 = LIMIT, as a failure
            call = f"(i32.sub (i32.const 0) (call $send (i32.const 0) (i32.const {len(data)})))"
            await node.deploy("push", agents.reactor(call, data=data))
            await node.send(message("slow"), message("slow"))
            view = await node.ask("push")
            assert view.performative == "failure"
            assert msgspec.json.decode(view.content)["exit_code"] == 3

    asyncio.run(run())


def test_below_the_disks_low_mark_nothing_new_is_accepted() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("count", agents.COUNTER)
            one = message("count")
            node.core.hold(PAUSED)
            await node.send(one)
            full = dataclasses.replace(node.config.messaging, low_disk_bytes=10**15)
            node.core.reconfigure(dataclasses.replace(node.config, messaging=full))
            node.core._intake._disk_checked = -1e9
            assert (await node.refused(message("count"))).code is Code.STORAGE_FULL
            assert "low_disk" in node.core.ready_reasons()
            node.core.release(PAUSED)
            assert await node.settled(one.message_id) == ["done"]

    asyncio.run(run())


def test_receivers_that_cannot_be_are_refused() -> None:
    async def run() -> None:
        async with running_node() as node:
            assert (await node.refused(message("nobody"))).code is Code.AGENT_NOT_FOUND
            assert (await node.refused(message("capability:sum"))).code is Code.AGENT_NOT_FOUND
            assert (await node.refused(message("task:node"))).code is Code.INVALID_REQUEST
            with pytest.raises(CaxtonError) as caught:
                await node.ask("nobody")
            assert caught.value.code is Code.AGENT_NOT_FOUND

    asyncio.run(run())
