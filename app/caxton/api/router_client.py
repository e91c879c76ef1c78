"""The connection of one API worker to the router: many calls in flight, answers in any order.

Owns the socket, its reconnection and the greenlets that wait. Must never interpret a result: that is
JSON text which the views pass on.
"""

from __future__ import annotations

import itertools
import select
import socket
from collections.abc import Generator
from time import monotonic
from typing import Any, Final

import msgspec
from gevent import monkey
from gevent.hub import Waiter, get_hub
from gevent.queue import Empty, Queue

from caxton.protocol.access import Caller
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.frames import FrameDecoder, encode_frame
from caxton.protocol.operations import Call, Fail, FromRouter, Hangup, Item, Reply

_socket = monkey.get_original("socket", "socket")
_poll = monkey.get_original("select", "poll")
READ_BYTES: Final = 256 * 1024
SWEEP_SECONDS: Final = 0.25
"""How soon a caller who went away, or a deadline, is noticed: no timer and no watcher for each call."""
STREAM_BACKLOG: Final = 1_000
_FIRST_RETRY, _LAST_RETRY = 0.02, 0.5
_READ, _WRITE = 1, 2

Elements = Generator["bytes | None", None, None]
_pack = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(FromRouter).decode


class ClientGoneError(Exception):
    """The HTTP client closed its connection while it waited; nobody reads an answer any more."""


class _Pending:
    """A call under way. `fd` is the HTTP client's socket (-1: do not look), `queue` is set for a stream."""

    __slots__ = ("deadline", "fd", "queue", "waiter")

    def __init__(self, waiter: Any, deadline: float | None, fd: int, queue: Any = None) -> None:
        self.waiter, self.deadline, self.fd, self.queue = waiter, deadline, fd, queue

    def settle(self, outcome: bytes | Item | Exception) -> None:
        """Hands the outcome to the greenlet that waits; called in the hub."""
        if self.queue is not None:
            self.queue.put_nowait(outcome)
        elif isinstance(outcome, Exception):
            self.waiter.throw(outcome)
        else:
            self.waiter.switch(outcome)


