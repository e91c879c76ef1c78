"""Tells systemd how the service is: ready, alive, stopping, in words (sd_notify over $NOTIFY_SOCKET).

Owns that one datagram. Must never fail the service: without systemd it does nothing.
"""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)


def wanted() -> bool:
    """Whether a service manager asked to be told."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def notify(state: str, *, patience: float = 1.0) -> bool:
    """Sends `state` (e.g. `READY=1`); False when nobody asked to be told, or listens within `patience` seconds."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(patience)  # a manager that does not read must not stop the service
            channel.sendto(state.encode(), target)
    except BlockingIOError:
        return False
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


class Vitals:
    """What is said again and again: the status when it changed, and the sign of life. Call `beat` every `pause`."""

    def __init__(self) -> None:
        self._interval = watchdog_interval()
        self._said = ""
        self.pause = min(1.0, self._interval or 1.0)
        """Seconds between two beats."""

    def beat(self, status: str, *, well: bool) -> None:
        """`status` is one line for `systemctl status`; a service that is not well gives no sign of life."""
        if status != self._said and notify(f"STATUS={status}", patience=0):
            self._said = status
        if well and self._interval is not None:
            notify("WATCHDOG=1", patience=0)
