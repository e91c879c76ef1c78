"""Tells systemd how the service is: ready, alive, stopping (sd_notify over $NOTIFY_SOCKET).

Owns that one datagram. Must never fail the service: without systemd it does nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket

log = logging.getLogger(__name__)


def notify(state: str) -> bool:
    """Sends `state` (e.g. `READY=1`); False when nobody asked to be told or nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(state.encode(), target)
    except OSError as error:
        log.warning("cannot notify the service manager: %s", error)
        return False
    return True


def watchdog_interval() -> float | None:
    """Half of the watchdog period that systemd set for this very process, in seconds; None without one."""
    period, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not period.isdigit() or int(period) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(period) / 2_000_000


async def keep_alive() -> None:
    """Says WATCHDOG=1 for as long as the event loop turns; returns at once without a watchdog."""
    interval = watchdog_interval()
    while interval is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)
