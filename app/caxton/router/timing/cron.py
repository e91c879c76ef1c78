"""When a schedule is due: cron expressions in their time zones, and what was missed.

Owns the arithmetic, and the checks at deployment. Pure: must never read a clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from hashlib import blake2b
from itertools import islice, takewhile
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from caxton.protocol.agents import Misfire, Schedule
from caxton.protocol.errors import CaxtonError, Code

MOST_AT_ONCE: Final = 100
"""Due times that are caught up at most, the newest of those missed."""
GRACE_SECONDS: Final = 60.0
"""How late a message may be sent without counting as missed."""
_FIELDS: Final = 5
_SHIFT_SECONDS: Final = 3 * 3600  # more than any clock is ever put back for the summer


def due_times(schedule: Schedule, after: float, until: float) -> list[float]:
    """The due times in (after, until], ascending; of more than `MOST_AT_ONCE` the newest."""
    found = list(islice(takewhile(lambda due: due <= until, _forward(schedule, after)), MOST_AT_ONCE + 1))
    if len(found) <= MOST_AT_ONCE:
        return found
    newest = islice((due for due in _backward(schedule, until + _SHIFT_SECONDS) if due <= until), MOST_AT_ONCE)
    return sorted(due for due in newest if due > after)


def next_due(schedule: Schedule, after: float) -> float | None:
    """The first due time after `after`; None when there is none for decades."""
    return next(_forward(schedule, after), None)


def jitter_of(schedule: Schedule, agent_id: str, due: float) -> float:
    """Seconds by which the message of a due time is late: the same whenever it is asked."""
    if not schedule.jitter_seconds:
        return 0.0
    digest = blake2b(f"{agent_id}:{schedule.name}:{due:.0f}".encode(), digest_size=4).digest()
    return schedule.jitter_seconds * int.from_bytes(digest, "big") / 2**32


def to_send(schedule: Schedule, ripe: list[float], now: float, agent_id: str) -> list[float]:
    """Which of the due times that are ripe get a message, by the schedule's misfire policy."""
    limit = now - GRACE_SECONDS
    late = [due for due in ripe if due + jitter_of(schedule, agent_id, due) < limit]
    if schedule.misfire is Misfire.SKIP:
        kept: list[float] = []
    elif schedule.misfire is Misfire.ONCE:
        kept = late[-1:]
    else:
        kept = late
    return kept + ripe[len(late) :]


def check_schedules(schedules: list[Schedule], max_bytes: int) -> None:
    """`INVALID_REQUEST` with the path of what is no schedule."""
    names = [schedule.name for schedule in schedules]
    for index, schedule in enumerate(schedules):
        path = f"schedules[{index}]"
        if names.index(schedule.name) != index:
            raise _invalid(f"{path}.name", schedule.name, "a name of its own", "two schedules have one name")
        try:
            ZoneInfo(schedule.time_zone)
        except (ValueError, OSError, KeyError):
            raise _invalid(
                f"{path}.time_zone", schedule.time_zone, "an IANA name such as Europe/Berlin", "no such time zone"
            ) from None
        _check_cron(f"{path}.cron", schedule)
        size = len(msgspec.json.encode(schedule.content)) if schedule.content is not msgspec.UNSET else 0
        if size > max_bytes:
            raise _invalid(f"{path}.content", size, max_bytes, "too large (bytes)")


def _check_cron(path: str, schedule: Schedule) -> None:
    expected = "minute, hour, day of month, month, day of week, such as 30 6 * * MON-FRI"
    if len(schedule.cron.split()) != _FIELDS:
        raise _invalid(path, schedule.cron, expected, "five fields are needed")
    try:
        never = next_due(schedule, 0.0) is None
    except (CronSimError, ValueError) as error:
        raise _invalid(path, schedule.cron, expected, str(error)) from None
    if never:
        raise _invalid(path, schedule.cron, "a day that comes", "it is never due")


def _forward(schedule: Schedule, after: float) -> Iterator[float]:
    start = datetime.fromtimestamp(after, ZoneInfo(schedule.time_zone))
    for moment in CronSim(schedule.cron, start):
        due = moment.timestamp()
        if due > after:  # where a clock is put back, the wall clock alone does not say that
            yield due


def _backward(schedule: Schedule, before: float) -> Iterator[float]:
    start = datetime.fromtimestamp(before, ZoneInfo(schedule.time_zone))
    return (moment.timestamp() for moment in CronSim(schedule.cron, start, reverse=True))


def _invalid(path: str, found: object, expected: object, reason: str) -> CaxtonError:
    return CaxtonError(
        Code.INVALID_REQUEST, f"{path}: {reason} (found {found!r})", path=path, found=found, expected=expected
    )
