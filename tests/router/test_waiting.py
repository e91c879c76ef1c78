"""Guests that wait: request, deadlock, timers."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from caxton.protocol.agents import Instance, Limits
from caxton.protocol.errors import CaxtonError
from caxton.protocol.messages import Delivery
from caxton.router.views import message_view
from support import router_agents as agents
from support.router_node import message, running_node, until

DEADLOCK = 8
NOT_FOUND = 4


def test_a_request_waits_for_the_reply_and_holds_no_place() -> None:
    async def run() -> None:
        async with running_node(runtime__max_concurrent_executions=1) as node:
            await node.deploy("echo", agents.ECHO)
            await node.deploy("ask", agents.requester("echo"))
            view = await node.ask("ask", delivery=Delivery.DURABLE)
            assert view.performative == "inform"
            reply = msgspec.json.decode(view.content)
            inner = reply["content"]
            assert (inner["sender"], inner["receiver"], inner["content"]) == ("ask", "echo", 1)
            assert (reply["performative"], reply["sender"], reply["receiver"]) == ("inform", "echo", "ask")
            assert (reply["in_reply_to"], reply["conversation_id"]) == (inner["message_id"], inner["conversation_id"])
            assert node.row(inner["message_id"]).state == "done"
            inner_row = node.row(inner["message_id"])
            assert (inner_row.delivery, message_view(inner_row, []).delivery) == ("request", "durable")
            assert [row.message.performative for row in node.store.reader.messages(agent="ask").rows] == ["request"]
            await node.assert_balanced()

    asyncio.run(run())


def test_a_request_to_nobody_says_so_and_a_dead_one_gives_its_failure() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("trap", agents.TRAP)
            await node.deploy("lost", agents.requester("nobody"))
            await node.deploy("ask", agents.requester("trap"))
            assert msgspec.json.decode((await node.ask("lost")).content)["exit_code"] == NOT_FOUND
            answer = msgspec.json.decode((await node.ask("ask")).content)
            assert (answer["performative"], answer["sender"]) == ("failure", "trap")
            assert answer["content"]["code"] == "AGENT_FAILED"
            await node.assert_balanced()

    asyncio.run(run())


@pytest.mark.parametrize("ring", [("a",), ("a", "b"), ("a", "b", "c"), ("a", "b", "c", "d", "e")])
def test_agents_that_wait_for_each_other_are_found(ring: tuple[str, ...]) -> None:
    async def run() -> None:
        async with running_node() as node:
            for name, follower in zip(ring, (*ring[1:], ring[0]), strict=True):
                await node.deploy(name, agents.requester(follower))
            view = await node.ask("a", timeout=5)
            # the last of the ring, whose request closes the circle, fails; its failure is the others' reply
            content = msgspec.json.decode(view.content)
            for follower in ring[1:]:
                assert (content["performative"], content["sender"]) == (
                    "failure" if follower is ring[-1] else "inform",
                    follower,
                )
                content = content["content"]
            assert content["exit_code"] == DEADLOCK
            await node.assert_balanced()

    asyncio.run(run())


def test_an_agent_with_a_free_place_is_no_deadlock() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("echo", agents.ECHO)
            await node.deploy("mid", agents.requester("echo"), instance=Instance.PER_MESSAGE, max_concurrency=2)
            await node.deploy("ask", agents.requester("mid"))
            views = await asyncio.gather(*(node.ask("ask", timeout=5) for _ in range(6)))
            assert {view.performative for view in views} == {"inform"}

    asyncio.run(run())


def test_a_second_run_of_the_same_code_gets_the_first_answer() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("count", agents.COUNTER)
            data = '{"performative":"request","receiver":"count","content":1}'
            ask = f"(drop (call $request (i32.const 0) (i32.const {len(data)}) (i32.const 65536) (i32.const 65536)))"
            trap_first = "(if (call $first_instance) (then unreachable)) (i32.const 0)"
            await node.deploy("ask", agents.reactor(ask + trap_first, data=data))
            one = message("ask")
            await node.send(one)
            assert await node.settled(one.message_id) == ["done"]
            assert node.row(one.message_id).attempts == 1
            assert node.key("count", "n") == b"\x01"
            await node.assert_balanced()

    asyncio.run(run())


def test_a_request_ends_when_its_execution_has_no_time_left() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("slow", agents.sleeper(2))
            await node.deploy("ask", agents.requester("slow"), limits=Limits(execution_timeout_seconds=0.3))
            with pytest.raises(CaxtonError) as caught:
                await node.ask("ask")
            assert caught.value.code == "EXECUTION_TIMEOUT"

    asyncio.run(run())


def test_a_timer_fires_once_and_survives_the_router() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("tick", agents.TIMER)
            first, second = message("tick"), message("tick")
            await node.send(first, second)
            await node.settled(first.message_id, second.message_id)
            await until(lambda: node.key("tick", "n") == b"\x02")
            assert node.store.reader.timers() == []
            # now one that is due while the router is away
            third = message("tick")
            await node.send(third)
            await node.settled(third.message_id)
            assert node.key("tick", "n") == b"\x02"
            await node.crash()
            gone = time.time()
            await until(lambda: time.time() > gone + 0.1)
            await node.boot()
            await until(lambda: node.key("tick", "n") == b"\x03")
            await until(lambda: node.core.stats()["queued"] == 0)
            assert node.store.reader.timers() == []
            await node.assert_balanced()
            assert node.store.reader.ledger()["tick"].done == 6

    asyncio.run(run())


@pytest.mark.parametrize("wat", [agents.SPIN, agents.requester("slow")], ids=["running", "waiting"])
def test_a_cancel_interrupts_what_runs_and_what_waits(wat: str) -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("slow", agents.sleeper(1))
            await node.deploy("one", wat)
            busy, behind = message("one"), message("one")
            await node.send(busy)
            await until(lambda: node.core.in_flight(busy.message_id))
            await node.core.cancel(busy.message_id)
            assert node.row(busy.message_id).state == "cancelled"
            await node.send(behind)  # the agent is there for others
            await until(lambda: node.core.in_flight(behind.message_id))
            await node.core.cancel(behind.message_id)
            assert node.key("one", "n") is None
            await until(lambda: node.core.stats()["queued"] == 0)
            await node.assert_balanced()
            ledger = node.store.reader.ledger()["one"]
            assert (ledger.accepted, ledger.cancelled) == (2, 2)

    asyncio.run(run())


def test_a_message_that_came_too_late_is_answered_by_a_failure() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("slow", agents.COUNTER)
            data = '{"performative":"request","receiver":"slow","content":1,"reply_by":"2026-01-01T00:00:00Z"}'
            send = f"(drop (call $send (i32.const 0) (i32.const {len(data)}))) (i32.const 0)"
            await node.deploy("ask", agents.reactor(send, data=data))
            one = message("ask")
            await node.send(one)
            await node.settled(one.message_id)

            def failures() -> list[bytes]:
                rows = node.store.reader.messages(agent="ask").rows
                return [row.message.content for row in rows if row.message.performative == "failure"]

            await until(lambda: bool(failures()))
            node.core.hold("paused")  # each failure makes it ask again
            assert msgspec.json.decode(failures()[0])["code"] == "MESSAGE_EXPIRED"
            assert node.key("slow", "n") is None

    asyncio.run(run())
