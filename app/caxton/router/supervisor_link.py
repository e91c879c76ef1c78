"""The control connection to the executor's supervisor: frames of protocol/control.py with descriptors.

Owns connecting (for ever, with backoff), framing and SCM_RIGHTS. Must never keep a descriptor that nobody
took, or assume anything about workers once the connection is gone: the supervisor ends them.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from caxton.protocol.control import FromSupervisor, Hello, ToSupervisor, WorkerUp
from caxton.protocol.frames import FrameDecoder, encode_frame

_decoder: Final = msgspec.msgpack.Decoder(FromSupervisor)
_READ_BYTES: Final = 65_536
_ANCILLARY: Final = socket.CMSG_SPACE(32 * 4)
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class SupervisorLink:
    """`received(frame, fd)` gets every frame (`fd` for WorkerUp, then the receiver's to close)."""

    def __init__(
        self,
        path: Path,
        hello: Hello,
        received: Callable[[FromSupervisor, int | None], None],
        lost: Callable[[], None],
    ) -> None:
        self._path = path
        self._hello = hello
        self._received = received
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._closed: asyncio.Future[None] | None = None
        self._frames = FrameDecoder()
        self._descriptors: deque[int] = deque()
        self._out: deque[tuple[bytes, int | None]] = deque()

    @property
    def connected(self) -> bool:
        """Whether a supervisor is there now."""
        return self._socket is not None

    async def run(self) -> None:
        """Keeps the connection for ever; ends only by cancellation."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._connect()
                pause = _FIRST_PAUSE
                assert self._closed is not None
                await self._closed
            except OSError:
                pass  # not there yet, or no longer: the next try says more
            finally:
                self._close()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def send(self, frame: ToSupervisor, fd: int | None = None) -> bool:
        """Sends a frame; a descriptor is closed here once it has left. False when nobody is connected."""
        if self._socket is None:
            if fd is not None:
                os.close(fd)
            return False
        self._out.append((encode_frame(frame), fd))
        self._flush()
        return True

    async def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await self._loop.sock_connect(connection, str(self._path))
        except BaseException:
            connection.close()
            raise
        self._socket = connection
        self._closed = self._loop.create_future()
        self._loop.add_reader(connection, self._readable)
        self.send(self._hello)

    def _close(self) -> None:
        connection, self._socket = self._socket, None
        if connection is None:
            return
        self._loop.remove_reader(connection)
        self._loop.remove_writer(connection)
        connection.close()
        unused = [*self._descriptors, *(fd for _, fd in self._out if fd is not None)]
        for fd in unused:
            os.close(fd)
        self._descriptors.clear()
        self._out.clear()
        self._frames = FrameDecoder()
        self._lost()

    def _end(self) -> None:
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)
        if self._socket is not None:
            self._loop.remove_reader(self._socket)

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            data, ancillary, _flags, _address = self._socket.recvmsg(_READ_BYTES, _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._descriptors.extend(array.array("i", payload))
        if not data:
            self._end()
            return
        try:
            frames = [_decoder.decode(body) for body in self._frames.feed(data)]
            for frame in frames:
                self._received(frame, self._descriptors.popleft() if isinstance(frame, WorkerUp) else None)
        except (msgspec.MsgspecError, IndexError):
            self._end()  # not a supervisor of this version: start over

    def _flush(self) -> None:
        connection = self._socket
        while self._out and connection is not None:
            data, fd = self._out[0]
            rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            try:
                sent = connection.sendmsg([data], rights)
            except BlockingIOError:
                self._loop.add_writer(connection, self._flush)
                return
            except OSError:
                self._end()
                return
            if fd is not None:
                os.close(fd)
            if sent == len(data):
                self._out.popleft()
            else:
                self._out[0] = (data[sent:], None)
        if connection is not None:
            self._loop.remove_writer(connection)
