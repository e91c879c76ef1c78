"""One connection to the router's socket: frames in, calls in flight, answers out.

Owns flow control and the life of a call. Must never die of what a client sends: it answers or closes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from caxton.protocol.access import Caller, local_caller
from caxton.protocol.errors import CaxtonError, Code, ErrorBody
from caxton.protocol.frames import FrameDecoder, encode_frame
from caxton.protocol.ids import new_id
from caxton.protocol.operations import OPERATIONS, Call, Fail, Farewell, Hangup, Item, Reply, ToRouter
from caxton.telemetry.concern import concerns

MAX_CALLS_IN_FLIGHT: Final = 16_384
MAX_BYTES_IN_FLIGHT: Final = 512 * 1024 * 1024
WRITE_HIGH_BYTES: Final = 4 * 1024 * 1024
WRITE_LOW_BYTES: Final = 1024 * 1024

log = logging.getLogger(__name__)
_decode_frame = msgspec.msgpack.Decoder(ToRouter).decode
_encode_json = msgspec.json.encode


class Sink:
    """Where a stream puts its items; waits while the client does not read."""

    def __init__(self, connection: Connection, call_id: int) -> None:
        self._connection = connection
        self._call_id = call_id

    async def put(self, item: Any) -> None:
        """Sends one item as soon as the client has room for it; every other call gets its turn in between."""
        await self._connection.writable()
        self._connection.send(Item(self._call_id, _encode_json(item)))
        await asyncio.sleep(0)  # the flush, and with it the transport's word on how full it is

    def becomes_a_link(self, node: Caller) -> None:
        """From now on the connection is another node's: see `Connection.becomes_a_link`."""
        self._connection.becomes_a_link(node)


class Cancellable(Protocol):
    """A call under way: a task, or what `Begin` gave."""

    def cancel(self) -> Any:
        """The client hung up."""


Handler = Callable[[Any, Sink, Caller], Awaitable[Any]]
Answered = Callable[[Any], None]
"""Takes a result, or the `CaxtonError` instead of it."""
Begin = Callable[[Any, Answered, Caller], Cancellable | None]


@dataclass(frozen=True, slots=True)
class Operation:
    """How one operation's arguments are decoded and who answers it.

    `begin` answers without a task, in a later turn of the loop; where it gives None, `handler` is asked.
    """

    decode: Callable[[bytes], Any]
    handler: Handler
    begin: Begin | None = None


Operations = Mapping[str, Operation]


