"""The node: ledger, readiness, events, jobs, log level, clean-up.

Owns what is shown about the node as a whole. Must never touch a message.
"""

from __future__ import annotations

import logging
from typing import Final

from caxton.protocol.access import Caller, Permission
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Affected, Events, Named, Nothing, SetLogLevel
from caxton.protocol.views import Counts, JobView, Ledger, LedgerRow, Readiness
from caxton.router import readiness, retention
from caxton.router.access.reach import EVERYTHING, Reach
from caxton.router.connection import Sink
from caxton.router.desk import Desk
from caxton.router.jobs import job_view
from caxton.telemetry import set_level

LEVELS: Final = {"debug", "info", "warning", "error", "critical"}

log = logging.getLogger(__name__)


async def ledger(desk: Desk, _: Nothing, reach: Reach = EVERYTHING) -> Ledger:
    """The accounting of every agent that ever took a message, and their sum; of those in reach."""
    await desk.core.write_counts()
    counted = await desk.read(desk.store.reader.ledger)
    rows = [_row(name, counts, desk.core.counts(name).in_flight) for name, counts in sorted(counted.items())]
    rows = [row for row in rows if reach.agent(row.name)]
    return Ledger(total(reach.namespace or desk.node, rows), rows)


def _row(name: str, counts: Counts, running: int) -> LedgerRow:
    """What is in flight is pending on disk; ephemeral messages in flight are on no side of the books yet."""
    in_flight = min(running, counts.pending)
    return LedgerRow(
        name=name,
        accepted=counts.accepted,
        done=counts.done,
        dead=counts.dead,
        expired=counts.expired,
        cancelled=counts.cancelled,
        pending=counts.pending - in_flight,
        in_flight=in_flight,
        forwarded=counts.forwarded,
        imbalance=counts.imbalance,
    )


def total(name: str, rows: list[LedgerRow]) -> LedgerRow:
    """The sum of accounts, called `name`."""
    return LedgerRow(
        name=name,
        accepted=sum(row.accepted for row in rows),
        done=sum(row.done for row in rows),
        dead=sum(row.dead for row in rows),
        expired=sum(row.expired for row in rows),
        cancelled=sum(row.cancelled for row in rows),
        pending=sum(row.pending for row in rows),
        in_flight=sum(row.in_flight for row in rows),
        forwarded=sum(row.forwarded for row in rows),
        imbalance=sum(row.imbalance for row in rows),
    )


async def ready(desk: Desk, _: Nothing) -> Readiness:
    """Whether the node takes work."""
    return readiness.readiness(desk)


_NEEDS: Final = {"secret": Permission.DEPLOY, "key": Permission.ADMINISTER, "token": Permission.ADMINISTER}
"""What else it takes to see events of these kinds: the same as to list what they are about."""


async def events(desk: Desk, args: Events, sink: Sink, caller: Caller, reach: Reach = EVERYTHING) -> Nothing:
    """Events as they happen, until the caller hangs up, lags behind, or the router stops; those in reach."""

    def permitted(event_type: str) -> bool:
        return caller.may(_NEEDS.get(event_type.partition(".")[0], Permission.READ))

    subscription = desk.events.subscribe(args.patterns, args.last_id, reach.event, permitted)
    try:
        if args.beginning:
            await sink.put(desk.events.beginning())
        async for event in subscription:
            await sink.put(event)
    finally:
        desk.events.unsubscribe(subscription)
    return Nothing()


async def job(desk: Desk, args: Named, reach: Reach = EVERYTHING) -> JobView:
    """One job, for 24 hours after its end."""
    row = desk.jobs.row(args.name) or await desk.read(desk.store.reader.job, args.name)
    if row is None or not (reach is EVERYTHING or reach.message(row.sender or "", row.about or "")):
        raise CaxtonError(Code.JOB_NOT_FOUND, f"no job has the id {args.name[:64]!r}, or it was forgotten")
    return job_view(row)


async def log_level(desk: Desk, args: SetLogLevel) -> Nothing:
    """Changes the log level until the next restart."""
    level = args.level.lower()
    if level not in LEVELS:
        raise CaxtonError(
            Code.INVALID_REQUEST, f"level: {args.level[:32]!r} is none", path="level", expected=sorted(LEVELS)
        )
    set_level(level)
    log.warning("log level is now %s", level)
    return Nothing()


async def gc(desk: Desk, _: Nothing) -> Affected:
    """Forgets now what may be forgotten, instead of at the next interval; answers how many rows and files."""
    return Affected(await retention.sweep(desk))
