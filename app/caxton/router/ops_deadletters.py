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
from caxton.protocol.operations import Affected, DeadPurge, DeadReplay, Listing, Named
from caxton.protocol.views import MessageView, Page
from caxton.router.desk import Desk
from caxton.router.ops_messages import find, unknown
from caxton.router.paging import check_limit
from caxton.router.readiness import require_accepting
from caxton.router.replays import replay_at
from caxton.router.views import message_view
from caxton.store import Changes

CHUNK: Final = 500
MOST_AT_ONCE: Final = 100_000
_T = TypeVar("_T")


async def list_dead(desk: Desk, args: Listing) -> Page:
    """Dead letters, newest first, by agent."""
    found = await desk.read(
        desk.store.reader.dead, agent=args.name, limit=check_limit(args.limit), cursor=args.cursor
    )
    return Page([message_view(row, []) for row in found.rows], found.next_cursor)


async def get(desk: Desk, args: Named) -> MessageView:
    """One dead letter with all its attempts."""
    view = await find(desk, args.name)
    if view.state != State.DEAD:
        raise unknown(args.name)
    return view


async def replay(desk: Desk, args: DeadReplay) -> Affected:
    """Dead letters are pending again, in their own mailbox or in that of `to`; `version` handles them there."""
    require_accepting(desk)
    if args.agent is not None and args.to is None:
        desk.registry.require(args.agent)
    ids = await _ids(desk, args.message_ids, args.agent, everything=False)
    if args.version is not None:
        return Affected(await replay_at(desk, ids, args.version) if ids else 0)
    if args.to is not None:
        desk.registry.require(args.to)
    count = 0
    for chunk in _chunks(ids, CHUNK):
        count += await (desk.core.revive(chunk) if args.to is None else _move(desk, chunk, args.to))
    return Affected(count)


async def purge(desk: Desk, args: DeadPurge) -> Affected:
    """Dead letters are forgotten; the counters stay."""
    ids = await _ids(desk, args.message_ids, args.agent, everything=args.everything)
    count = 0
    for chunk in _chunks(ids, CHUNK):
        result = await desk.core.commit(Changes(forget=chunk))
        count += sum(message_id not in result.missed for message_id in chunk)
    return Affected(count)


async def _ids(desk: Desk, message_ids: list[str], agent: str | None, *, everything: bool) -> list[str]:
    if message_ids:
        return list(dict.fromkeys(message_ids))
    if agent is None and not everything:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            "say which dead letters: message_ids, or agent",
            path="message_ids",
            expected="message_ids or agent",
        )
    return await desk.read(desk.store.reader.dead_ids, agent, limit=MOST_AT_ONCE)


async def _move(desk: Desk, ids: list[str], to: str) -> int:
    """Accepted at `to` under ids of their own, so that a crash before the second commit moves nothing twice."""
    copies: dict[str, Message] = {}
    for message_id in ids:
        row = await desk.read(desk.store.reader.message, message_id)
        if row is not None and row.state is State.DEAD and not row.content_dropped:
            new_id = derived_id(message_id, 0, to.encode())
            copies[message_id] = msgspec.structs.replace(row.message, message_id=new_id, receiver=to, reply_by=None)
    if not copies:
        return 0
    answers = await desk.core.submit(list(copies.values()))
    moved = [old for old, answer in zip(copies, answers, strict=True) if answer.error is None]
    if moved:
        await desk.core.commit(Changes(forget=moved))
    return len(moved)


def _chunks(items: list[_T], size: int) -> Iterator[list[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
