"""When schedules are due: time zones, clocks that are put forward and back, jitter, what was missed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from caxton.protocol.agents import AgentConfig, EffectiveLimits, Instance, Misfire, ModuleInfo, Retry, Schedule, Shape
from caxton.protocol.errors import CaxtonError
from caxton.router.agents import Agent
from caxton.router.rows import agent_of, agent_row
from caxton.router.timing.cron import MOST_AT_ONCE, check_schedules, due_times, jitter_of, next_due, to_send
from caxton.store import AgentRow

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = BERLIN) -> float:
    """Wall time of a zone, or an instant with its offset."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp()


def schedule(cron: str, **fields: Any) -> Schedule:
    return Schedule("s", cron, fields.pop("time_zone", BERLIN), **fields)


@pytest.mark.parametrize(
    ("cron", "after", "until", "expected"),
    [
        # 29 March 2026: 02:00 becomes 03:00. What falls into the hour that is left out runs right after it, once.
        ("30 2 * * *", "2026-03-28T12:00", "2026-03-30T12:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]),
        ("30 * * * *", "2026-03-29T01:00", "2026-03-29T04:00", ["2026-03-29T01:30+01:00", "2026-03-29T03:30+02:00"]),
        # 25 October 2026: 03:00 becomes 02:00. A time of day comes once, an interval in both hours.
        ("30 2 * * *", "2026-10-24T12:00", "2026-10-26T12:00", ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        ("30 * * * *", "2026-10-25T02:00+02:00", "2026-10-25T03:00+01:00",
         ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"]),
        ("0 9 * * MON-FRI", "2026-11-27T10:00", "2026-12-01T10:00", ["2026-11-30T09:00", "2026-12-01T09:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00", "2030-01-01T00:00", ["2028-02-29T00:00"]),
    ],
)  # fmt: skip
def test_due_times_follow_the_wall_clock(cron: str, after: str, until: str, expected: list[str]) -> None:
    assert due_times(schedule(cron), at(after), at(until)) == [at(text) for text in expected]


@pytest.mark.parametrize("start", ["2026-03-28T20:00+01:00", "2026-10-24T20:00+02:00"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 * * * *", "15 */2 * * *", "0 1-3 * * *"])
def test_looking_every_minute_finds_each_due_time_once(cron: str, start: str) -> None:
    begin, one = at(start), schedule(cron)
    end, mark, found = begin + 12 * 3600, begin, []
    for now in range(int(begin), int(end) + 1, 60):
        for due in due_times(one, mark, float(now)):
            assert now - due < 60
            found.append(due)
            mark = due
    assert found == due_times(one, begin, end)
    assert len(set(found)) == len(found)


def test_of_too_many_the_newest_are_taken() -> None:
    until = at("2026-11-26T12:00:30")
    found = due_times(schedule("* * * * *"), until - 400 * 86_400, until)
    assert len(found) == MOST_AT_ONCE
    assert found[-1] == at("2026-11-26T12:00")
    assert found[0] == at("2026-11-26T12:00") - 60 * (MOST_AT_ONCE - 1)


def test_jitter_is_bounded_and_always_the_same() -> None:
    one = schedule("* * * * *", jitter_seconds=30)
    delays = [jitter_of(one, "agent", 60.0 * minute) for minute in range(200)]
    assert delays == [jitter_of(one, "agent", 60.0 * minute) for minute in range(200)]
    assert 0 <= min(delays) < 5
    assert 25 < max(delays) < 30


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [(Misfire.SKIP, [960.0]), (Misfire.ONCE, [900.0, 960.0]), (Misfire.ALL, [840.0, 900.0, 960.0])],
)
def test_what_was_missed_is_skipped_sent_once_or_sent_all(misfire: Misfire, expected: list[float]) -> None:
    assert to_send(schedule("* * * * *", misfire=misfire), [840.0, 900.0, 960.0], 980.0, "agent") == expected


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"cron": "* * * *  "}, "schedules[0].cron"),
        ({"cron": "* * * * * *"}, "schedules[0].cron"),
        ({"cron": "61 * * * *"}, "schedules[0].cron"),
        ({"cron": "0 0 30 2 *"}, "schedules[0].cron"),
        ({"cron": "@every 1h"}, "schedules[0].cron"),
        ({"time_zone": "Mars/Olympus"}, "schedules[0].time_zone"),
        ({"time_zone": "../etc/passwd"}, "schedules[0].time_zone"),
        ({"content": "x" * 2_000}, "schedules[0].content"),
    ],
)
def test_what_is_no_schedule_is_refused_with_its_place(fields: dict[str, Any], path: str) -> None:
    one = Schedule(**{"name": "s", "cron": "0 * * * *", **fields})
    with pytest.raises(CaxtonError) as caught:
        check_schedules([one], 1_000)
    assert (caught.value.code, caught.value.details["path"]) == ("INVALID_REQUEST", path)


def test_two_schedules_have_two_names() -> None:
    with pytest.raises(CaxtonError) as caught:
        check_schedules([schedule("0 * * * *"), schedule("1 * * * *")], 1_000)
    assert caught.value.details["path"] == "schedules[1].name"
    assert next_due(schedule("0 * * * *"), at("2026-11-26T12:00")) == at("2026-11-26T13:00")


def test_a_release_without_schedules_can_read_the_agents_of_this_one() -> None:
    """Going back needs no restore: what configurations of schema 1 did not have is kept beside them."""
    retry = Retry(max_deliveries=2, jitter=0.5, on_dead="hold")
    config = AgentConfig(name="a", retry=retry, schedules=[schedule("0 * * * *")])
    module = ModuleInfo("00", 1, Shape.REACTOR, [], [], 1, 1, None, 0.0)
    agent = Agent("a", "id", 1, config, module, EffectiveLimits(), Shape.REACTOR, Instance.PERSISTENT, 1, 0.0)
    row = agent_row(agent)
    written = msgspec.json.decode(msgspec.json.encode(row))["config"]
    assert "schedules" not in written
    assert written["retry"] == {"max_deliveries": 2}
    assert agent_of(msgspec.json.decode(msgspec.json.encode(row), type=AgentRow), 0).config == config
