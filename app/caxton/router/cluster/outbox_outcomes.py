"""What became of messages that another node has, for those who wait here.

Owns the asking, for as long as somebody waits. Must never end a message: the outbox does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import Message, Outcome, State
from caxton.protocol.peers import Awaited
from caxton.router.cluster.places import Places
from caxton.router.waiters import Waiters

OUTCOME: Final = "peer.outcome"
LOOK_SECONDS: Final = 60.0
"""How long one question for an outcome lasts; then it is asked again."""
_MARGIN: Final = 5.0
_PAUSE: Final = 0.2
_outcome: Final = msgspec.json.Decoder(Outcome).decode
_LOST: Final = Outcome(
    State.DEAD, code=Code.MESSAGE_NOT_FOUND, detail="the node that had taken the message does not know it any more"
)


class Calls(Protocol):
    """The links to other nodes."""

    async def call(self, node: str, op: str, args: msgspec.Struct, *, timeout: float) -> bytes:
        """The JSON of the answer; raises its refusal, or `NOT_READY` where the node cannot be reached."""


class ForgottenError(Exception):
    """The node where the message should be does not know it."""


class Abroad:
    """Asks for outcomes of messages that went to other nodes."""

    def __init__(self, places: Places, peers: Calls, waiters: Waiters, spawn: Callable[[Any], Any]) -> None:
        self._places = places
        self._peers = peers
        self._waiters = waiters
        self._spawn = spawn

    def follow(self, message: Message) -> None:
        """Whoever waits here for a message that another node has gets its outcome from there."""
        self._spawn(self._follow(message))

    async def _follow(self, message: Message) -> None:
        while self._waiters.waits(message.message_id):
            try:
                outcome = await self.look(message)
            except ForgottenError:
                outcome = _LOST
            if outcome is not None:
                self._waiters.settle(message.message_id, outcome)

    async def look(self, message: Message) -> Outcome | None:
        """The outcome; None: not yet, or nobody can say now. `ForgottenError`: it will never come."""
        node = self._places.of_message(message.receiver, message.conversation_id)
        if node is None or node == self._places.node_id or not self._places.reaches(node):
            await asyncio.sleep(_PAUSE)
            return None
        args = Awaited(message.message_id, LOOK_SECONDS)
        try:
            return _outcome(await self._peers.call(node, OUTCOME, args, timeout=LOOK_SECONDS + _MARGIN))
        except CaxtonError as error:
            if error.code is Code.MESSAGE_NOT_FOUND:
                raise ForgottenError from error
            if error.code is not Code.EXECUTION_TIMEOUT:
                await asyncio.sleep(_PAUSE)
            return None
