"""serf's RPC, as far as it is used here: msgpack over a TCP connection to the agent on this host.

Owns the calls, their deadlines and the order of what comes back. Must never keep what it hears, nor connect again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from caxton.cluster.gossip.cutter import Cutter
from caxton.config import split_address
from caxton.protocol.errors import CaxtonError, Code

CALL_SECONDS: Final = 5.0
JOIN_SECONDS: Final = 60.0
"""serf tries one address after the other, ten seconds each."""
KEYS_SECONDS: Final = 30.0
LEAVE_SECONDS: Final = 30.0
MEMBER_EVENTS: Final = "member-join,member-leave,member-failed,member-update,member-reap"
_VERSION: Final = 1
_NOTHING: Final = b""
_Body = TypeVar("_Body")


class MemberRow(msgspec.Struct, frozen=True):
    """One member, of all that serf says of it. `Status`: none, alive, leaving, left, failed."""

    Name: str
    Status: str
    Tags: dict[str, str] | None = None


class KeysAnswer(msgspec.Struct, frozen=True):
    """What came of a call about keys. `Messages`: what single nodes had to say; `Keys`: on how many each is."""

    NumNodes: int = 0
    NumErr: int = 0
    NumResp: int = 0
    Messages: dict[str, str] | None = None
    Keys: dict[str, int] | None = None


class _Members(msgspec.Struct):
    Members: list[MemberRow] | None = None


class _Joined(msgspec.Struct):
    Num: int


class _Head(msgspec.Struct):
    Seq: int
    Error: str


_decode_head: Final = msgspec.msgpack.Decoder(_Head).decode


@dataclass
class _Waiting:
    """A call without an answer yet. `bodied`: a body comes after the head; `always`: also after one with an error."""

    bodied: bool
    always: bool = False
    error: str = ""
    answer: asyncio.Future[tuple[str, bytes]] = field(default_factory=lambda: asyncio.Future())

    def settle(self, body: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result((self.error, body))


class Client:
    """One connection. Calls may overlap, though serf works them off one by one; each has its own deadline."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._last = 0
        self._waiting: dict[int, _Waiting] = {}
        self._streams: dict[int, Callable[[], None]] = {}
        self._lost: CaxtonError | None = None
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def members(self) -> list[MemberRow]:
        """Every member that serf knows, whatever became of it."""
        return _as(_Members, await self._call("members", bodied=True)).Members or []

    async def set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets these tags of the node; it tells the others within a second or so."""
        await self._call("tags", {"Tags": dict(tags), "DeleteTags": []})

    async def on_member_event(self, callback: Callable[[], None]) -> None:
        """From now on, calls back when something became of a member, and when the connection is gone.

        Ask `members` what: serf may drop an event.
        """
        await self._call("stream", {"Type": MEMBER_EVENTS}, stream=callback)

    async def join(self, addresses: list[str]) -> int:
        """Joins those that answer; how many did. serf calls it an error when none does: that is 0 here."""
        body = await self._call(
            "join", {"Existing": addresses, "Replay": False}, bodied=True, always=True, seconds=JOIN_SECONDS
        )
        return max(0, _as(_Joined, body).Num)

    async def leave(self) -> None:
        """Says goodbye; the others see it as left, and serf ends."""
        await self._call("leave", seconds=LEAVE_SECONDS)

    async def force_leave(self, node: str) -> None:
        """Sends a node away that serf calls failed, so that nobody waits for it any longer."""
        await self._call("force-leave", {"Node": node})

    async def keys(self, verb: str, key: str | None = None) -> KeysAnswer:
        """`install`, `use`, `remove` a key on every node, or `list` them; the answer says which nodes refused."""
        op = "list-keys" if verb == "list" else f"{verb}-key"
        body = await self._call(
            op, None if key is None else {"Key": key}, bodied=True, always=True, seconds=KEYS_SECONDS
        )
        return _as(KeysAnswer, body)

    async def close(self) -> None:
        """Ends the connection."""
        self._reading.cancel()
        self._writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._reading

    async def handshake(self, token: str) -> None:
        """The first calls of a connection. `UNAUTHORIZED` when serf wants another token."""
        await self._call("handshake", {"Version": _VERSION})
        try:
            await self._call("auth", {"AuthKey": token})
        except CaxtonError as error:
            raise CaxtonError(
                Code.UNAUTHORIZED, f"serf refuses the token of its RPC: {error.details.get('reason', error.message)}"
            ) from None

    async def _call(
        self,
        op: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        bodied: bool = False,
        always: bool = False,
        stream: Callable[[], None] | None = None,
        seconds: float = CALL_SECONDS,
    ) -> bytes:
        if self._lost is not None:
            raise self._lost
        self._last += 1
        number, waiting = self._last, _Waiting(bodied, always)
        self._waiting[number] = waiting
        if stream is not None:
            self._streams[number] = stream
        self._writer.write(msgspec.msgpack.encode({"Command": op, "Seq": number}))
        if arguments is not None:
            self._writer.write(msgspec.msgpack.encode(arguments))
        try:
            async with asyncio.timeout(seconds):
                error, body = await waiting.answer
        except TimeoutError:
            raise CaxtonError(Code.UNREACHABLE, f"serf did not answer {op} within {seconds:g} s", op=op) from None
        finally:
            self._waiting.pop(number, None)
        if error and not body:
            raise CaxtonError(Code.INTERNAL_ERROR, f"serf refuses {op}: {error}", op=op, reason=error)
        return body

    async def _read(self) -> None:
        cutter, number = Cutter(), 0
        why = "serf closed the connection"
        try:
            while data := await self._reader.read(65_536):
                for value in cutter.feed(data):
                    number = self._take(value, number)
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            why = f"the connection to serf broke: {error}"
        finally:
            self._lost = CaxtonError(Code.UNREACHABLE, why)
            for waiting in self._waiting.values():
                if not waiting.answer.done():
                    waiting.answer.set_exception(self._lost)
            for callback in self._streams.values():
                callback()

    def _take(self, value: bytes, number: int) -> int:
        """One value from serf; `number` is of the call whose head came last. Answers the same for the next value."""
        try:
            head = _decode_head(value)
        except msgspec.ValidationError:  # what is no head is the body of the one before
            self._take_body(number, value)
            return number
        waiting = self._waiting.get(head.Seq)
        if waiting is not None:
            waiting.error = head.Error
            if not waiting.bodied or (head.Error and not waiting.always):
                waiting.settle(_NOTHING)
        return head.Seq

    def _take_body(self, number: int, value: bytes) -> None:
        if number in self._streams:
            self._streams[number]()
        elif number in self._waiting:
            self._waiting[number].settle(value)


@contextlib.asynccontextmanager
async def connect(address: str, token: str) -> AsyncIterator[Client]:
    """A connection to the agent at `address` (`"host:port"`), ready for calls.

    `UNREACHABLE` when nobody answers there, `UNAUTHORIZED` when the token is another's.
    """
    host, port = split_address(address)
    try:
        async with asyncio.timeout(CALL_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no answer"
        raise CaxtonError(Code.UNREACHABLE, f"serf does not answer at {address}: {reason}", address=address) from None
    client = Client(reader, writer)
    try:
        await client.handshake(token)
        yield client
    finally:
        await client.close()


def _as(kind: type[_Body], body: bytes) -> _Body:
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise CaxtonError(Code.INTERNAL_ERROR, f"serf answers what nobody understands: {error}") from None
