"""One connection to another node: TLS, the upgrade, then frames both ways.

Owns its life and its bytes. Must never know what a frame means, nor connect a second time.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from typing import Any, Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.frames import FrameDecoder
from caxton.protocol.operations import FromPeer
from caxton.protocol.peers import LINK_PATH, LINK_UPGRADE, certificate_name

CONNECT_SECONDS: Final = 5.0
WRITE_HIGH_BYTES: Final = 4 * 1024 * 1024
WRITE_LOW_BYTES: Final = 1024 * 1024
_MAX_HEAD_BYTES: Final = 64 * 1024
_END: Final = b"\r\n\r\n"
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_CODE: Final = re.compile(rb'"code":"([A-Z_]{1,64})"')
_decode: Final = msgspec.msgpack.Decoder(FromPeer).decode

Received = Callable[[list[Any], int], None]
"""Takes the frames of one read, and how many bytes that was."""


class Wire(asyncio.Protocol):
    """`received` and `lost` are called from the moment on at which `connect` has returned."""

    def __init__(self, received: Received, lost: Callable[[], None]) -> None:
        self._received, self._lost = received, lost
        self._loop = asyncio.get_running_loop()
        self._frames = FrameDecoder()
        self._head: bytearray | None = bytearray()
        self._upgraded: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._writable: asyncio.Event | None = None
        self._out: list[bytes] = []

    @property
    def is_open(self) -> bool:
        """Whether what is sent now may arrive."""
        return self._transport is not None and self._head is None and not self._transport.is_closing()

    # ---- asyncio's side ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is agreed on; the certificate has the name that was asked for."""
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES, low=WRITE_LOW_BYTES)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer to the upgrade, then frames. A peer that sends nonsense is cut off."""
        if self._head is not None:
            self._head += data
            self._read_head(self._head)
            return
        try:
            frames = [_decode(body) for body in self._frames.feed(data)]
        except (CaxtonError, msgspec.DecodeError):
            self.abort()
            return
        self._received(frames, len(data))

    def pause_writing(self) -> None:
        """The peer takes too little."""
        self._writable = asyncio.Event()

    def resume_writing(self) -> None:
        """It has taken some."""
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        was_open, self._transport = self._head is None, None
        self._out.clear()
        self.resume_writing()
        if not self._upgraded.done():
            self._upgraded.set_exception(exc or ConnectionError("closed before it was a link"))
        if was_open:
            self._lost()

    # ---- our side ----------------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """Queues a frame; all of one turn of the loop leave in one write."""
        if self._transport is None:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame)

    async def writable(self) -> None:
        """Returns when the peer has room."""
        while self._writable is not None:
            await self._writable.wait()

    def pause(self, paused: bool) -> None:
        """Whether what comes is left with the peer, because nobody takes it here."""
        if self._transport is not None and not self._transport.is_closing():
            if paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def close(self) -> None:
        """Sends what is queued and ends it."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Ends it now."""
        if self._transport is not None:
            self._transport.abort()

    async def upgrade(self, node: str) -> None:
        """Asks for a link and waits for the `101`; raises why there is none."""
        assert self._transport is not None
        name = certificate_name(self._transport.get_extra_info("peercert"))
        if name != node:
            raise CaxtonError(Code.FORBIDDEN, f"the certificate at {node}'s address is not {node}'s", found=name)
        request = f"POST {LINK_PATH} HTTP/1.1\r\nHost: {node}\r\nConnection: Upgrade\r\nUpgrade: {LINK_UPGRADE}\r\n"
        self._transport.write(f"{request}Content-Length: 0\r\n\r\n".encode())
        await self._upgraded

    def _flush(self) -> None:
        if self._transport is not None and self._out:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _read_head(self, head: bytearray) -> None:
        end = head.find(_END)
        if end < 0 and len(head) <= _MAX_HEAD_BYTES:
            return
        status = _STATUS.match(head)
        if end < 0 or status is None:
            self._refused(ConnectionError("no answer in HTTP"))
        elif status[1] == b"101":
            self._head = None
            self._upgraded.set_result(None)
            if rest := bytes(head[end + len(_END) :]):
                self.data_received(rest)
        elif (found := _CODE.search(head, end)) is not None:
            self._refused(CaxtonError(_code(found[1]), f"the link was refused: {found[1].decode()}"))
        elif len(head) > _MAX_HEAD_BYTES:
            self._refused(ConnectionError(f"the link was refused with status {status[1].decode()}"))

    def _refused(self, error: Exception) -> None:
        if not self._upgraded.done():
            self._upgraded.set_exception(error)
        self.abort()


def _code(text: bytes) -> Code:
    try:
        return Code(text.decode())
    except ValueError:
        return Code.NOT_READY


async def connect(
    node: str, host: str, port: int, context: ssl.SSLContext, received: Received, lost: Callable[[], None]
) -> Wire:
    """A link to `node` at this address. `OSError`, `TimeoutError` or the `CaxtonError` of a refusal if there is none.

    The server's certificate has to be the node's own, whoever answers at the address.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_SECONDS):
        transport, wire = await loop.create_connection(
            lambda: Wire(received, lost), host, port, ssl=context, server_hostname=node
        )
        try:
            await wire.upgrade(node)
        except BaseException:
            transport.abort()
            raise
    return wire
