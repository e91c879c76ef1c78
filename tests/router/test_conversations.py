"""Conversations that follow a protocol: checked at acceptance, durable, ended by their deadlines."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from caxton.protocol.errors import Code
from caxton.protocol.messages import Delivery, Message
from caxton.router.scheduler import PAUSED
from caxton.router.talks import conversations
from caxton.store import ConversationRow
from support import router_agents as agents
from support.router_node import Node, message, running_node, until

PROTOCOL = "fipa-request"


def says(node: Node, who: str, performative: str, to: str, conversation: str = "talk", **fields: Any) -> Message:
    """A message that makes the puppet `who` say something."""
    draft = {"performative": performative, "receiver": to, "conversation_id": conversation, "protocol": PROTOCOL}
    return message(who, {**draft, "content": 1, **fields}, performative="inform")


async def say(node: Node, who: str, performative: str, to: str, conversation: str = "talk", **fields: Any) -> None:
    one = says(node, who, performative, to, conversation, **fields)
    await node.send(one)
    assert await node.settled(one.message_id) == ["done"]
    outcome = node.row(one.message_id).outcome
    assert outcome is not None
    assert outcome.performative is None, outcome


def standing(node: Node, conversation: str = "talk") -> ConversationRow:
    """The only standing of a conversation, as it is on disk."""
    (row,) = node.store.reader.talks.conversation(conversation)
    return row


def heard(node: Node, agent: str, performative: str) -> list[Message]:
    """What an agent was sent, oldest first."""
    rows = node.store.reader.messages(agent=agent, limit=200).rows
    return [row.message for row in reversed(rows) if row.message.performative == performative]


async def two(node: Node) -> None:
    for name in ("a", "b"):
        await node.deploy(name, agents.puppet())


def test_steps_move_a_conversation_and_what_is_not_allowed_comes_back() -> None:
    async def run() -> None:
        async with running_node() as node:
            await two(node)
            await say(node, "a", "request", "b")
            assert standing(node).state == "requested"
            await say(node, "b", "propose", "a")  # refused: the agent is told, its execution stays
            assert standing(node).state == "requested"
            await until(lambda: bool(heard(node, "b", "failure")))
            told = msgspec.json.decode(heard(node, "b", "failure")[0].content)
            assert told["code"] == Code.PROTOCOL_VIOLATION
            assert told["state"] == "requested"
            assert "participant: agree" in told["allowed"]
            assert heard(node, "a", "propose") == []
            await say(node, "b", "agree", "a")
            await say(node, "b", "inform", "a")
            row = standing(node)
            assert (row.state, row.steps, row.deadline) == ("done", 3, None)
            await say(node, "b", "inform", "a")
            await until(lambda: len(heard(node, "b", "failure")) == 2)
            assert standing(node).steps == 3
            assert [one.performative for one in heard(node, "a", "inform") if one.sender == "b"] == ["inform"]
            await node.assert_balanced()

    asyncio.run(run())


def test_a_client_is_refused_and_its_conversation_ends_with_the_reply() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("echo", agents.ECHO)
            wrong = message("echo", protocol=PROTOCOL, performative="agree", conversation_id="wrong")
            error = await node.refused(wrong)
            assert error.code is Code.PROTOCOL_VIOLATION
            assert error.details["state"] == "new"
            assert error.details["allowed"] == ["initiator: request"]
            assert node.store.reader.message(wrong.message_id) is None
            one = message("echo", protocol=PROTOCOL, conversation_id="talk")
            await node.send(one)
            assert await node.settled(one.message_id) == ["done"]
            assert standing(node).state == "done"
            view = await node.ask("echo", protocol=PROTOCOL, conversation_id="asked", delivery=Delivery.EPHEMERAL)
            assert view.performative == "inform"
            assert standing(node, "asked").state == "done"
            assert node.row(view.message_id).state == "done"  # durable, as the conversation is
            await node.assert_balanced()

    asyncio.run(run())


def test_a_duplicate_moves_nothing() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("quiet", agents.SILENT)
            one = message("quiet", protocol=PROTOCOL, conversation_id="talk")
            node.core.hold(PAUSED)
            await node.send(one)
            assert await node.send(one) == ["pending"]
            node.core.release(PAUSED)
            await node.settled(one.message_id)
            assert await node.send(one) == ["done"]
            assert standing(node).steps == 1
            again = message("quiet", protocol=PROTOCOL, conversation_id="talk")
            assert (await node.refused(again)).code is Code.PROTOCOL_VIOLATION

    asyncio.run(run())


def test_the_failures_of_agents_are_steps() -> None:
    async def run() -> None:
        async with running_node() as node:
            await two(node)
            await node.deploy("no", agents.REFUSES)
            await node.deploy("trap", agents.TRAP)
            await say(node, "a", "request", "no", "one")
            await say(node, "a", "request", "trap", "two")
            await until(lambda: len(heard(node, "a", "failure")) == 2)
            assert {standing(node, "one").state, standing(node, "two").state} == {"failed"}
            one = message("trap", protocol=PROTOCOL, conversation_id="client's")
            await node.send(one)
            assert await node.settled(one.message_id) == ["dead"]
            assert standing(node, "client's").state == "failed"
            await node.assert_balanced()

    asyncio.run(run())


def test_a_deadline_ends_the_conversation_and_whoever_waits_is_told_once() -> None:
    async def run() -> None:
        async with running_node() as node:
            await two(node)
            soon = _at(time.time() + 0.4)
            await say(node, "a", "request", "b", reply_by=soon)
            assert standing(node).deadline is not None
            await until(lambda: standing(node).state == "expired")
            await until(lambda: bool(heard(node, "a", "failure")))
            told = heard(node, "a", "failure")[0]
            assert (told.sender, told.conversation_id) == ("b", "talk")
            assert msgspec.json.decode(told.content)["code"] == Code.MESSAGE_EXPIRED
            await say(node, "b", "inform", "a")  # too late
            await until(lambda: bool(heard(node, "b", "failure")))
            assert len(heard(node, "a", "failure")) == 1
            await node.assert_balanced()

    asyncio.run(run())


def test_a_message_that_expires_unread_is_answered_once() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("a", agents.puppet())
            await node.deploy("b", agents.sleeper(1.0))
            await node.send(message("b"))
            await until(lambda: node.core.counts("b").in_flight == 1)
            await say(node, "a", "request", "b", reply_by=_at(time.time() + 0.3))
            await until(lambda: bool(heard(node, "a", "failure")))
            await until(lambda: node.core.counts("b").in_flight == 0)
            assert standing(node).state in ("expired", "failed")
            assert len(heard(node, "a", "failure")) == 1

    asyncio.run(run())


def test_conversations_survive_the_router_and_deadlines_that_passed_meanwhile_count() -> None:
    async def run() -> None:
        async with running_node() as node:
            await two(node)
            await say(node, "a", "request", "b", "open")
            await say(node, "a", "request", "b", "late", reply_by=_at(time.time() + 0.3))
            await node.crash()
            await asyncio.sleep(0.3)  # time must pass while nobody looks
            await node.boot()
            await until(lambda: not node.core.ready_reasons())
            await until(lambda: standing(node, "late").state == "expired")
            await say(node, "b", "agree", "a", "open")
            assert standing(node, "open").state == "agreed"
            assert standing(node, "open").steps == 2
            await until(lambda: len(heard(node, "a", "failure")) == 1)
            await node.assert_balanced()

    asyncio.run(run())


def test_memory_is_bounded_and_what_left_it_goes_on(monkeypatch: Any) -> None:
    async def run() -> None:
        async with running_node() as node:
            await two(node)
            monkeypatch.setattr(conversations, "KEPT", 4)
            for number in range(12):
                await say(node, "a", "request", "b", f"talk{number}")
            assert len(node.core.talking.conversations._kept) <= 4
            await say(node, "b", "inform", "a", "talk0")
            assert standing(node, "talk0").state == "done"

    asyncio.run(run())


def test_a_request_that_waits_is_a_step_and_so_is_its_reply() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("echo", agents.ECHO)
            wat = agents.requester("echo").replace('content\\":1', f'protocol\\":\\"{PROTOCOL}\\",\\"content\\":1')
            length = len('{"performative":"request","receiver":"echo","content":1}')
            wat = wat.replace(f"(i32.const {length})", f"(i32.const {length + len(PROTOCOL) + 14})")
            await node.deploy("asks", wat)
            view = await node.ask("asks", conversation_id="talk")
            assert msgspec.json.decode(view.content)["protocol"] == PROTOCOL
            row = standing(node)
            assert (row.initiator, row.participant, row.state, row.steps) == ("asks", "echo", "done", 2)
            again = await node.ask("asks", conversation_id="talk")  # a conversation is held once
            assert again.performative == "failure"
            await node.assert_balanced()

    asyncio.run(run())


def test_without_a_protocol_nothing_is_checked() -> None:
    async def run() -> None:
        async with running_node() as node:
            await two(node)
            await say(node, "b", "agree", "a", protocol=None)
            await say(node, "b", "accept_proposal", "a", protocol="house-rules")
            await until(lambda: bool(heard(node, "a", "accept_proposal")))
            assert node.store.reader.talks.conversation("talk") == []

    asyncio.run(run())


def test_a_cancelled_first_message_ends_the_conversation() -> None:
    async def run() -> None:
        async with running_node() as node:
            await two(node)
            node.core.hold(PAUSED)
            one = message("b", protocol=PROTOCOL, conversation_id="talk")
            await node.send(one)
            await node.core.cancel(one.message_id)
            assert standing(node).state == "cancelled"
            node.core.release(PAUSED)

    asyncio.run(run())


def _at(seconds: float) -> str:
    from caxton.router.timing.times import rfc3339

    return rfc3339(seconds)
