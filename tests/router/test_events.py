"""The event bus: order, globs, resuming from an id, slow readers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.views import NodeEvent
from caxton.router.events import LAGGED, EventBus, Subscription


def collect(bus: EventBus, subscription: Subscription) -> list[NodeEvent]:
    """Everything a reader gets when the bus ends now."""

    async def read() -> list[NodeEvent]:
        bus.close()
        return [event async for event in subscription]

    return asyncio.run(read())


def types(events: list[NodeEvent]) -> list[str]:
    return [event.type for event in events]


def test_events_come_in_order_with_ids_that_grow_by_one() -> None:
    bus = EventBus()
    subscription = bus.subscribe(["*"])
    for number in range(5):
        bus.publish("agent.deployed", {"n": number})
    events = collect(bus, subscription)
    assert [event.data["n"] for event in events] == [0, 1, 2, 3, 4]
    assert [event.id - events[0].id for event in events] == [0, 1, 2, 3, 4]


def test_ids_grow_across_restarts() -> None:
    first = EventBus()
    first.publish("a", {})
    assert EventBus().last_id > first.last_id


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("agent.*", ["agent.deployed", "agent.stopped"]),
        ("message.dead", ["message.dead"]),
        ("*.d*", ["agent.deployed", "message.dead"]),
        ("AGENT.*", []),
    ],
)
def test_globs_choose(pattern: str, expected: list[str]) -> None:
    bus = EventBus()
    subscription = bus.subscribe([pattern])
    for name in ("agent.deployed", "agent.stopped", "message.dead"):
        bus.publish(name, {})
    assert types(collect(bus, subscription)) == expected


def test_a_reader_resumes_after_the_id_it_saw_last() -> None:
    bus = EventBus()
    for number in range(10):
        bus.publish("x", {"n": number})
    events = collect(bus, bus.subscribe(["x"], last_id=bus.last_id - 3))
    assert [event.data["n"] for event in events] == [7, 8, 9]


def test_what_is_no_longer_held_is_marked() -> None:
    bus = EventBus(ring_size=4)
    start = bus.last_id
    for number in range(10):
        bus.publish("x", {"n": number})
    events = collect(bus, bus.subscribe(["x"], last_id=start))
    assert types(events) == [LAGGED, "x", "x", "x", "x"]
    assert [event.data["n"] for event in events[1:]] == [6, 7, 8, 9]


def test_a_slow_reader_gets_what_is_queued_then_the_marker_then_the_end() -> None:
    bus = EventBus(queue_size=3)
    subscription = bus.subscribe(["*"])
    for number in range(10):
        bus.publish("x", {"n": number})
    events = collect(bus, subscription)
    assert types(events) == ["x", "x", "x", LAGGED]
    assert events[-1].data["last_id"] == events[2].id
    again = collect(bus, bus.subscribe(["*"], last_id=events[-1].data["last_id"]))
    assert [event.data["n"] for event in again] == [3, 4, 5, 6, 7, 8, 9]


def test_readers_that_left_get_nothing_and_cost_nothing() -> None:
    bus = EventBus()
    subscription = bus.subscribe(["*"])
    bus.unsubscribe(subscription)
    bus.unsubscribe(subscription)
    bus.publish("x", {})
    subscription.close()
    assert collect(bus, subscription) == []
    assert bus.subscribers == 0


def test_a_waiting_reader_is_woken() -> None:
    async def scene() -> list[Any]:
        bus = EventBus()
        subscription = bus.subscribe(["*"])
        reader = asyncio.ensure_future(anext(aiter(subscription)))
        await asyncio.sleep(0)
        assert not reader.done()
        bus.publish("x", {"n": 1})
        return [await asyncio.wait_for(reader, 5)]

    assert asyncio.run(scene())[0].data == {"n": 1}


@pytest.mark.parametrize("patterns", [[], [""], ["x"] * 33, ["x" * 129]])
def test_bad_patterns_are_refused(patterns: list[str]) -> None:
    with pytest.raises(CaxtonError) as caught:
        EventBus().subscribe(patterns)
    assert caught.value.code is Code.INVALID_REQUEST


@given(st.integers(1, 30), st.integers(1, 10), st.integers(-5, 40))
def test_resuming_never_skips_silently(published: int, held: int, seen: int) -> None:
    bus = EventBus(ring_size=held)
    start = bus.last_id
    for _ in range(published):
        bus.publish("x", {})
    events = collect(bus, bus.subscribe(["x"], last_id=start + seen))
    ids = [event.id for event in events if event.type == "x"]
    expected = list(range(start + max(seen, 0) + 1, start + published + 1))
    if ids != expected:
        assert events[0].type == LAGGED
        assert ids == expected[-held:]
