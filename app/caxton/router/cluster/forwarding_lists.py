"""One list out of those of all nodes, page by page.

Owns the merging, and cursors that say how far each node's list was shown. Must never order what a node has ordered
otherwise than that node: lists are merged, not sorted.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Any, Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import State
from caxton.protocol.views import Page
from caxton.router.cluster.places import is_unreachable

Ask = Callable[[str, Any], Awaitable[bytes]]
"""The JSON of one node's page, for these arguments."""
MAX_CURSOR_LENGTH: Final = 65_536
_LONGEST_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class Order:
    """`key` is the field that lists are ordered by, the newest first where `descending`; `identity`: of one item."""

    key: str
    identity: str
    descending: bool = True
    everywhere: bool = False
    """The cursor is a name: it means the same on every node."""


ORDERS: Final[dict[str, Order]] = {
    "agent.list": Order("name", "name", descending=False, everywhere=True),
    "message.list": Order("accepted_at", "message_id"),
    "dead.list": Order("accepted_at", "message_id"),
    "conversation.list": Order("updated_at", "conversation_id"),
    "task.list": Order("created_at", "task_id"),
}


class GatheredPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A `Page`, and the nodes whose part is missing in it."""

    items: list[Any]
    next_cursor: str | None
    unreachable: list[str] = []


class _Part(msgspec.Struct):
    items: list[msgspec.Raw]
    next_cursor: str | None = None


_part: Final = msgspec.json.Decoder(_Part).decode
_cursors: Final = msgspec.msgpack.Decoder(dict[str, str | None]).decode


@dataclass(slots=True)
class _Line:
    """One item of one node's page. `rank` is what it is merged by."""

    node: str
    place: int
    rank: Any
    identity: str
    forwarded: bool
    raw: msgspec.Raw
    shown: bool = True


async def gather(op: str, args: Any, nodes: list[str], ask: Ask, absent: Sequence[str] = ()) -> Page | GatheredPage:
    """The next `limit` items of all nodes' lists. A node that does not answer is named, and asked with the next page.

    `absent`: nodes that need not even be asked. What one node has forwarded is shown as the other has it. The cursor
    is None once the list of every node that answers has ended.
    """
    order = ORDERS[op]
    before = _read(args.cursor, order, nodes)
    asked = [node for node in nodes if args.cursor is None or before.get(node, "") is not None]
    parts, lost = await _parts(args, asked, before, ask)
    lost += absent
    hide = not lost and getattr(args, "state", None) != State.FORWARDED
    lines = _merged(order, {node: part for node, part in parts.items() if part.items}, hide=hide)
    passed, shown = _page(lines, args.limit)
    if order.everywhere:
        more = len(lines) > len(passed) or any(part.next_cursor for part in parts.values())
        cursor = _name_cursor(shown) if more and shown else None
    else:
        cursor = await _cursor(order, args, before, parts, lost, passed, ask)
    items = [line.raw for line in shown]
    return GatheredPage(items, cursor, lost) if lost else Page(items, cursor)


def _page(lines: list[_Line], limit: int) -> tuple[list[_Line], list[_Line]]:
    """Those that the page goes past, and of them those that it shows."""
    passed: list[_Line] = []
    shown: list[_Line] = []
    for line in lines:
        if len(shown) == limit:
            break
        passed.append(line)
        if line.shown:
            shown.append(line)
    return passed, shown


async def _parts(
    args: Any, nodes: list[str], before: dict[str, str | None], ask: Ask
) -> tuple[dict[str, _Part], list[str]]:
    async def one(node: str) -> _Part | None:
        try:
            return _part(await ask(node, msgspec.structs.replace(args, cursor=before.get(node) or None)))
        except CaxtonError as error:
            if is_unreachable(error):
                return None
            raise

    found = dict(zip(nodes, await asyncio.gather(*(one(node) for node in nodes)), strict=True))
    lost = [node for node, part in found.items() if part is None]
    return {node: part for node, part in found.items() if part is not None}, lost


def _merged(order: Order, parts: dict[str, _Part], *, hide: bool) -> list[_Line]:
    """Each thing is shown once: where a message has gone on to, not where it was forwarded; an agent where first."""
    rows = (_lines(order, node, part) for node, part in parts.items())
    lines = list(merge(*rows, key=lambda line: line.rank, reverse=order.descending))
    best: dict[str, _Line] = {}
    for line in lines:
        known = best.get(line.identity)
        if known is None or (known.forwarded and not line.forwarded):
            best[line.identity] = line
    for line in lines:
        line.shown = best[line.identity] is line and not (hide and line.forwarded)
    return lines


def _lines(order: Order, node: str, part: _Part) -> list[_Line]:
    found = []
    for place, raw in enumerate(part.items):
        item = msgspec.json.decode(raw)
        identity = str(item[order.identity])
        if "initiator" in item:
            identity += f" {item['initiator']} {item['participant']}"
        forwarded = item.get("state") == State.FORWARDED
        found.append(_Line(node, place, item[order.key], identity, forwarded, raw))
    return found


async def _cursor(
    order: Order,
    args: Any,
    before: dict[str, str | None],
    parts: dict[str, _Part],
    lost: list[str],
    passed: list[_Line],
    ask: Ask,
) -> str | None:
    """How far each node's list was shown: where that is inside of a page, the node says what its cursor would be."""
    last = {line.node: line for line in passed}
    after: dict[str, str | None] = {node: before.get(node, "") for node in lost}
    for node, part in parts.items():
        rest = len(part.items) - (last[node].place + 1 if node in last else 0)
        if node in last and rest:
            after[node] = await _cursor_behind(order, args, before.get(node), last[node], ask)
        elif rest:
            after[node] = before.get(node, "")
        else:
            after[node] = part.next_cursor
    if all(after[node] is None for node in parts):
        return None  # of nodes that do not answer nobody knows whether there is more
    ended = {node: None for node in before if node not in after}
    return _write({**ended, **after})


async def _cursor_behind(order: Order, args: Any, before: str | None, line: _Line, ask: Ask) -> str | None:
    """The node's own cursor behind this item; new items may have come before it meanwhile."""
    limit = line.place + 1
    while True:
        part = _part(await ask(line.node, msgspec.structs.replace(args, cursor=before or None, limit=limit)))
        places = [one.place for one in _lines(order, line.node, part) if one.identity == line.identity]
        if not places or places[-1] == limit - 1:
            if not places and limit < _LONGEST_PAGE:
                limit = _LONGEST_PAGE
                continue
            return part.next_cursor
        limit = places[-1] + 1


def _name_cursor(shown: list[_Line]) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode((shown[-1].identity,))).decode().rstrip("=")


def _read(cursor: str | None, order: Order, nodes: list[str]) -> dict[str, str | None]:
    if cursor is None:
        return {}
    if order.everywhere:
        return dict.fromkeys(nodes, cursor)
    try:
        if len(cursor) > MAX_CURSOR_LENGTH:
            raise ValueError("too long")
        return _cursors(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            "cursor: not one that this list gave; pass `next_cursor` of the page before, unchanged",
            path="cursor",
        ) from error


def _write(after: dict[str, str | None]) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(after)).decode().rstrip("=")
