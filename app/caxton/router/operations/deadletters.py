"""Dead letters: list, show, replay, purge.

Owns which messages an operation is about. Must never lose one that was not purged: what is replayed to another
agent is accepted there before it is forgotten here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import derived_id
from caxton.protocol.messages import Message, State
from caxton.protocol.operations import Affected, DeadPurge, DeadReplay, DeadReplayOne, Listing, Named
from caxton.protocol.requests import content
from caxton.protocol.views import MessageView, Page
from caxton.router.access.reach import EVERYTHING, Reach
from caxton.router.desk import Desk, require_known
from caxton.router.operations.messages import find, unknown
from caxton.router.paging import check_limit
from caxton.router.readiness import require_accepting
from caxton.router.versions.replays import replay_at
from caxton.router.views import message_view

CHUNK: Final = 500
MOST_AT_ONCE: Final = 100_000
_T = TypeVar("_T")


async def list_dead(desk: Desk, args: Listing, reach: Reach = EVERYTHING) -> Page:
    """Dead letters, newest first, by agent."""
    found = await desk.read(
        desk.store.reader.dead,
        agent=args.name,
        limit=check_limit(args.limit),
        cursor=args.cursor,
        extent=reach.extent,
    )
    ids = [row.message.message_id for row in found.rows]
    holding = {row.message_id for row in await desk.read(desk.store.reader.held_by, ids)}
    views = [message_view(row, []) for row in found.rows]
    return Page([_marked(view, holding) for view in views], found.next_cursor)


async def get(desk: Desk, args: Named, reach: Reach = EVERYTHING) -> MessageView:
    """One dead letter with all its attempts."""
    view = await find(desk, args.name, reach)
    if view.state != State.DEAD:
        raise unknown(args.name)
    held = await desk.read(desk.store.reader.held_by, [view.message_id])
    return _marked(view, {row.message_id for row in held})


def _marked(view: MessageView, holding: set[str]) -> MessageView:
    return msgspec.structs.replace(view, holds_conversation=view.message_id in holding)


async def replay(desk: Desk, args: DeadReplay, reach: Reach = EVERYTHING) -> Affected:
    """Dead letters are pending again, in their own mailbox or in that of `to`; `version` handles them there."""
    require_accepting(desk)
    if args.agent is not None and args.to is None:
        _require_agent(desk, args.agent, reach)
    ids = await _ids(desk, args.message_ids, args.agent, reach, everything=False)
    if args.version is not None:
        return Affected(await replay_at(desk, ids, args.version, reach) if ids else 0)
    if args.to is not None:
        _require_agent(desk, args.to, reach)
    count = 0
    for chunk in _chunks(ids, CHUNK):
        count += await (desk.core.revive(chunk) if args.to is None else _move(desk, chunk, args.to))
    return Affected(count)


async def replay_one(desk: Desk, args: DeadReplayOne, reach: Reach = EVERYTHING) -> Affected:
    """One dead letter is pending again, with other content if that is given; `CONFLICT` where it cannot be."""
    require_accepting(desk)
    letter = await get(desk, Named(args.message_id), reach)
    if args.content is not None:
        content(msgspec.Raw(args.content), letter.language, desk.config.messaging.max_message_size)
    if args.to is None:
        count = await desk.core.revive([args.message_id], args.content)
    else:
        _require_agent(desk, args.to, reach)
        count = await _move(desk, [args.message_id], args.to, args.content)
    if count == 0:
        raise CaxtonError(
            Code.CONFLICT,
            "the dead letter could not be replayed: its agent is gone or does not take it, or retention took its "
            "content; start the agent, or name another with `to`",
            message_id=args.message_id,
        )
    desk.events.publish("message.replayed", {"message_id": args.message_id, "edited": args.content is not None})
    return Affected(count)


async def skip(desk: Desk, args: Named, reach: Reach = EVERYTHING) -> Affected:
    """The conversation that waits for a dead letter goes on without it; `CONFLICT` when none does."""
    mine = await _in_reach(desk, [args.name], reach)
    count = await desk.core.holds.skip(args.name) if mine else 0
    if count == 0:
        raise CaxtonError(Code.CONFLICT, "no conversation waits for this dead letter", message_id=args.name[:64])
    desk.events.publish("message.skipped", {"message_id": args.name})
    return Affected(count)


async def purge(desk: Desk, args: DeadPurge, reach: Reach = EVERYTHING) -> Affected:
    """Dead letters are forgotten; the counters stay. `everything` is everything in reach."""
    ids = await _ids(desk, args.message_ids, args.agent, reach, everything=args.everything)
    count = 0
    for chunk in _chunks(ids, CHUNK):
        count += await desk.core.holds.forget(chunk)
    return Affected(count)


async def _ids(desk: Desk, message_ids: list[str], agent: str | None, reach: Reach, *, everything: bool) -> list[str]:
    if message_ids:
        return await _in_reach(desk, list(dict.fromkeys(message_ids)), reach)
    if agent is None and not everything:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            "say which dead letters: message_ids, or agent",
            path="message_ids",
            expected="message_ids or agent",
        )
    return await desk.read(desk.store.reader.dead_ids, agent, limit=MOST_AT_ONCE, extent=reach.extent)


async def _in_reach(desk: Desk, message_ids: list[str], reach: Reach) -> list[str]:
    """Those of these messages that exist for the caller."""
    if reach is EVERYTHING:
        return message_ids
    parties = await desk.read(desk.store.reader.parties, message_ids)
    return [one for one in message_ids if one in parties and reach.message(*parties[one])]


def _require_agent(desk: Desk, name: str, reach: Reach) -> None:
    reach.require_agent(name)
    require_known(desk, name)


async def _move(desk: Desk, ids: list[str], to: str, edited: bytes | None = None) -> int:
    """Accepted at `to` under ids of their own, so that a crash before the second commit moves nothing twice."""
    copies: dict[str, Message] = {}
    for message_id in ids:
        row = await desk.read(desk.store.reader.message, message_id)
        if row is not None and row.state is State.DEAD and not row.content_dropped:
            new_id = derived_id(message_id, 0, to.encode() + (edited or b""))
            copies[message_id] = msgspec.structs.replace(
                row.message,
                message_id=new_id,
                receiver=to,
                reply_by=None,
                content=row.message.content if edited is None else edited,
            )
    if not copies:
        return 0
    answers = await desk.core.submit(list(copies.values()))
    moved = [old for old, answer in zip(copies, answers, strict=True) if answer.error is None]
    if moved:
        await desk.core.holds.forget(moved)
    return len(moved)


def _chunks(items: list[_T], size: int) -> Iterator[list[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
