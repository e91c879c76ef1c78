"""Messages: submit, invoke, show, list, cancel.

Owns the way from the socket to the core, and how a message is looked up. Must never decide when one runs.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import is_uuid
from caxton.protocol.messages import Message, Performative, State
from caxton.protocol.operations import Invoke, Invoked, Listing, Named, Submit
from caxton.protocol.views import ItemView, MessageView, Page
from caxton.router.access.reach import EVERYTHING, Reach
from caxton.router.async_invoke import begin
from caxton.router.connection import Answered, Cancellable
from caxton.router.desk import Desk
from caxton.router.paging import check_limit
from caxton.router.readiness import require_accepting
from caxton.router.views import message_view

MAX_TIMEOUT_SECONDS: Final = 86_400.0
MAX_PRIORITY: Final = 10
PERFORMATIVES: Final = frozenset(Performative)


async def submit(desk: Desk, args: Submit) -> list[ItemView]:
    """Accepts messages; each item has its own answer."""
    require_accepting(desk, *args.messages)
    for index, message in enumerate(args.messages):
        _require_sound(message, f"messages[{index}]")
    return await desk.core.submit(args.messages)


def begin_invoke(desk: Desk, args: Invoke, answered: Answered) -> Cancellable | None:
    """Begins an invocation that needs no disk; None for every other: that is `invoke`'s."""
    if desk.drained and desk.cluster is not None:
        return None  # the agent may be about to go to another node
    _require_invocable(desk, args)
    begin = partial(
        desk.core.begin_invoke,
        args,
        lambda answer: answered(answer if isinstance(answer, CaxtonError) else Invoked(reply=answer)),
    )
    return begin() if desk.cluster is None else desk.cluster.forwarding.passing.begin(args, begin)


async def invoke(desk: Desk, args: Invoke) -> Invoked:
    """Sends one message and waits for its outcome, or answers with the job that waits."""
    _require_invocable(desk, args)
    if args.as_job:
        return Invoked(job=await begin(desk, args))
    return Invoked(reply=await desk.core.invoke(args))


def _require_invocable(desk: Desk, args: Invoke) -> None:
    require_accepting(desk, args.message)
    _require_sound(args.message, "message")
    if not 0 < args.timeout_seconds <= MAX_TIMEOUT_SECONDS:  # NaN too, which would upset the loop's timers
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"timeout_seconds: more than 0, at most {MAX_TIMEOUT_SECONDS:g}",
            path="timeout_seconds",
            found=repr(args.timeout_seconds),
        )


async def get(desk: Desk, args: Named, reach: Reach = EVERYTHING) -> MessageView:
    """One message with its attempts."""
    return await find(desk, args.name, reach)


async def list_messages(desk: Desk, args: Listing, reach: Reach = EVERYTHING) -> Page:
    """Messages, newest first, by agent, conversation, state. Attempts are in the single view only."""
    limit, state = check_limit(args.limit), args.state
    if reach.own_only and args.name is None and args.conversation_id is None:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            "agent: say of which agent, or conversation_id; there is no list of all that one client has sent",
            path="agent",
            expected="agent or conversation_id",
        )
    if state is not None and state not in set(State):
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"state: {state[:64]!r} is none",
            path="state",
            found=state[:64],
            expected=list(State),
        )
    on_disk = State.PENDING.value if state == State.IN_FLIGHT else state
    found = await desk.read(
        desk.store.reader.messages,
        agent=args.name,
        conversation_id=args.conversation_id,
        state=on_disk,
        limit=limit,
        cursor=args.cursor,
        extent=reach.extent,
    )
    items = [message_view(row, [], in_flight=desk.core.in_flight(row.message.message_id)) for row in found.rows]
    if state is not None:  # what is pending on disk may be in flight, and the other way round
        items = [item for item in items if item.state == state]
    return Page(items, found.next_cursor)


async def cancel(desk: Desk, args: Named, reach: Reach = EVERYTHING) -> MessageView:
    """Ends a message that is not done yet."""
    if reach is not EVERYTHING:
        await find(desk, args.name, reach)
    await desk.core.cancel(_require_id(args.name))
    return await find(desk, args.name)


async def find(desk: Desk, message_id: str, reach: Reach = EVERYTHING) -> MessageView:
    """The message, or `MESSAGE_NOT_FOUND`."""
    row = await desk.read(desk.store.reader.message, _require_id(message_id))
    if row is None or not reach.message(row.message.sender, row.message.receiver):
        raise unknown(message_id)
    in_flight = desk.core.in_flight(message_id)
    if not row.attempts:
        return message_view(row, [], in_flight=in_flight)
    await desk.core.write_counts()  # with them the executions that are not written yet
    attempts = await desk.read(desk.store.reader.attempts, message_id)
    executions = await desk.read(desk.store.reader.executions_of, row.message.receiver, message_id)
    return msgspec.structs.replace(message_view(row, attempts, in_flight=in_flight), executions=executions)


def unknown(message_id: str) -> CaxtonError:
    """The error for an id that nobody here knows (any more)."""
    return CaxtonError(
        Code.MESSAGE_NOT_FOUND,
        f"no message has the id {message_id[:64]!r}, or it was forgotten",
        message_id=message_id[:64],
    )


def _require_sound(message: Message, place: str) -> None:
    """What the type does not say, for callers other than the API, which has checked all of it already."""
    if not is_uuid(message.message_id):
        raise _unsound(f"{place}.message_id", message.message_id[:64], "a UUID in canonical lower case")
    if not 1 <= message.priority <= MAX_PRIORITY:
        raise _unsound(f"{place}.priority", message.priority, f"1 to {MAX_PRIORITY}")
    if message.reply_by is not None and not math.isfinite(message.reply_by):
        raise _unsound(f"{place}.reply_by", repr(message.reply_by), "seconds since the epoch")
    if message.performative not in PERFORMATIVES:
        raise _unsound(f"{place}.performative", message.performative[:64], sorted(PERFORMATIVES))


def _unsound(path: str, found: object, expected: object) -> CaxtonError:
    return CaxtonError(
        Code.INVALID_REQUEST, f"{path}: {found!r} cannot be taken", path=path, found=found, expected=expected
    )


def _require_id(message_id: str) -> str:
    if not is_uuid(message_id):
        raise unknown(message_id)
    return message_id
