"""Messages of clients for agents on other nodes: passed on at once while that is possible, else through the outbox.

Owns that choice. A message that may have been passed on when its link broke goes through the outbox under the same
id, and is dropped at the other end if it is there: never lost, never doubled. Must never pass a message by one that
waits in the outbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

import msgspec

from caxton.protocol.access import Caller
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import Delivery, Message
from caxton.protocol.names import CAPABILITY_PREFIX
from caxton.protocol.operations import Invoke, Submit
from caxton.protocol.views import ItemView
from caxton.router.cluster.outbox import Outboxes
from caxton.router.cluster.places import is_not_here, is_unreachable, not_here, unreachable
from caxton.router.cluster.waits import WAIT_SECONDS, Waits
from caxton.router.intake import Intake
from caxton.router.talks.capabilities import Capabilities
from caxton.router.tracing import spans

Begun = TypeVar("Begun")
Here = Callable[[Any], Awaitable[Any]]
_items: Final = msgspec.json.Decoder(list[ItemView]).decode
_OUTBOX: Final = ""
_LOOK_SECONDS: Final = 0.02
_GOING: Final = frozenset({Code.DRAINING})
"""The node takes nothing any more: what is for it waits until it is back, or its agents are elsewhere."""


class Ask(Protocol):
    """Has another node answer."""

    async def call(self, node: str, op: str, args: Any, caller: Caller) -> bytes:
        """The JSON of the answer, or its refusal."""


class Passing:
    """`here(args)` has the operation answered on this node, where the outbox takes what is for others."""

    def __init__(self, outboxes: Outboxes, intake: Intake, capabilities: Capabilities, ask: Ask) -> None:
        self._outboxes = outboxes
        self._places = outboxes.places
        self._intake = intake
        self._capabilities = capabilities
        self._ask = ask
        self.waits = Waits()
        self.leaves: Callable[[str], bool] = _stays
        """Whether the agent is about to leave this node, which is drained."""

    def begin(self, args: Invoke, begin: Callable[[], Begun]) -> Begun | None:
        """`begin()`, where this node handles the message itself; None: somebody has to look where it goes."""
        message = args.message
        if ":" in message.receiver or self._outboxes.takes(message, fresh=_is_fresh(message, not args.idempotent)):
            return None
        with self._outboxes.kept_here([message.message_id]):
            return begin()

    async def answer(self, op: str, args: Any, caller: Caller, here: Here) -> Any:
        """The answer to `submit` or `invoke`."""
        receivers = [one.receiver for one in (args.messages if op == "submit" else [args.message])]
        if self.waits:
            await self.waits.passed(receivers)
        if any(map(self.leaves, receivers)):
            await self._until_gone(receivers)
        if op == "submit":
            return await self._submit(args, caller, here)
        return await self._invoke(args, caller, here)

    async def _until_gone(self, receivers: list[str]) -> None:
        """What comes for an agent that is about to leave follows it; where it takes too long the node says so."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                while any(map(self.leaves, receivers)):
                    await asyncio.sleep(_LOOK_SECONDS)

    async def arrived(self, args: Submit | Invoke, here: Here) -> Any:
        """What another node has passed on: it is handled here, whoever of the replicas should have got it."""
        if isinstance(args, Invoke):
            self._require_home(args.message)
            with self._outboxes.kept_here([args.message.message_id]):
                return await here(args)
        refused = {one.message_id: error for one in args.messages if (error := self._stranger(one)) is not None}
        mine = [one for one in args.messages if one.message_id not in refused]
        with self._outboxes.kept_here([one.message_id for one in mine]):
            rest = iter(await here(Submit(mine)) if mine else [])
        return [
            ItemView(one.message_id, error=refused[one.message_id].body())
            if one.message_id in refused
            else next(rest)
            for one in args.messages
        ]

    def _stranger(self, message: Message) -> CaxtonError | None:
        try:
            self._require_home(message)
        except CaxtonError as refusal:
            return refusal
        return None

    def _require_home(self, message: Message) -> None:
        """A replica that is still being started is not here yet: until it is, the asking node keeps the message."""
        places, receiver = self._places, message.receiver
        record = places.record(receiver)
        if record is None:
            return
        here = places.hosted(receiver) and not places.begins(receiver)
        if not here or record.home not in (None, places.node_id):
            raise not_here(receiver, record.epoch)

    # ---- submit ------------------------------------------------------------------------------------

    async def _submit(self, args: Submit, caller: Caller, here: Here) -> list[ItemView]:
        """Grouped by node, in order; each group on its own way, all at the same time."""
        groups: dict[str, list[int]] = {}
        for index, message in enumerate(args.messages):
            groups.setdefault(self._way(message, args.fresh), []).append(index)
        answers: list[ItemView | None] = [None] * len(args.messages)

        async def one(node: str, indexes: list[int]) -> None:
            messages = [args.messages[index] for index in indexes]
            items = await self._go(node, messages, caller, here)
            for index, item in zip(indexes, items, strict=True):
                answers[index] = item

        await asyncio.gather(*(one(node, indexes) for node, indexes in groups.items()))
        return [answer for answer in answers if answer is not None]

    async def _go(self, node: str, messages: list[Message], caller: Caller, here: Here) -> list[ItemView]:
        if node == self._places.node_id:
            with self._outboxes.kept_here([one.message_id for one in messages]):
                return list(await here(Submit(messages)))
        if node == _OUTBOX:
            return list(await here(Submit(messages)))
        return await self._through(node, messages, caller, here)

    def _way(self, message: Message, fresh: bool) -> str:
        """The node that the message is passed on to at once, this one where it handles it; `_OUTBOX`: neither."""
        if ":" in message.receiver:
            return _OUTBOX  # whom it is for is chosen first
        if not self._outboxes.takes(message, fresh=_is_fresh(message, fresh)):
            return self._places.node_id
        return self._direct(message) or _OUTBOX

    async def _through(self, node: str, messages: list[Message], caller: Caller, here: Here) -> list[ItemView]:
        """Passed on; what may not have arrived goes into the outbox."""
        try:
            with spans.passing(messages, node):
                items = _items(await self._ask.call(node, "submit", Submit(messages), caller))
        except CaxtonError as error:
            if not _may_wait(error):
                raise
            return list(await here(Submit(messages)))
        waiting = [index for index, item in enumerate(items) if item.error is not None and _is_stranger(item)]
        if waiting:
            kept = await here(Submit([messages[index] for index in waiting]))
            for index, item in zip(waiting, kept, strict=True):
                items[index] = item
        return items

    def _direct(self, message: Message) -> str | None:
        """The other node that the message is passed on to at once; None: it waits its turn, or there is none."""
        node = self._places.of_message(message.receiver, message.conversation_id)
        if node is None or not self._places.reaches(node) or self._outboxes.count(message.receiver):
            return None
        here = node == self._places.node_id or message.message_id in self._intake.live
        return None if here else node

    # ---- invoke ------------------------------------------------------------------------------------

    async def _invoke(self, args: Invoke, caller: Caller, here: Here) -> Any:
        chosen = self._chosen(args.message)
        order = msgspec.structs.replace(args, message=chosen)
        if not self._outboxes.takes(chosen, fresh=_is_fresh(chosen, not args.idempotent)):
            self._keep(args.message, chosen)
            with self._outboxes.kept_here([chosen.message_id]):
                return await here(order)
        loop = asyncio.get_running_loop()
        end = loop.time() + args.timeout_seconds
        node = self._direct(chosen)
        if node is None and args.delivery is Delivery.EPHEMERAL and not self._waits_its_turn(chosen):
            raise unreachable(self._places.of_message(chosen.receiver, chosen.conversation_id), repr(chosen.receiver))
        if node is not None:
            try:
                with spans.passing([chosen], node):
                    answer = msgspec.Raw(await self._ask.call(node, "invoke", order, caller))
            except CaxtonError as error:
                if not _may_wait(error) or (args.delivery is Delivery.EPHEMERAL and is_unreachable(error)):
                    raise  # an ephemeral message is its caller's to send again: it may have run
            else:
                self._keep(args.message, chosen)
                return answer
        self._keep(args.message, chosen)
        left = max(end - loop.time(), 0.001)
        return await here(msgspec.structs.replace(order, timeout_seconds=left, delivery=Delivery.DURABLE))

    def _waits_its_turn(self, message: Message) -> bool:
        """Whether something for the agent is on its way already: what comes later goes behind it, durably."""
        node = self._places.of_message(message.receiver, message.conversation_id)
        return node is not None and self._places.reaches(node) and bool(self._outboxes.count(message.receiver))

    def _chosen(self, message: Message) -> Message:
        if message.receiver.startswith(CAPABILITY_PREFIX):
            return self._intake.addressed(message)
        return message

    def _keep(self, asked: Message, chosen: Message) -> None:
        if asked is not chosen:
            self._capabilities.keep(asked, chosen)


def _stays(_agent: str) -> bool:
    return False


def _is_fresh(message: Message, made_up: bool) -> bool:
    """Whether the API has made up the conversation and the id, so that neither comes again by way of another node."""
    return made_up and message.conversation_id == message.message_id


def _may_wait(error: CaxtonError) -> bool:
    return is_unreachable(error) or is_not_here(error) or error.code in _GOING


def _is_stranger(item: ItemView) -> bool:
    return item.error is not None and is_not_here(CaxtonError.from_body(item.error))
