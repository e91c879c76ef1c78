"""Invocations that leave no trace on disk: begun, answered, given up, without a task of their own.

Owns the life of one such call. Must never hold up a durable message, or look into the store: the calls that
need either are `Calls.invoke`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.fipa import is_checked
from caxton.protocol.messages import Delivery, Outcome
from caxton.protocol.operations import Invoke
from caxton.protocol.views import InvokeView
from caxton.router.boxes import Boxes
from caxton.router.intake import EPHEMERAL, Intake
from caxton.router.mailbox import Entry
from caxton.router.waiters import Waiters, invoke_view

Answered = Callable[[InvokeView | CaxtonError], None]


class Invocations:
    """`cancel_live(entry)` ends a message that is not settled yet."""

    def __init__(self, boxes: Boxes, intake: Intake, waiters: Waiters, cancel_live: Callable[[Entry], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.boxes = boxes
        self.waiters = waiters
        self.cancel_live = cancel_live
        self._intake = intake

    def begin(self, args: Invoke, answered: Answered) -> Invocation | None:
        """Begins one; `answered` is called later, once, unless it is cancelled. Raises the refusal.

        None: this one needs the disk, or joins a message that is under way.
        """
        message = args.message
        if args.as_job or args.idempotent or args.delivery is not Delivery.EPHEMERAL:
            return None
        if message.protocol is not None and is_checked(message.protocol):
            return None
        if message.message_id in self.boxes.live:
            return None
        entry = self._intake.offer(message, EPHEMERAL)
        one = Invocation(self, args, entry, answered)
        self.waiters.add(message.message_id, one.settled)
        one.timer = self._loop.call_later(args.timeout_seconds, one.timed_out)
        return one


class Invocation:
    """One caller who waits for one message."""

    __slots__ = ("_answered", "_args", "_entry", "_home", "timer")

    def __init__(self, home: Invocations, args: Invoke, entry: Entry, answered: Answered) -> None:
        self._home = home
        self._args = args
        self._entry = entry
        self._answered = answered
        self.timer: asyncio.TimerHandle | None = None

    def settled(self, outcome: Outcome) -> None:
        """The message ended."""
        self._stop_timer()
        try:
            answer: InvokeView | CaxtonError = invoke_view(self._args.message, outcome)
        except CaxtonError as error:
            answer = error
        self._answered(answer)

    def cancel(self) -> None:
        """The caller is gone: nobody is left to whom the answer matters, unless others joined."""
        self._stop_timer()
        if self._home.waiters.remove(self._args.message.message_id, self.settled):
            self._home.cancel_live(self._entry)

    def timed_out(self) -> None:
        """The caller's patience is over."""
        self.cancel()
        seconds = self._args.timeout_seconds
        self._answered(
            CaxtonError(
                Code.EXECUTION_TIMEOUT,
                f"no reply within {seconds:g} s",
                message_id=self._args.message.message_id,
                timeout_seconds=seconds,
            )
        )

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
