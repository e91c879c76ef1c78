"""Messages by the calendar: once for each due time, whatever crashes and wherever the clock jumps."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from caxton.protocol.agents import Misfire, Schedule
from caxton.router.agents import Agent
from support import router_agents as agents
from support.router_node import Node, running_node, until

HOUR = 3_600.0


class WallClock:
    """The wall clock as the schedules read it: it jumps by `offset` seconds.

    It begins at the half of a minute and is slow, so that no test sees a minute pass.
    """

    def __init__(self) -> None:
        self.offset = 0.0
        self._began: tuple[float, float] | None = None

    def time(self) -> float:
        if self._began is None:
            self._began = time.time() // 60 * 60 + 30, time.monotonic()
        return self._began[0] + (time.monotonic() - self._began[1]) / 10 + self.offset


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """Nobody may set this machine's clock: the module that reads it gets another one."""
    made = WallClock()
    monkeypatch.setattr("caxton.router.timing.schedules.time", made)
    monkeypatch.setattr("caxton.router.timing.schedules.LOOK_SECONDS", 0.05)
    return made


def minutely(**fields: Any) -> Schedule:
    return Schedule("tick", "* * * * *", **fields)


async def deploy(node: Node, schedule: Schedule) -> Agent:
    """An agent with this schedule; not while a minute ends."""
    await until(lambda: time.time() % 60 < 50)
    return await node.deploy("clock", agents.COUNTER, schedules=[schedule])


def sent(node: Node) -> list[str]:
    """The due times of the accepted messages, oldest first."""
    rows = node.store.reader.messages(agent="clock", limit=200).rows[::-1]
    assert {row.message.sender for row in rows} <= {"timer:tick"}
    return [msgspec.json.decode(row.message.content)["due"] for row in rows]


def test_each_due_time_gives_one_message_also_when_the_clock_jumps(clock: WallClock) -> None:
    async def run() -> None:
        async with running_node() as node:
            await deploy(node, minutely(misfire=Misfire.ALL))
            await asyncio.sleep(0)
            assert sent(node) == []
            clock.offset = 5 * 60
            await until(lambda: len(sent(node)) == 5)
            clock.offset = -3 * HOUR  # back: nothing that was sent is sent again
            looks = time.monotonic() + 0.3
            await until(lambda: time.monotonic() > looks)
            assert len(sent(node)) == 5
            clock.offset = 7 * 60
            await until(lambda: len(sent(node)) == 7)
            assert len(set(sent(node))) == 7
            await until(lambda: node.core.stats()["queued"] == 0)
            assert node.store.reader.ledger()["clock"].done == 7
            await node.assert_balanced()

    asyncio.run(run())


@pytest.mark.parametrize(("misfire", "count"), [(Misfire.SKIP, 1), (Misfire.ONCE, 2), (Misfire.ALL, 100)])
def test_what_was_missed_while_the_router_was_away(clock: WallClock, misfire: Misfire, count: int) -> None:
    async def run() -> None:
        async with running_node() as node:
            await deploy(node, minutely(misfire=misfire))
            await node.crash()
            clock.offset = 30 * HOUR
            await node.boot()
            await until(lambda: len(sent(node)) == count)
            assert len(node.store.reader.schedule_marks("clock")) == 1
            await node.crash()
            await node.boot()
            await until(lambda: node.core.stats()["queued"] == 0)
            assert len(sent(node)) == count  # and no second time
            await node.assert_balanced()

    asyncio.run(run())


def test_a_stopped_agent_gets_nothing_until_it_starts(clock: WallClock) -> None:
    async def run() -> None:
        async with running_node() as node:
            agent = await deploy(node, minutely())
            await node.core.drain(agent, 1.0)
            clock.offset = 10 * 60
            looks = time.monotonic() + 0.2
            await until(lambda: time.monotonic() > looks)
            assert sent(node) == []
            node.core.attach(agent)
            await until(lambda: len(sent(node)) >= 1)
            assert len(sent(node)) <= 2  # one for what was missed, perhaps one that is due now

    asyncio.run(run())


def test_a_full_mailbox_waits_and_loses_no_due_time(clock: WallClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caxton.router.timing.schedules.FULL_SECONDS", 0.05)

    async def run() -> None:
        async with running_node(messaging__mailbox_size=2) as node:
            await deploy(node, minutely(misfire=Misfire.ALL))
            node.core.hold("paused")
            for offset in (60, 120, 180, 240):
                clock.offset = offset
                looks = time.monotonic() + 0.2
                await until(lambda looks=looks: time.monotonic() > looks)
            assert node.core.counts("clock").pending == 2
            node.core.release("paused")
            await until(lambda: len(sent(node)) == 4)
            assert len(set(sent(node))) == 4
            await node.assert_balanced()

    asyncio.run(run())


def test_its_content_is_what_the_deployment_says() -> None:
    async def run() -> None:
        async with running_node() as node:
            await deploy(node, minutely(content={"do": "it"}))
            (one,) = node.core.schedules.of("clock")
            assert one.next_due is not None
            assert 0 < one.next_due - time.time() <= 60
            one.mark = time.time() - 70  # as if the router had been away for a minute
            node.core.schedules._plan(one)
            node.core.schedules._ring()
            await until(lambda: bool(node.store.reader.messages(agent="clock").rows))
            row = node.store.reader.messages(agent="clock").rows[0]
            assert (row.message.sender, row.message.performative) == ("timer:tick", "request")
            assert msgspec.json.decode(row.message.content) == {"do": "it"}

    asyncio.run(run())