class Connection(asyncio.Protocol):
    """One client. Calls run side by side; their answers leave together once per turn of the loop."""

    def __init__(
        self,
        operations: Operations,
        links: Operations,
        opened: Callable[[Connection], bool],
        closed: Callable[[Connection], None],
    ) -> None:
        self._operations, self._of_links = operations, links
        self._is_link = self._is_ending = False
        self._last = 0
        self._opened, self._closed = opened, closed
        self._frames = FrameDecoder()
        self._calls: dict[int, Cancellable] = {}
        self._sizes: dict[int, int] = {}
        self._bytes_in_flight = 0
        self._out: list[bytes] = []
        self._flushing = False
        self._loop = asyncio.get_running_loop()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport | None = None
        self._peer = local_caller(0)

    @property
    def calls_in_flight(self) -> int:
        """Calls that have no answer yet."""
        return len(self._calls)

    # ---- asyncio's side ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there."""
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES, low=WRITE_LOW_BYTES)
        self._transport = transport
        self._peer = local_caller(_peer_uid(transport))
        if not self._opened(self):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: nobody waits for its calls any more."""
        self._transport = None
        self._closed(self)
        self._writable.set()
        for task in list(self._calls.values()):
            task.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes came; every whole frame in them is taken."""
        try:
            for body in self._frames.feed(data):
                self._take(_decode_frame(body))
        except (CaxtonError, msgspec.DecodeError) as error:
            log.warning("connection closed: malformed frame: %s", error)
            self.abort()

    def eof_received(self) -> bool:
        """The client sends nothing any more. A node is told where it was cut off, and gets what is under way."""
        if not self._is_link:
            return False
        self.send(Farewell(self._last))
        self._loop.call_soon(self._end_when_answered)
        self._is_ending = True
        return True

    def pause_writing(self) -> None:
        """The client reads too slowly: take nothing more from it until it has read."""
        self._writable.clear()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has read."""
        self._writable.set()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # ---- our side ----------------------------------------------------------------------------------

    async def writable(self) -> None:
        """Returns when the client has room; raises CancelledError by way of the task when it is gone."""
        if not self._writable.is_set():
            await self._writable.wait()

    def becomes_a_link(self, node: Caller) -> None:
        """From now on `node` asks, whatever a call says of its caller, and `peer.*` only. To be called once."""
        if self._is_link or len(self._calls) > 1:
            raise CaxtonError(Code.INVALID_REQUEST, "peer.open is the first call on a connection, and made once")
        self._operations, self._peer, self._is_link = self._of_links, node, True

    def send(self, frame: Reply | Fail | Item | Farewell) -> None:
        """Queues a frame; all of one turn of the loop leave in one write."""
        if self._transport is None:
            return
        self._out.append(encode_frame(frame))
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Sends what is queued, then ends the connection."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Ends the connection now."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        self._flushing = False
        if self._transport is not None and self._out:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _take(self, frame: Call | Hangup) -> None:
        if isinstance(frame, Hangup):
            task = self._calls.get(frame.call_id)
            if task is not None:
                task.cancel()
                if not isinstance(task, asyncio.Task):
                    self._forget(frame.call_id)
            return
        if frame.call_id in self._calls:
            raise CaxtonError(Code.INVALID_REQUEST, f"call {frame.call_id} is already in flight")
        size, self._last = len(frame.args), frame.call_id
        if len(self._calls) >= MAX_CALLS_IN_FLIGHT or self._bytes_in_flight + size > MAX_BYTES_IN_FLIGHT:
            self.send(Fail(frame.call_id, _busy()))
            return
        operation = self._operations.get(frame.op)
        if operation is None or operation.begin is None or not self._begin(frame, operation.decode, operation.begin):
            self._sizes[frame.call_id] = size
            self._bytes_in_flight += size
            self._calls[frame.call_id] = self._loop.create_task(self._answer(frame))

    def _begin(self, frame: Call, decode: Callable[[bytes], Any], begin: Begin) -> bool:
        """Answers a call without a task; False = it needs one."""
        caller = self._caller(frame)
        try:
            call = begin(decode(frame.args), partial(self._answered, frame.call_id), caller)
            if call is None:
                return False
            self._sizes[frame.call_id] = len(frame.args)
            self._bytes_in_flight += len(frame.args)
            self._calls[frame.call_id] = call
        except Exception as error:
            self.send(Fail(frame.call_id, _failure(frame.op, error, caller)))
        return True

    def _answered(self, call_id: int, answer: Any) -> None:
        self._forget(call_id)
        if isinstance(answer, CaxtonError):
            self.send(Fail(call_id, answer.body()))
        else:
            self.send(Reply(call_id, _encode_json(answer)))

    def _forget(self, call_id: int) -> None:
        self._calls.pop(call_id, None)
        self._bytes_in_flight -= self._sizes.pop(call_id, 0)
        if self._is_ending:
            self._loop.call_soon(self._end_when_answered)

    def _end_when_answered(self) -> None:
        if not self._calls:
            self.close()

    def _caller(self, call: Call) -> Caller:
        return self._peer if self._is_link else call.caller or self._peer

    def _unknown(self, op: str) -> CaxtonError:
        if op in OPERATIONS:
            return CaxtonError(
                Code.FORBIDDEN, f"{op}: nodes ask each other for peer.*, over their links, and for nothing else there"
            )
        return CaxtonError(Code.INVALID_REQUEST, f"no operation is called {op[:64]!r}", path="op")

    async def _answer(self, call: Call) -> None:
        call_id, op, caller = call.call_id, call.op, self._caller(call)
        about = concerns(caller.request_id, caller.trace_id)
        try:
            operation = self._operations.get(op)
            if operation is None:
                raise self._unknown(op)
            result = await operation.handler(operation.decode(call.args), Sink(self, call_id), caller)
            self.send(Reply(call_id, _encode_json(result)))
        except asyncio.CancelledError:
            log.debug("call %d (%s) cancelled", call_id, op)  # the caller hung up: nobody is told
        except Exception as error:
            self.send(Fail(call_id, _failure(op, error, caller)))
        finally:
            about.end()
            self._forget(call_id)


def _peer_uid(transport: asyncio.Transport) -> int:
    """Who the kernel says is at the other end of the socket."""
    peer = transport.get_extra_info("socket")
    _pid, uid, _gid = struct.unpack(
        "3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return int(uid)


def _failure(op: str, error: Exception, caller: Caller) -> ErrorBody:
    """What the caller is told; called while the exception is handled."""
    if isinstance(error, CaxtonError):
        return error.body()
    if isinstance(error, msgspec.DecodeError):
        return ErrorBody(Code.INVALID_REQUEST, f"{op}: {error}")
    return _unexpected(op, caller)


def _busy() -> ErrorBody:
    return ErrorBody(
        Code.NOT_READY, "too many calls are in flight on this connection; try again", {"retry_after_seconds": 1}
    )


def _unexpected(op: str, caller: Caller) -> ErrorBody:
    trace_id = caller.trace_id or new_id().replace("-", "")
    about = concerns(caller.request_id, trace_id)
    log.exception("operation %s failed unexpectedly", op)
    about.end()
    return ErrorBody(
        Code.INTERNAL_ERROR, "the node failed to answer this; its log has the details", {"trace_id": trace_id}
    )
