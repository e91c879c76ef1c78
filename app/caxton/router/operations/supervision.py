"""What an agent's calendar holds, and what it asked of the outside.

Owns these two lists. Must never change anything.
"""

from __future__ import annotations

from caxton.protocol.agents import Schedule
from caxton.protocol.operations import Listing, Named
from caxton.protocol.views import Page
from caxton.protocol.views_supervision import HttpCallView, ScheduleView
from caxton.router.desk import Desk
from caxton.router.paging import check_limit
from caxton.router.timing.times import rfc3339, rfc3339_or_none
from caxton.store import HttpCallRow


async def schedules(desk: Desk, args: Named) -> Page:
    """All schedules of an agent, in the order of its deployment."""
    agent = desk.registry.require(args.name)
    marks = {row.name: row.due for row in await desk.read(desk.store.reader.schedule_marks, agent.name)}
    due = {clock.schedule.name: clock.next_due for clock in desk.core.schedules.of(agent.name)}
    return Page([_schedule(one, due.get(one.name), marks.get(one.name)) for one in agent.config.schedules or []])


async def http_calls(desk: Desk, args: Listing) -> Page:
    """An agent's outbound HTTP calls, newest first; the last 1,000 are kept."""
    agent = desk.registry.require(args.name or "")
    read = desk.store.reader.http_calls
    found = await desk.read(read, agent.name, limit=check_limit(args.limit), cursor=args.cursor)
    return Page([_http_call(row) for row in found.rows], found.next_cursor)


def _schedule(schedule: Schedule, due: float | None, last: float | None) -> ScheduleView:
    return ScheduleView(
        schedule.name,
        schedule.cron,
        schedule.time_zone,
        schedule.jitter_seconds,
        schedule.misfire.value,
        rfc3339_or_none(due),
        rfc3339_or_none(last),
    )


def _http_call(row: HttpCallRow) -> HttpCallView:
    return HttpCallView(
        at=rfc3339(row.at),
        execution_id=row.execution_id,
        message_id=row.message_id,
        method=row.method,
        url=row.url,
        duration_seconds=row.duration_seconds,
        request_bytes=row.request_bytes,
        response_bytes=row.response_bytes,
        redirects=row.redirects,
        idempotency_key=row.idempotency_key,
        status=row.status,
        address=row.address,
        sha256=row.digest,
        error=row.error,
    )
