"""Wakes mailboxes when a retry is due or a deadline passes.

Owns one timer of the loop per mailbox that needs one. Must never be the only thing that keeps a deadline:
the scheduler checks again before it starts a message.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from caxton.router.boxes import Box
from caxton.router.mailbox import Entry

_SOONEST: Final = 0.001


class Alarms:
    """`wake(box)` after entries became ready, `expired(box, entry)` for each that came too late."""

    def __init__(self, wake: Callable[[Box], None], expired: Callable[[Box, Entry], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = wake
        self._expired = expired

    def set(self, box: Box) -> None:
        """Arms the mailbox's timer for its next event."""
        when = box.mailbox.next_event()
        if when is None:
            return
        at = self._loop.time() + max(when - time.time(), _SOONEST)
        if box.alarm is not None:
            if box.alarm.when() <= at and not box.alarm.cancelled():
                return
            box.alarm.cancel()
        box.alarm = self._loop.call_at(at, self._ring, box)

    def _ring(self, box: Box) -> None:
        box.alarm = None
        now = time.time()
        for entry in box.mailbox.expired(now):
            self._expired(box, entry)
        box.mailbox.wake(now)
        self._wake(box)
        self.set(box)
