"""Tasks: a contract net by the node. Every phase survives the router; deadlines end what nobody answers."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Message
from caxton.router.scheduler import PAUSED
from caxton.router.talks.choice import ranked, value_of
from caxton.store import BidRow, TaskRow
from support import router_agents as agents
from support.router_node import Node, message, running_node, until

CONTENT = b'{"what":"a house"}'


async def bidders(node: Node, **wats: str) -> None:
    for name, wat in wats.items():
        await node.deploy(name, wat)
    offer(node, *wats)


def offer(node: Node, *names: str) -> None:
    for name in names:
        node.registry.require(name).capabilities = ["build"]
    node.core.talking.capabilities.changed()


async def begin(node: Node, reply_in: float = 20.0, finish_in: float = 40.0, **fields: Any) -> TaskRow:
    """A task that is durable."""
    now = time.time()
    values: dict[str, Any] = {"field": "price"} | fields
    row = TaskRow(
        task_id=new_id(),
        state="calling",
        capability="build",
        owner="client:test",
        content=CONTENT,
        digest=b"0" * 16,
        created_at=now,
        reply_by=now + reply_in,
        finish_by=now + finish_in,
        **values,
    )
    node.core.talking.tasks.create(row)
    await node.core.write_counts()
    return row


def task(node: Node, begun: TaskRow) -> TaskRow:
    row = node.store.reader.talks.task(begun.task_id)
    assert row is not None
    return row


def bids(node: Node, begun: TaskRow) -> dict[str, str]:
    return {bid.agent: bid.state for bid in node.store.reader.talks.bids(begun.task_id)}


async def ended(node: Node, begun: TaskRow) -> TaskRow:
    await until(lambda: task(node, begun).finished_at is not None)
    return task(node, begun)


async def says(node: Node, who: str, begun: TaskRow, performative: str, content: Any = None) -> None:
    """Has a puppet say something to the node."""
    draft = {"performative": performative, "receiver": "task:node", "conversation_id": begun.task_id}
    one = message(who, {**draft, "protocol": "fipa-contract-net", "content": content}, performative="inform")
    await node.send(one)
    assert await node.settled(one.message_id) == ["done"]


def heard(node: Node, agent: str, performative: str) -> list[Message]:
    rows = node.store.reader.messages(agent=agent, limit=200).rows
    return [row.message for row in rows if row.message.performative == performative]


async def restart(node: Node, *names: str) -> None:
    await node.crash()
    await node.boot()
    offer(node, *names)
    await until(lambda: not node.core.ready_reasons())


@pytest.mark.parametrize(("order", "winner"), [("min", "cheap"), ("max", "dear")])
def test_the_best_bid_is_accepted_and_its_inform_is_the_result(order: str, winner: str) -> None:
    async def run() -> None:
        async with running_node() as node:
            await bidders(
                node,
                cheap=agents.bidder('{"price":3}', '{"by":"cheap"}'),
                dear=agents.bidder('{"price":7.5}', '{"by":"dear"}'),
                vague=agents.bidder('{"price":"little"}'),
                mute=agents.REFUSES,
            )
            begun = await begin(node, order=order)
            row = await ended(node, begun)
            assert (row.state, row.winner) == ("done", winner)
            assert row.result is not None
            assert msgspec.json.decode(row.result) == {"by": winner}
            states = bids(node, begun)
            assert states.pop(winner) == "done"
            assert states.pop("mute") == "failed"
            assert set(states.values()) == {"rejected"}
            assert heard(node, winner, "accept_proposal")[0].content == CONTENT
            await until(lambda: node.key("vague", "n") == b"\x01")
            standings = node.store.reader.talks.conversation(begun.task_id)
            assert sorted(one.state for one in standings) == ["done", "failed", "rejected", "rejected"]
            await node.assert_balanced()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "state", "code"),
    [
        ('{"agent":"b"}', "done", None),
        ("null", "failed", Code.AGENT_FAILED),
        ('{"agent":"stranger"}', "failed", Code.INVALID_MESSAGE),
        ("7", "failed", Code.INVALID_MESSAGE),
    ],
)
def test_a_chooser_says_which_bid_wins(answer: str, state: str, code: Code | None) -> None:
    async def run() -> None:
        async with running_node() as node:
            await bidders(node, a=agents.bidder("1"), b=agents.bidder("2"))
            await node.deploy("chooser", agents.answerer(answer))
            row = await ended(node, begun := await begin(node, field=None, chooser="chooser"))
            assert (row.state, row.code) == (state, code)
            asked = msgspec.json.decode(heard(node, "chooser", "query_ref")[0].content)
            assert asked["bids"] == [{"agent": "a", "content": 1}, {"agent": "b", "content": 2}]
            assert asked["content"] == {"what": "a house"}
            assert bids(node, begun)["a"] == "rejected"
            await node.assert_balanced()

    asyncio.run(run())


def test_bids_after_the_deadline_are_refused_and_those_before_are_enough() -> None:
    async def run() -> None:
        async with running_node() as node:
            await bidders(node, a=agents.bidder('{"price":9}'), late1=agents.puppet(), late2=agents.puppet())
            begun = await begin(node, reply_in=0.5)
            row = await ended(node, begun)
            assert (row.state, row.winner) == ("done", "a")
            assert bids(node, begun) == {"a": "done", "late1": "expired", "late2": "expired"}
            for name in ("late1", "late2"):
                await says(node, name, begun, "propose", {"price": 1})
                await until(lambda name=name: bool(heard(node, name, "failure")))  # type: ignore[misc]  # bound early
                told = msgspec.json.decode(heard(node, name, "failure")[0].content)
                assert (told["code"], told["state"]) == (Code.PROTOCOL_VIOLATION, "expired")
            assert bids(node, begun)["late1"] == "expired"
            await node.assert_balanced()

    asyncio.run(run())


def test_a_winner_that_dies_fails_the_task_at_its_deadline() -> None:
    async def run() -> None:
        async with running_node() as node:
            await bidders(node, dies=agents.puppet(), other=agents.bidder('{"price":5}'))
            begun = await begin(node, reply_in=10.0, finish_in=2.0)
            await says(node, "dies", begun, "propose", {"price": 1})
            await until(lambda: task(node, begun).state == "awarded")
            dies = node.registry.require("dies")
            await node.core.drain(dies, 0.0)
            row = await ended(node, begun)
            assert (row.state, row.winner, row.code) == ("failed", "dies", Code.MESSAGE_EXPIRED)
            assert bids(node, begun) == {"dies": "expired", "other": "rejected"}
            node.core.attach(dies)
            await says(node, "dies", begun, "inform", "at last")
            await until(lambda: bool(heard(node, "dies", "failure")))
            assert task(node, begun).state == "failed"
            await node.assert_balanced()

    asyncio.run(run())


def test_the_router_may_be_killed_in_every_phase() -> None:
    async def run() -> None:
        async with running_node() as node:
            await bidders(node, a=agents.puppet(), b=agents.puppet())
            await node.deploy("chooser", agents.puppet())
            begun = await begin(node, field=None, chooser="chooser")
            await restart(node, "a", "b")  # called
            assert task(node, begun).state == "calling"
            await says(node, "a", begun, "propose", {"price": 1})
            await restart(node, "a", "b")  # one bid
            assert bids(node, begun) == {"a": "proposed", "b": "called"}
            await says(node, "b", begun, "propose", {"price": 2})
            await until(lambda: bool(heard(node, "chooser", "query_ref")))
            await restart(node, "a", "b")  # the chooser is asked
            assert task(node, begun).state == "choosing"
            draft = {"performative": "inform", "receiver": "task:node", "protocol": "fipa-query"}
            answer = {**draft, "conversation_id": begun.task_id, "content": {"agent": "b"}}
            await node.send(message("chooser", answer, performative="inform"))
            await until(lambda: task(node, begun).state == "awarded")
            await restart(node, "a", "b")  # awarded
            await until(lambda: len(heard(node, "a", "reject_proposal")) == 1)
            await says(node, "b", begun, "inform", "built")
            row = await ended(node, begun)
            assert (row.state, row.winner, row.result) == ("done", "b", b'"built"')
            assert bids(node, begun) == {"a": "rejected", "b": "done"}
            assert len(heard(node, "chooser", "query_ref")) == 1
            assert len(heard(node, "b", "accept_proposal")) == 1
            await node.assert_balanced()

    asyncio.run(run())


def test_what_a_crash_left_between_the_last_bid_and_the_question_goes_on() -> None:
    async def run() -> None:
        async with running_node() as node:
            await bidders(node, a=agents.puppet())
            await node.deploy("chooser", agents.answerer('{"agent":"a"}'))
            begun = await begin(node, field=None, chooser="chooser")
            node.core.talking.tasks._ask_chooser = lambda task_id: None  # type: ignore[method-assign]  # died before it asked
            await says(node, "a", begun, "propose", {"price": 1})
            assert task(node, begun).state == "choosing"
            await restart(node, "a")
            await until(lambda: task(node, begun).state == "awarded")
            await node.assert_balanced()

    asyncio.run(run())


def test_cancelling_tells_the_bidders_and_ends_the_task() -> None:
    async def run() -> None:
        async with running_node() as node:
            await bidders(node, a=agents.puppet(), b=agents.puppet())
            begun = await begin(node)
            await says(node, "a", begun, "propose", {"price": 1})
            assert node.core.talking.tasks.cancel(begun.task_id)
            await node.core.write_counts()
            assert (task(node, begun).state, bids(node, begun)) == ("cancelled", {"a": "rejected", "b": "cancelled"})
            assert heard(node, "a", "reject_proposal")
            assert heard(node, "b", "cancel")
            await says(node, "b", begun, "propose", {"price": 1})  # it crossed the cancel
            assert not node.core.talking.tasks.cancel(begun.task_id)
            assert task(node, begun).state == "cancelled"
            await node.assert_balanced()

    asyncio.run(run())


def test_a_winner_that_traps_fails_the_task_and_a_best_that_is_gone_is_passed_over() -> None:
    async def run() -> None:
        async with running_node() as node:
            await bidders(node, traps=agents.bidder('{"price":1}', on_accept="unreachable"), slow=agents.puppet())
            begun = await begin(node)
            await says(node, "slow", begun, "propose", {"price": 2})
            row = await ended(node, begun)
            assert (row.state, row.code, bids(node, begun)["traps"]) == ("failed", Code.AGENT_FAILED, "failed")
            begun = await begin(node)
            await until(lambda: bids(node, begun)["traps"] == "proposed")
            await node.core.drain(node.registry.require("traps"), 1.0)
            await says(node, "slow", begun, "propose", {"price": 2})
            await until(lambda: task(node, begun).state == "awarded")
            assert task(node, begun).winner == "slow"
            await node.assert_balanced()

    asyncio.run(run())


def test_what_cannot_begin_leaves_nothing() -> None:
    async def run() -> None:
        async with running_node(messaging__mailbox_size=1) as node:
            with pytest.raises(CaxtonError) as refused:
                await begin(node)
            assert refused.value.code is Code.AGENT_NOT_FOUND
            await bidders(node, a=agents.puppet())
            node.core.hold(PAUSED)
            await node.send(message("a"))
            with pytest.raises(CaxtonError) as refused:
                await begin(node)
            assert refused.value.code is Code.MAILBOX_FULL
            with pytest.raises(CaxtonError) as refused:
                await begin(node, field=None, chooser="nobody")
            assert refused.value.code is Code.AGENT_NOT_FOUND
            assert node.store.reader.talks.open_tasks() == []
            assert node.store.reader.talks.next_deadline() is None
            node.core.release(PAUSED)

    asyncio.run(run())


def test_words_to_the_node_outside_of_a_protocol_come_back() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("talks", agents.sender("task:node"))
            one = message("talks")
            await node.send(one)
            await node.settled(one.message_id)
            await until(lambda: bool(heard(node, "talks", "failure")))
            told = msgspec.json.decode(heard(node, "talks", "failure")[0].content)
            assert told["code"] == Code.PROTOCOL_VIOLATION

    asyncio.run(run())


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b'{"a":{"b":2}}', 2.0),
        (b'{"a":{"b":true}}', None),
        (b'{"a":{"b":"2"}}', None),
        (b'{"a":[1]}', None),
        (b"not json", None),
        (b'{"a":{"b":1e999}}', None),
        (b'{"a":{"b":' + b"9" * 400 + b"}}", None),
        (b"[" * 100_000, None),
    ],
)
def test_only_a_finite_number_can_be_compared(content: bytes, value: float | None) -> None:
    assert value_of(content, "a.b") == value


def test_of_equal_bids_the_first_wins() -> None:
    made = [BidRow("t", "b", "proposed", 1.0, 5.0), BidRow("t", "a", "proposed", 2.0, 5.0)]
    assert ranked(made, "min") == ranked(made, "max") == ["b", "a"]
