"""A worker that ends closes idle connections, but not one that has only just come."""

from __future__ import annotations

import socket
import time

from caxton.api.lane import ABOUT_TO_ASK_SECONDS, IdleClients
from support.served_node import until


def closed(client: socket.socket) -> bool:
    """Whether the other side has been shut for reading: what it would read is the end."""
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def test_who_has_just_come_may_still_ask() -> None:
    idle = IdleClients()
    client, far = socket.socketpair()
    with client, far:
        begun = time.monotonic()
        idle.add(client, 60.0)
        idle.shut(everyone=True)
        assert not closed(client)
        until(lambda: idle.shut(everyone=True) or closed(client), "an idle connection is closed", 10)
        assert time.monotonic() - begun >= ABOUT_TO_ASK_SECONDS
        idle.remove(client)


def test_whose_time_is_up_is_closed_at_once() -> None:
    idle = IdleClients()
    client, far = socket.socketpair()
    with client, far:
        idle.add(client, 0.0)
        until(lambda: idle.shut(everyone=False) or closed(client), "closed", 0.5)
