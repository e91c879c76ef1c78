"""Connections between two requests: who waits for one, and for how long.

Owns the end of connections that ask nothing. Must never end one that has begun to ask, and never shut a socket: the
request that has just arrived there would be taken for one whose client hung up.
"""

from __future__ import annotations

import select
import time
from typing import Any, Final, NamedTuple

from gevent import monkey
from gevent.hub import Waiter, get_hub

_poll: Final = monkey.get_original("select", "poll")
ABOUT_TO_ASK_SECONDS: Final = 1.0
"""Nobody is ended, the end of whose time has not come, before it was idle for this long: it is about to ask."""


class _Idle(NamedTuple):
    since: float
    until: float
    used: bool


class IdleClients:
    """Connections that ask nothing of this worker now, and until when each may go on like that."""

    def __init__(self) -> None:
        self._idle: dict[Any, _Idle] = {}

    def wait(self, readable: Any, seconds: float, *, used: bool) -> bool:
        """Until `readable`, a watcher of the connection, sees bytes; False when the connection is to end.

        No timer for each connection: `end` has to be called about once a second.
        """
        now = time.monotonic()
        waiter = Waiter(get_hub())
        self._idle[waiter] = _Idle(now, now + seconds, used)
        readable.start(waiter.switch, True)
        try:
            woken: bool = waiter.get()
        finally:
            readable.stop()
            del self._idle[waiter]
        return woken or _has_bytes(readable.fd)  # a request that has arrived by now is still answered

    def end(self, *, used: bool, new: bool) -> None:
        """Ends those whose time is up; of the others, those that were `used` before, and those that are `new`."""
        get_hub().loop.run_callback(self._end, used, new)

    def _end(self, used: bool, new: bool) -> None:
        """In the hub, where nobody can begin to ask meanwhile."""
        now = time.monotonic()
        for waiter, idle in list(self._idle.items()):
            asked = used if idle.used else new
            if idle.until < now or (asked and idle.since + ABOUT_TO_ASK_SECONDS < now):
                waiter.switch(False)


def _has_bytes(descriptor: int) -> bool:
    poll = _poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
