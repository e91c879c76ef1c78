"""Conversations: list those that follow a protocol, show any as a timeline.

Owns how they are looked up and shown. Must never move one.
"""

from __future__ import annotations

from typing import Final

from caxton.protocol import fipa
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Listing
from caxton.protocol.talks import ConversationListing, ConversationView, TalkView
from caxton.protocol.views import Page
from caxton.router.access.reach import EVERYTHING, Reach
from caxton.router.desk import Desk
from caxton.router.paging import check_limit, read_cursor, write_cursor
from caxton.router.timing.times import rfc3339, rfc3339_or_none
from caxton.router.views import message_view
from caxton.store import ConversationRow

NEWEST: Final = 2**63 - 1


async def list_conversations(desk: Desk, args: ConversationListing, reach: Reach = EVERYTHING) -> Page:
    """Conversations that follow a protocol, newest first: one for every two parties."""
    _require_known("protocol", args.protocol, list(fipa.PROTOCOLS))
    _require_known("state", args.state, sorted(fipa.STATES))
    found = await desk.read(
        desk.store.reader.talks.conversations,
        protocol=args.protocol,
        state=args.state,
        agent=args.agent,
        open_only=args.open,
        before=read_seq(args.cursor),
        limit=check_limit(args.limit),
        extent=reach.extent,
    )
    return Page([talk_view(row) for row in found.rows], write_seq(found.next_cursor))


async def get(desk: Desk, args: Listing, reach: Reach = EVERYTHING) -> ConversationView:
    """Everything that was said in a conversation, and where its protocols are."""
    conversation_id = args.conversation_id or ""
    standings = await desk.read(desk.store.reader.talks.conversation, conversation_id)
    rows = [row for row in standings if reach.agent(row.initiator) or reach.agent(row.participant)]
    found = await desk.read(
        desk.store.reader.messages,
        conversation_id=conversation_id,
        limit=check_limit(args.limit),
        cursor=args.cursor,
        extent=reach.extent,
    )
    if not rows and not found.rows:
        raise CaxtonError(
            Code.NOT_FOUND,
            f"nothing was said in a conversation {conversation_id[:128]!r}, or it was forgotten",
            conversation_id=conversation_id[:128],
        )
    messages = [
        message_view(row, [], in_flight=desk.core.in_flight(row.message.message_id)) for row in reversed(found.rows)
    ]
    return ConversationView(conversation_id, [talk_view(row) for row in rows], messages, found.next_cursor)


def talk_view(row: ConversationRow) -> TalkView:
    """One standing as clients see it."""
    return TalkView(
        conversation_id=row.conversation_id,
        protocol=row.protocol,
        initiator=row.initiator,
        participant=row.participant,
        state=row.state,
        message_id=row.message_id,
        steps=row.steps,
        started_at=rfc3339(row.started_at),
        updated_at=rfc3339(row.updated_at),
        allowed=fipa.allowed(row.protocol, row.state),
        deadline=rfc3339_or_none(row.deadline),
        ended_at=rfc3339_or_none(row.ended_at),
    )


def read_seq(cursor: str | None) -> int:
    """Where a page begins, by a cursor of `write_seq`."""
    position = read_cursor(cursor, int)
    return NEWEST if position is None else min(int(position[0]), NEWEST)


def write_seq(seq: int | str | None) -> str | None:
    """A cursor for a list that goes by number; None stays None: the end."""
    return None if seq is None else write_cursor(int(seq))


def _require_known(path: str, found: str | None, known: list[str]) -> None:
    if found is not None and found not in known:
        raise CaxtonError(
            Code.INVALID_REQUEST, f"{path}: {found[:64]!r} is none", path=path, found=found[:64], expected=known
        )
