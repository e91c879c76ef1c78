"""A worker ends connections that ask nothing, but none that has asked or has only just come."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.hub import get_hub

from caxton.api.idle import ABOUT_TO_ASK_SECONDS, IdleClients

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: a close resets the connection."""


@dataclass
class Waiting:
    """A connection whose server waits for a request; `waits` becomes what the wait answered."""

    far: socket.socket
    waits: Any


@contextmanager
def waiting(idle: IdleClients, seconds: float = 60.0, *, used: bool = True) -> Iterator[Waiting]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    readable = get_hub().loop.io(near.fileno(), 1)
    with near, far:
        waits = gevent.spawn(idle.wait, readable, seconds, used=used)
        gevent.sleep(0)  # it waits from here on
        yield Waiting(far, waits)
        waits.kill()
        readable.close()


def end_until(idle: IdleClients, *those: Waiting, used: bool = False, new: bool = False) -> float:
    """Ends again and again, as a worker does, until these have been; how long that took."""
    begun = time.monotonic()
    while not all(one.waits.ready() for one in those):
        assert time.monotonic() - begun < 10
        idle.end(used=used, new=new)
        gevent.sleep(0.01)
    return time.monotonic() - begun


def test_who_has_just_come_is_waited_for_longer_than_who_was_served() -> None:
    idle = IdleClients()
    with waiting(idle, used=True) as served, waiting(idle, used=False) as new:
        assert end_until(idle, served, used=True) >= ABOUT_TO_ASK_SECONDS
        assert served.waits.value is False
        assert not new.waits.ready()
        end_until(idle, new, new=True)
        assert new.waits.value is False


def test_nobody_is_ended_who_has_just_come_or_been_served() -> None:
    idle = IdleClients()
    with waiting(idle, used=True) as served, waiting(idle, used=False) as new:
        assert end_until(idle, served, new, used=True, new=True) >= ABOUT_TO_ASK_SECONDS


def test_whose_time_is_up_is_ended_at_once_and_nobody_else() -> None:
    idle = IdleClients()
    with waiting(idle, 0.0) as late, waiting(idle) as other:
        assert end_until(idle, late) < ABOUT_TO_ASK_SECONDS
        assert late.waits.value is False
        assert not other.waits.ready()


def test_a_request_that_came_before_the_end_is_served() -> None:
    idle = IdleClients()
    with waiting(idle, 0.0) as late:
        late.far.sendall(b"POST")
        idle.end(used=True, new=True)  # runs before the loop looks at any connection
        assert late.waits.get(timeout=5) is True


def test_a_connection_that_was_reset_does_not_disturb_the_end_of_others() -> None:
    idle = IdleClients()
    with waiting(idle, 0.0) as gone, waiting(idle, 0.0) as late:
        gone.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        gone.far.close()
        end_until(idle, gone, late)
        assert gone.waits.value is True  # reading says what happened to it
        assert late.waits.value is False


def test_bytes_end_the_wait() -> None:
    idle = IdleClients()
    with waiting(idle) as client:
        client.far.sendall(b"P")
        assert client.waits.get(timeout=5) is True
