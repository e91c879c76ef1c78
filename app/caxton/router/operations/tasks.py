"""Tasks: create, show, list, cancel.

Owns the checks of a task that a client wants, and how tasks are shown. Must never say anything to a bidder.
"""

from __future__ import annotations

import time
from hashlib import blake2b
from typing import Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code, ErrorBody
from caxton.protocol.ids import is_uuid
from caxton.protocol.names import require_agent_name
from caxton.protocol.operations import Named
from caxton.protocol.talks import BidView, Select, TaskCreate, TaskListing, TaskView
from caxton.protocol.views import Page
from caxton.router.access.reach import EVERYTHING, Reach
from caxton.router.desk import Desk
from caxton.router.operations.conversations import read_seq, write_seq
from caxton.router.paging import check_limit
from caxton.router.readiness import require_accepting
from caxton.router.talks.tasks import CALLING, CANCELLED, STATES, conflict
from caxton.router.timing.times import rfc3339, rfc3339_or_none
from caxton.router.views import raw
from caxton.store import BidRow, TaskRow

LEAST_WORK_SECONDS: Final = 60.0
"""Without `finish_by` the work may take as long as the bids may, and at least this long."""
MAX_PRIORITY: Final = 10
_LATEST: Final = 4_000_000_000.0
_encoder: Final = msgspec.msgpack.Encoder()


async def create(desk: Desk, args: TaskCreate, reach: Reach = EVERYTHING) -> TaskView:
    """Calls for proposals; durable when answered. The same id with the same wish is the same task."""
    require_accepting(desk)
    if reach is not EVERYTHING:
        args = _within(args, reach)
    row = _row(args, time.time())
    known = await desk.read(desk.store.reader.talks.task, row.task_id)
    if known is None:
        _require_future(row)
        desk.core.talking.tasks.create(row)
        await desk.core.write_counts()
    elif known.digest != row.digest:
        raise conflict(row.task_id)
    return await get(desk, Named(row.task_id), reach)


async def get(desk: Desk, args: Named, reach: Reach = EVERYTHING) -> TaskView:
    """One task with its bids."""
    row = await desk.read(desk.store.reader.talks.task, args.name)
    if row is None or not reach.message(row.owner, row.capability):
        raise CaxtonError(
            Code.NOT_FOUND, f"no task has the id {args.name[:64]!r}, or it was forgotten", task_id=args.name[:64]
        )
    return _view(row, await desk.read(desk.store.reader.talks.bids, row.task_id), reach)


async def list_tasks(desk: Desk, args: TaskListing, reach: Reach = EVERYTHING) -> Page:
    """Tasks, newest first; bids are in the single view only."""
    if args.state is not None and args.state not in STATES:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"state: {args.state[:64]!r} is none",
            path="state",
            found=args.state[:64],
            expected=list(STATES),
        )
    rows, following = await desk.read(
        desk.store.reader.talks.tasks,
        state=args.state,
        capability=args.capability,
        before=read_seq(args.cursor),
        limit=check_limit(args.limit),
        extent=reach.extent,
    )
    return Page([_view(row, [], reach) for row in rows], write_seq(following))


async def cancel(desk: Desk, args: Named, reach: Reach = EVERYTHING) -> TaskView:
    """Ends a task that has not ended and tells its bidders; `CONFLICT` when it has ended otherwise."""
    await desk.core.write_counts()
    await get(desk, args, reach)
    if desk.core.talking.tasks.cancel(args.name):
        await desk.core.write_counts()
    view = await get(desk, args, reach)
    if view.state != CANCELLED:
        raise CaxtonError(Code.CONFLICT, f"the task has ended already: {view.state}", state=view.state)
    return view


def _within(args: TaskCreate, reach: Reach) -> TaskCreate:
    """The task as a caller who does not reach everything may want it: it is the caller's own."""
    if not reach.capability(args.capability):
        reach.forbid(f"the capability {args.capability[:128]!r}", path="capability")
    if args.select.chooser is not None:
        reach.require_agent(args.select.chooser)
    return msgspec.structs.replace(args, owner=reach.sender)


def _row(args: TaskCreate, now: float) -> TaskRow:
    """The task that is wanted, checked; or `INVALID_REQUEST`."""
    require_agent_name(args.capability, "capability")
    select = args.select
    if (select.field is None) is (select.chooser is None):
        raise _invalid("select", "one of field and chooser", msgspec.to_builtins(select))
    if select.chooser is not None:
        require_agent_name(select.chooser, "select.chooser")
    if not is_uuid(args.task_id):
        raise _invalid("task_id", "a UUID in canonical lower case", args.task_id[:64])
    if not 1 <= args.priority <= MAX_PRIORITY:
        raise _invalid("priority", f"1 to {MAX_PRIORITY}", args.priority)
    for path, at in (("reply_by", args.reply_by), ("finish_by", args.finish_by or 0.0)):
        if not 0 <= at <= _LATEST:  # NaN too, which no timer takes
            raise _invalid(path, "seconds since the epoch", repr(at))
    finish_by = args.finish_by or args.reply_by + max(args.reply_by - now, LEAST_WORK_SECONDS)
    if finish_by <= args.reply_by:
        raise _invalid("finish_by", "later than reply_by", rfc3339(finish_by))
    wish = (args.owner, args.capability, args.content, args.select, args.reply_by, args.finish_by, args.language)
    return TaskRow(
        task_id=args.task_id,
        state=CALLING,
        capability=args.capability,
        owner=args.owner,
        content=args.content,
        digest=blake2b(_encoder.encode(wish), digest_size=16).digest(),
        created_at=now,
        reply_by=args.reply_by,
        finish_by=finish_by,
        field=select.field,
        order=select.order,
        chooser=select.chooser,
        ontology=args.ontology,
        language=args.language,
        priority=args.priority,
        traceparent=args.traceparent,
    )


def _require_future(row: TaskRow) -> None:
    if row.reply_by <= row.created_at:
        raise _invalid("reply_by", "a time to come", rfc3339(row.reply_by))


def _invalid(path: str, expected: str, found: object) -> CaxtonError:
    return CaxtonError(
        Code.INVALID_REQUEST, f"{path}: {found!r}: expected {expected}", path=path, found=found, expected=expected
    )


def _view(row: TaskRow, bids: list[BidRow], reach: Reach) -> TaskView:
    bids = [bid for bid in bids if reach.inside(bid.agent)]
    winner = row.winner if row.winner is None or reach.inside(row.winner) else None
    return TaskView(
        task_id=row.task_id,
        state=row.state,
        capability=row.capability,
        owner=row.owner,
        content=raw(row.content),
        select=Select(row.field, row.order, row.chooser),
        created_at=rfc3339(row.created_at),
        reply_by=rfc3339(row.reply_by),
        finish_by=rfc3339(row.finish_by),
        finished_at=rfc3339_or_none(row.finished_at),
        winner=winner,
        result=msgspec.UNSET if row.result is None else raw(row.result),
        error=None if row.code is None else ErrorBody(Code(row.code), row.detail or row.code),
        bids=[BidView(bid.agent, bid.state, rfc3339(bid.at), bid.value, raw(bid.content)) for bid in bids],
    )
