"""A small synchronous client of the router's socket, for tests."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from caxton.protocol.access import Caller
from caxton.protocol.errors import CaxtonError
from caxton.protocol.frames import FrameDecoder, encode_frame
from caxton.protocol.operations import Call, Fail, FromRouter, Hangup, Item, Nothing, Reply

_decode = msgspec.msgpack.Decoder(FromRouter).decode


class RouterClient:
    """One connection; calls may be sent ahead and their answers read in any order."""

    def __init__(self, path: Path | str, timeout: float = 30.0) -> None:
        self.caller: Caller | None = None
        """On whose behalf it asks, as the API would say; None: the test itself, who may everything."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self._frames = FrameDecoder()
        self._ready: list[Reply | Fail | Item] = []
        self._ids = itertools.count(1)

    def __enter__(self) -> RouterClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, op: str, args: Any = None) -> int:
        """Sends a call; its id."""
        call_id = next(self._ids)
        body = msgspec.msgpack.encode(Nothing() if args is None else args)
        self.socket.sendall(encode_frame(Call(call_id, op, body, self.caller)))
        return call_id

    def hang_up(self, call_id: int) -> None:
        self.socket.sendall(encode_frame(Hangup(call_id)))

    def receive(self) -> Reply | Fail | Item:
        """The next frame; EOFError when the router closed the connection."""
        while not self._ready:
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                raise EOFError
            self._ready.extend(_decode(body) for body in self._frames.feed(data))
        return self._ready.pop(0)

    def answer(self, call_id: int) -> Any:
        """The result of one call as plain data, or its CaxtonError; frames of others wait."""
        others: list[Reply | Fail | Item] = []
        try:
            while (frame := self.receive()).call_id != call_id:
                others.append(frame)
        finally:
            self._ready[:0] = others
        if isinstance(frame, Fail):
            raise CaxtonError.from_body(frame.error)
        assert isinstance(frame, Reply), frame
        return msgspec.json.decode(frame.result)

    def call(self, op: str, args: Any = None) -> Any:
        """Asks and waits."""
        return self.answer(self.send(op, args))

    def stream(self, op: str, args: Any) -> Iterator[Any]:
        """The items of a stream until its Reply."""
        call_id = self.send(op, args)
        while True:
            frame = self.receive()
            assert frame.call_id == call_id
            if isinstance(frame, Fail):
                raise CaxtonError.from_body(frame.error)
            if isinstance(frame, Reply):
                return
            yield msgspec.json.decode(frame.item)
