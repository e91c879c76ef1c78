"""Who waits for a message's outcome, by message id.

Owns the callbacks of invoke calls and of guests' requests. Must never outlive the process: waiting is not
durable, outcomes are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import Message, Outcome, State
from caxton.protocol.views import InvokeView

Waiter = Callable[[Outcome], None]
_NULL: Final = msgspec.Raw(b"null")
_CODES: Final = {
    State.DEAD: Code.AGENT_FAILED,
    State.EXPIRED: Code.MESSAGE_EXPIRED,
    State.CANCELLED: Code.MESSAGE_CANCELLED,
}


class Waiters:
    """Every message may have many waiters: duplicates of a running message join the first."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Waiter]] = {}
        self._patient: set[str] = set()

    @property
    def pressing(self) -> bool:
        """Whether somebody waits who cannot ask again later."""
        return len(self._waiting) > len(self._patient)

    def waits(self, message_id: str) -> bool:
        """Whether anybody waits for this message."""
        return message_id in self._waiting

    def add(self, message_id: str, waiter: Waiter, *, patient: bool = False) -> None:
        """Calls `waiter` once, with the outcome, when the message is durably settled.

        A `patient` waiter has time until the router's next life.
        """
        if patient and message_id not in self._waiting:
            self._patient.add(message_id)
        elif self._patient:
            self._patient.discard(message_id)
        self._waiting.setdefault(message_id, []).append(waiter)

    async def settled(self, message_ids: set[str]) -> None:
        """Waits, patiently, until all of these live messages are durably settled."""
        done = asyncio.Event()

        def ended(message_id: str) -> None:
            message_ids.discard(message_id)
            if not message_ids:
                done.set()

        for message_id in list(message_ids):
            self.add(message_id, partial(lambda one, _: ended(one), message_id), patient=True)
        if message_ids:
            await done.wait()

    def remove(self, message_id: str, waiter: Waiter) -> bool:
        """Takes a waiter away; True when nobody waits for this message any more."""
        waiting = self._waiting.get(message_id)
        if waiting is None:
            return True
        if waiter in waiting:
            waiting.remove(waiter)
        if not waiting:
            del self._waiting[message_id]
            self._patient.discard(message_id)
        return not waiting

    def settle(self, message_id: str, outcome: Outcome) -> None:
        """The message ended."""
        self._patient.discard(message_id)
        for waiter in self._waiting.pop(message_id, ()):
            waiter(outcome)

    def fail_all(self, outcome: Outcome) -> None:
        """Nothing will be settled any more: the store failed, or the router ends."""
        for message_id in list(self._waiting):
            self.settle(message_id, outcome)


def invoke_view(message: Message, outcome: Outcome) -> InvokeView:
    """What the caller of `invoke` gets; raises `CaxtonError` with the code by which the node ended it."""
    if outcome.state is not State.DONE:
        raise outcome_error(outcome)
    return InvokeView(
        message_id=message.message_id,
        conversation_id=message.conversation_id,
        performative=outcome.performative,
        content=_NULL if outcome.content is None else msgspec.Raw(outcome.content),
        execution=outcome.execution,
    )


def outcome_error(outcome: Outcome) -> CaxtonError:
    """The error that an outcome other than `done` stands for."""
    code = _CODES.get(outcome.state, Code.INTERNAL_ERROR)
    if outcome.code is not None and outcome.code in Code.__members__:
        code = Code(outcome.code)
    return CaxtonError(code, outcome.detail or f"the message ended {outcome.state}", state=str(outcome.state))
