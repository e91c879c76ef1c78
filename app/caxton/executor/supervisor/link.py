"""Frames and descriptors over one Unix stream socket, driven by asyncio.

Owns the buffers of one connection. A frame that names a descriptor leaves by its own `sendmsg`, whose
ancillary data holds exactly that one; descriptors that arrive are queued in order. Must never know what a
frame means.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from caxton.protocol.errors import CaxtonError
from caxton.protocol.frames import MAX_FRAME_BYTES, FrameDecoder, encode_frame

_READ_BYTES: Final = 262_144
_MAX_DESCRIPTORS: Final = 32


class Link:
    """`received(body)` gets every frame's bytes; `lost()` is called once, when the other side is gone.

    An exception of kind `CaxtonError` or `ValueError` out of `received` counts as a broken other side.
    """

    def __init__(
        self,
        connection: socket.socket,
        received: Callable[[bytes], None],
        lost: Callable[[str], None],
        limit: int = MAX_FRAME_BYTES,
    ) -> None:
        self._socket = connection
        self._received = received
        self._lost = lost
        self._frames = FrameDecoder(limit)
        self._descriptors: deque[int] = deque()
        self._out: deque[tuple[memoryview, int | None]] = deque()
        self._loop = asyncio.get_running_loop()
        self._open = True
        connection.setblocking(False)
        self._loop.add_reader(connection, self._readable)

    def send(self, frame: Any, descriptor: int | None = None) -> None:
        """Queues a frame. The descriptor is duplicated: the caller keeps its own."""
        if not self._open:
            return
        passed = None if descriptor is None else os.dup(descriptor)
        self._out.append((memoryview(encode_frame(frame)), passed))
        self._flush()

    def take_descriptor(self) -> int:
        """The oldest descriptor that arrived, from now on the caller's; `ValueError` when there is none."""
        if not self._descriptors:
            raise ValueError("a frame names a descriptor and none came with it")
        return self._descriptors.popleft()

    def at_end(self) -> bool:
        """Whether the other side has closed, seen or not yet seen by the event loop."""
        try:
            return not self._open or not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Closes the socket and every descriptor not yet taken or sent; `lost` is not called."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        for fd in (*self._descriptors, *(fd for _, fd in self._out if fd is not None)):
            os.close(fd)
        self._descriptors.clear()
        self._out.clear()

    def _fail(self, why: str) -> None:
        if self._open:
            self.close()
            self._lost(why)

    def _readable(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, _READ_BYTES, _MAX_DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(f"cannot be read: {error}")
            return
        for fd in descriptors:
            os.set_inheritable(fd, False)
        self._descriptors.extend(descriptors)
        if not data:
            self._fail("closed")
            return
        try:
            for body in self._frames.feed(data):
                self._received(body)
                if not self._open:
                    return
        except (CaxtonError, ValueError) as error:
            self._fail(f"sent what it must not: {error}")

    def _flush(self) -> None:
        while self._open and self._out:
            data, fd = self._out[0]
            rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            try:
                sent = self._socket.sendmsg([data], rights, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                self._loop.add_writer(self._socket, self._flush)
                return
            except OSError as error:
                # told later: the caller may be in the middle of something
                self._loop.call_soon(self._fail, f"cannot be written: {error}")
                return
            if fd is not None:
                os.close(fd)
            if sent < len(data):
                self._out[0] = (data[sent:], None)
            else:
                self._out.popleft()
        if self._open:
            self._loop.remove_writer(self._socket)
