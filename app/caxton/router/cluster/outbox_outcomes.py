"""What became of messages that another node has, for those who wait here.

Owns the asking, for as long as somebody waits. Must never end a message: the outbox does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import Message, Outcome, State
from caxton.protocol.peers import Awaited
from caxton.router.cluster.places import Places
from caxton.router.waiters import Waiters
from caxton.store import Known

OUTCOME: Final = "peer.outcome"
LOOK_SECONDS: Final = 60.0
"""How long one question for an outcome lasts; then it is asked again."""
FORGOTTEN_SECONDS: Final = 120.0
"""How long a node may not know what another one took: it may be on its way there, behind an agent that has moved."""
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
    """`node`, where the message should be, does not know it."""

    def __init__(self, node: str) -> None:
        super().__init__(node)
        self.node = node


class Abroad:
    """Asks for outcomes of messages that went to other nodes. `known`: what this node's store says of ids."""

    def __init__(
        self,
        places: Places,
        peers: Calls,
        waiters: Waiters,
        known: Callable[[Sequence[str]], Mapping[str, Known]],
        spawn: Callable[[Any], Any],
    ) -> None:
        self._places = places
        self._peers = peers
        self._waiters = waiters
        self._known = known
        self._spawn = spawn

    def follow(self, message: Message, taker: str | None = None) -> None:
        """Whoever waits here for a message that another node has gets its outcome from there.

        `taker`: the node that has said that it has it, where that is known.
        """
        self._spawn(self._follow(message, taker))

    async def _follow(self, message: Message, taker: str | None) -> None:
        loop = asyncio.get_running_loop()
        given_up: float | None = None
        while self._waiters.waits(message.message_id):
            try:
                outcome = await self.look(message)
            except ForgottenError as forgotten:
                if given_up is None:
                    given_up = loop.time() + FORGOTTEN_SECONDS
                outcome = _LOST if forgotten.node == taker or loop.time() > given_up else None
                await asyncio.sleep(_PAUSE)
            if outcome is not None:
                self._waiters.settle(message.message_id, outcome)

    async def look(self, message: Message) -> Outcome | None:
        """The outcome; None: not yet, or nobody can say now. `ForgottenError`: it will never come."""
        node = self._places.of_message(message.receiver, message.conversation_id)
        if node is None or not self._places.reaches(node):
            await asyncio.sleep(_PAUSE)
            return None
        if node == self._places.node_id:
            return await self._come(message)
        args = Awaited(message.message_id, LOOK_SECONDS)
        try:
            return _outcome(await self._peers.call(node, OUTCOME, args, timeout=LOOK_SECONDS + _MARGIN))
        except CaxtonError as error:
            if error.code is Code.MESSAGE_NOT_FOUND:
                raise ForgottenError(node) from error
            if error.code is not Code.EXECUTION_TIMEOUT:
                await asyncio.sleep(_PAUSE)
            return None

    async def _come(self, message: Message) -> Outcome | None:
        """The agent has moved to this node: what had ended before came along, whoever waits hears of all else."""
        known = self._known([message.message_id]).get(message.message_id)
        if known is not None and known.outcome is not None and known.outcome.state is not State.FORWARDED:
            return known.outcome
        await asyncio.sleep(_PAUSE)
        return None
