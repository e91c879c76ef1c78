"""Messages by the calendar: one accepted message for each due time of a schedule.

Owns when the next look at each schedule is due. A message and the mark that its due time is accounted for are one
commit, and marks never go back: neither a crash nor a clock that jumps sends anything twice. Must never judge what
was missed (`calendar` does).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

from caxton.protocol.agents import Schedule
from caxton.router.boxes import Box
from caxton.router.commits import Commits
from caxton.router.intake import DURABLE, Intake
from caxton.router.replies import scheduled_message
from caxton.router.timing.cron import due_times, jitter_of, next_due, to_send
from caxton.store import ScheduleMark
from caxton.store.reader import Reader

LOOK_SECONDS: Final = 30.0
"""The wall clock may be set: look again at least this often."""
FULL_SECONDS: Final = 5.0
"""When to try again while the agent's mailbox has no room."""


@dataclass(slots=True, eq=False)
class Clock:
    """One schedule of one agent. Everything due up to `mark` is accounted for; `fires` = when to look again."""

    box: Box
    schedule: Schedule
    mark: float
    next_due: float | None
    fires: float
    last_due: float | None


class Schedules:
    """The schedules of all agents whose mailboxes are open."""

    def __init__(
        self, commits: Commits, intake: Intake, reader: Reader, emit: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._commits = commits
        self._intake = intake
        self._reader = reader
        self._emit = emit
        self._clocks: dict[str, list[Clock]] = {}
        self._handle: asyncio.Handle | None = None
        self.counts = Counter({"sent": 0, "skipped": 0})

    def attach(self, box: Box) -> None:
        """The agent's mailbox is open: what was missed meanwhile is sent, by the policy of each schedule."""
        agent = box.agent
        before = self._clocks.pop(agent.name, [])
        if not agent.config.schedules:
            return
        marks = {row.name: row.due for row in self._reader.schedule_marks(agent.name)}
        marks |= {clock.schedule.name: clock.mark for clock in before}
        clocks = []
        for schedule in agent.config.schedules:
            last = marks.get(schedule.name)
            clock = Clock(box, schedule, max(last or 0.0, agent.deployed_at), None, 0.0, last)
            self._plan(clock)
            clocks.append(clock)
        self._clocks[agent.name] = clocks
        self.stop()
        self._handle = self._loop.call_soon(self._ring)

    def replace(self, box: Box) -> None:
        """Another version serves: its schedules hold, and those that are new begin now."""
        agent, now = box.agent, time.time()
        known = {row.name for row in self._reader.schedule_marks(agent.name)}
        fresh = [one for one in agent.config.schedules or [] if one.name not in known]
        self._commits.changes.schedule_marks.extend(ScheduleMark(agent.name, one.name, now) for one in fresh)
        self.attach(box)
        for clock in self.of(agent.name):
            if clock.schedule in fresh:
                clock.mark = max(clock.mark, now)
                self._plan(clock)

    def forget(self, agent: str) -> None:
        """The agent takes no messages now; its marks stay on disk."""
        self._clocks.pop(agent, None)

    def of(self, agent: str) -> list[Clock]:
        """The schedules of an agent."""
        return self._clocks.get(agent, [])

    def stop(self) -> None:
        """Nothing is sent any more."""
        if self._handle is not None:
            self._handle.cancel()

    def _ring(self) -> None:
        if self._commits.failed is not None:
            return
        now = time.time()
        for clocks in list(self._clocks.values()):
            for clock in clocks:
                if clock.fires <= now:
                    self._fire(clock, now)
        self._arm()

    def _arm(self) -> None:
        self.stop()
        if self._clocks:
            soonest = min(clock.fires for clocks in self._clocks.values() for clock in clocks)
            wait = min(max(soonest - time.time(), 0.001), LOOK_SECONDS)
            self._handle = self._loop.call_later(wait, self._ring)

    def _fire(self, clock: Clock, now: float) -> None:
        box, schedule = clock.box, clock.schedule
        agent_id = box.agent.agent_id
        due = due_times(schedule, clock.mark, now)
        ripe = list(takewhile(lambda one: one + jitter_of(schedule, agent_id, one) <= now, due))
        if ripe:
            if not self._intake.has_room(box):
                clock.fires = now + FULL_SECONDS
                return
            self._send(clock, ripe, to_send(schedule, ripe, now, agent_id))
        self._plan(clock)

    def _send(self, clock: Clock, ripe: list[float], wanted: list[float]) -> None:
        box, schedule = clock.box, clock.schedule
        clock.mark = clock.last_due = ripe[-1]
        self._commits.changes.schedule_marks.append(ScheduleMark(box.agent.name, schedule.name, clock.mark))
        for due in wanted:
            message = scheduled_message(box.agent.name, box.agent.agent_id, schedule, due)
            if message.message_id not in self._intake.live:
                self._intake.enter(box, message, DURABLE)
        self.counts["sent"] += len(wanted)
        self.counts["skipped"] += len(ripe) - len(wanted)
        if len(wanted) < len(ripe):
            missed = len(ripe) - len(wanted)
            self._emit("schedule.missed", {"name": box.agent.name, "schedule": schedule.name, "count": missed})

    def _plan(self, clock: Clock) -> None:
        due = clock.next_due = next_due(clock.schedule, clock.mark)
        if due is None:
            clock.fires = float("inf")
        else:
            clock.fires = due + jitter_of(clock.schedule, clock.box.agent.agent_id, due)