class RouterClient:
    """One multiplexed connection, made when it is first needed and again after it was lost.

    Every method but the constructor must run in the process and thread of the hub that it first ran in.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._sock: Any = None
        self._ids = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        self._out: list[bytes] = []
        self._sending = memoryview(b"")
        self._flush_due = False
        self._retry_at = 0.0
        self._retry_delay = _FIRST_RETRY
        self._sweeper: Any = None

    def call(
        self, op: str, args: msgspec.Struct, *, timeout: float, fd: int = -1, caller: Caller | None = None
    ) -> bytes:
        """The JSON text of the result; `CaxtonError` as the router raised it, `NOT_READY` without a router.

        `caller`: on whose behalf; None = the API's own question.
        After `timeout` seconds, or when the peer of `fd` hangs up, the router is told to forget the call.
        """
        waiter = Waiter(self._connect())
        call_id = self._start(op, args, _Pending(waiter, monotonic() + timeout, fd), caller)
        try:
            result: bytes = waiter.get()
        except BaseException:
            self._abandon(call_id)
            raise
        return result

    def stream(
        self,
        op: str,
        args: msgspec.Struct,
        *,
        fd: int = -1,
        first: float,
        idle: float,
        caller: Caller | None = None,
    ) -> Elements:
        """Yields each element's JSON text, or None after `idle` seconds of silence (`first` before the first).

        It ends when the router ends it; closing it tells the router to.
        """
        self._connect()
        queue: Any = Queue()
        call_id = self._start(op, args, _Pending(None, None, fd, queue), caller)
        return self._elements(call_id, queue, first, idle)

    def _elements(self, call_id: int, queue: Any, patience: float, idle: float) -> Elements:
        try:
            while True:
                try:
                    element = queue.get(timeout=patience)
                except Empty:
                    patience = idle
                    yield None
                    continue
                if isinstance(element, Exception):
                    raise element
                if not isinstance(element, Item):
                    return
                yield element.item
        finally:
            self._abandon(call_id)

    def _start(self, op: str, args: msgspec.Struct, pending: _Pending, caller: Caller | None) -> int:
        try:
            packed = _pack(args)
        except OverflowError:
            raise CaxtonError(
                Code.INVALID_REQUEST, "a whole number is out of range", expected="whole numbers of at most 64 bits"
            ) from None
        call_id = next(self._ids)
        self._pending[call_id] = pending
        self._send(encode_frame(Call(call_id, op, packed, caller)))
        return call_id

    def _abandon(self, call_id: int) -> None:
        if self._pending.pop(call_id, None) is not None and self._sock is not None:
            self._send(encode_frame(Hangup(call_id)))

    def _connect(self) -> Any:
        hub = get_hub()
        if self._sock is not None:
            return hub
        if monotonic() < self._retry_at:
            raise _away()
        sock = _socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()
            self._retry_at = monotonic() + self._retry_delay
            self._retry_delay = min(self._retry_delay * 2, _LAST_RETRY)
            raise _away() from None
        self._sock, self._frames, self._retry_delay = sock, FrameDecoder(), _FIRST_RETRY
        self._reader = hub.loop.io(sock.fileno(), _READ)
        self._writer = hub.loop.io(sock.fileno(), _WRITE)
        self._reader.start(self._on_readable)
        if self._sweeper is None:
            self._sweeper = hub.loop.timer(SWEEP_SECONDS, SWEEP_SECONDS, ref=False)
            self._sweeper.start(self._sweep)
        return hub

    def _lose(self) -> None:
        """The router went away: everything that waits fails, and the next call connects again."""
        if self._sock is None:
            return
        self._reader.close()
        self._writer.close()
        self._sock.close()
        self._sock, self._sending = None, memoryview(b"")
        self._out.clear()
        pending, self._pending = self._pending, {}
        for waiting in pending.values():
            waiting.settle(_away())

    def _send(self, frame: bytes) -> None:
        self._out.append(frame)
        if not self._flush_due:
            self._flush_due = True
            get_hub().loop.run_callback(self._flush)

    def _flush(self) -> None:
        """Writes what has gathered in this turn of the loop, in one call."""
        self._flush_due = False
        if self._sock is None:
            return
        try:
            while self._sending or self._out:
                if not self._sending:
                    self._sending = memoryview(b"".join(self._out))
                    self._out.clear()
                self._sending = self._sending[self._sock.send(self._sending) :]
        except BlockingIOError:
            self._flush_due = True
            self._writer.start(self._on_writable)
        except OSError:
            self._lose()

    def _on_writable(self) -> None:
        self._writer.stop()
        self._flush()

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        try:
            frames = [_decode(body) for body in self._frames.feed(data)]
        except (CaxtonError, msgspec.DecodeError):
            self._lose()
            return
        for frame in frames:
            self._settle(frame)

    def _settle(self, frame: Reply | Fail | Item) -> None:
        waiting = self._pending.get(frame.call_id)
        if waiting is None:
            return
        if isinstance(frame, Item):
            self._offer(frame, waiting)
            return
        del self._pending[frame.call_id]
        waiting.settle(CaxtonError.from_body(frame.error) if isinstance(frame, Fail) else frame.result)

    def _offer(self, item: Item, waiting: _Pending) -> None:
        if waiting.queue is None:
            return
        if waiting.queue.qsize() < STREAM_BACKLOG:
            waiting.queue.put_nowait(item)
            return
        self._abandon(item.call_id)
        waiting.queue.put_nowait(CaxtonError(Code.RATE_LIMITED, "the reader of this stream is too slow"))

    def _sweep(self) -> None:
        """Ends calls whose deadline has passed or whose HTTP client hung up."""
        now = monotonic()
        gone = self._hung_up()
        for call_id, waiting in list(self._pending.items()):
            if waiting.fd in gone:
                self._abandon(call_id)
                waiting.settle(ClientGoneError())
            elif waiting.deadline is not None and now > waiting.deadline:
                self._abandon(call_id)
                waiting.settle(CaxtonError(Code.NOT_READY, "the router did not answer in time"))

    def _hung_up(self) -> set[int]:
        poll = _poll()
        for waiting in self._pending.values():
            if waiting.fd >= 0:
                poll.register(waiting.fd, select.POLLRDHUP)
        return {fd for fd, _ in poll.poll(0)}


def _away() -> CaxtonError:
    return CaxtonError(
        Code.NOT_READY,
        "the router cannot be reached; what was under way may or may not have been accepted: "
        "repeat it with the same message_id or Idempotency-Key",
    )
