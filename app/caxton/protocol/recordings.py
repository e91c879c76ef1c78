"""Recordings: everything that crossed between one guest and the host in one execution.

Owns their form, which lasts: a file that a node writes today is replayed by another release on another machine. New
fields are optional; what an old reader could not replay gets a new `FORMAT`. A stranger may have written it: it is
checked when it is read. Must never hold a secret's value.
"""

from __future__ import annotations

import zlib
from typing import Final, TypeVar

import msgspec

from caxton.protocol.agents import WASM_PAGE_BYTES, Profile
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import AgentSpec, LogLine, TimerSet, Usage
from caxton.protocol.messages import Message
from caxton.protocol.snapshots import BLOCK_BYTES, MAX_MEMORY_BYTES

FORMAT: Final = 1
MAX_BYTES: Final = 80 * 1024 * 1024
"""The largest recording before it is compressed: a memory of 64 MiB, and what was said."""
MAX_PACKED_BYTES: Final = 16 * 1024 * 1024
"""The largest recording that a node keeps, compressed."""
MAX_FILE_BYTES: Final = 3 * MAX_BYTES
"""The largest file that is read: a recording, and the module that it ran."""
MASK: Final = b"*"
OUTSIDE: Final = frozenset({"http", "request"})
"""Kinds of calls that carry the guest's own words to somebody."""
LEVEL: Final = 1
"""Of compression."""
_STEP_BYTES: Final = 1024 * 1024
_MAGIC: Final = b"caxton-recording\n"
_INPUTS: Final = frozenset({"content", "message"})
_OUTPUTS: Final = frozenset({"auto", "text", "json", "bytes"})
_T = TypeVar("_T", "Recording", "Carried")


class Call(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One answer that the guest got from outside. `what` and `given` are what it asked with, `status` and `data` the
    answer. `kind`: `load`, `secret`, `request`, `http`, `count` as in `HostCall`; `clock` (µs), `random` (`what` =
    bytes), `room` (whether a message found room). `masked`: of a `secret`, `data` is as long as it was, and nothing
    of it; of what is `OUTSIDE`, the guest had a secret and may have told it: `what` and `given` are not here.
    """

    kind: str
    what: str = ""
    given: bytes = b""
    status: int = 0
    data: bytes = b""
    masked: bool = False

    def asks(self, other: Call) -> bool:
        """Whether `other` asks what this did. Of a question that was not kept only the kind is known; what `http`
        asks with is made of the rest, and of how many messages went before it.
        """
        if self.kind != other.kind:
            return False
        return self.hidden or (self.given == other.given and (self.kind == "http" or self.what == other.what))

    @property
    def hidden(self) -> bool:
        """Whether nobody knows what was asked."""
        return self.masked and self.kind in OUTSIDE and not self.what


class Memory(msgspec.Struct, frozen=True):
    """A warm instance before its execution: blocks of 4,096 bytes by number, what is not named is zero.

    `globals` as in `Snapshot`; None where the module keeps its own (no `state = "snapshot"`): then they are those of
    a fresh instance. `fuel_used`, `calls_made`: by this execution until then, as it had to be restored itself.
    """

    size: int
    blocks: list[tuple[int, bytes]]
    globals: bytes | None = None
    fuel_used: int = 0
    calls_made: int = 0


class Ended(msgspec.Struct, frozen=True):
    """What the execution did, and how it ended; fields as in `Result`.

    `sent` is without the reply; `performative` is the reply's, if a reactor gave one. `memory`: digest of memory and
    globals after it, where the instance stayed.
    """

    status: str
    usage: Usage
    code: str | None = None
    detail: str | None = None
    backtrace: str | None = None
    exit_code: int | None = None
    reply: bytes | None = None
    sent: list[Message] = []
    writes: list[tuple[str, bytes | None]] = []
    timers_set: list[TimerSet] = []
    timers_cancelled: list[int] = []
    topics: list[str] = []
    logs: list[LogLine] = []
    memory: str | None = None
    performative: str | None = None


class Divergence(msgspec.Struct, frozen=True):
    """The first host call of a replay that is not the recorded one. `number` from 1; None: there was none."""

    number: int
    recorded: Call | None
    found: Call | None


class Recording(msgspec.Struct, frozen=True):
    """One execution. Times in seconds since the epoch, `began_us` in microseconds. `lacks`: what could not be
    recorded, in words; such a recording can be read but not replayed. `engine`: the wasmtime that ran it.
    """

    format: int
    spec: AgentSpec
    message: Message
    incarnation: int
    began_us: int
    seed: int
    last_timer_id: int
    ended: Ended
    engine: str = ""
    timer_id: int | None = None
    before: Memory | None = None
    calls: list[Call] = []
    lacks: str | None = None
    diverged: Divergence | None = None
    """Only in what a replay gives."""
    unanswered: bool = False
    """Likewise: it ended because the guest asked for what nobody was asked when it was recorded."""

    @property
    def masked(self) -> list[str]:
        """Names of the secrets that the guest got and that are not here."""
        return sorted({call.what for call in self.calls if call.masked and call.kind == "secret"})


class RecordingOf(msgspec.Struct, frozen=True):
    """The recording of an execution; with `module` also what it ran."""

    name: str
    module: bool = True


class RecordedView(msgspec.Struct, frozen=True):
    """An execution that can be replayed. `at`: when it was recorded, RFC 3339; `bytes`: as it is kept."""

    execution: str
    at: str = ""
    bytes: int = 0


class RecordingView(msgspec.Struct, frozen=True):
    """A recording, packed, and the module that it ran, if asked for; base64."""

    execution: str
    recording: bytes
    module: bytes | None = None


class Carried(msgspec.Struct, frozen=True):
    """A recording with its module, to be replayed anywhere. `execution`: its id on the node it comes from."""

    execution: str
    recording: Recording
    module: bytes


def pack(recording: Recording, limit: int = MAX_BYTES) -> bytes | None:
    """As it crosses between processes and is kept; None when it would be larger than `MAX_BYTES`, or than `limit`
    when it is compressed: then it is given up on the way, for what hardly shrinks also takes longest.
    """
    data = memoryview(msgspec.msgpack.encode(recording))
    if len(data) > MAX_BYTES:
        return None
    squeeze = zlib.compressobj(LEVEL)
    packed = bytearray()
    for start in range(0, len(data), _STEP_BYTES):
        packed += squeeze.compress(data[start : start + _STEP_BYTES])
        if len(packed) > limit:
            return None
    packed += squeeze.flush()
    return bytes(packed) if len(packed) <= limit else None


def unpack(data: bytes) -> Recording:
    """`INVALID_REQUEST` for anything but a whole recording of a format that this release knows."""
    return _decoded(data, Recording)


def write_carried(carried: Carried) -> bytes:
    """The contents of a file."""
    return _MAGIC + zlib.compress(msgspec.msgpack.encode(carried), LEVEL)


def read_carried(data: bytes) -> Carried:
    """The reverse; `INVALID_REQUEST` as for `unpack`."""
    if not data.startswith(_MAGIC):
        raise _invalid("it is no recording")
    return _decoded(data[len(_MAGIC) :], Carried)


def _decoded(data: bytes, kind: type[_T]) -> _T:
    limit = MAX_FILE_BYTES if kind is Carried else MAX_BYTES
    inflate = zlib.decompressobj()
    try:
        whole = inflate.decompress(data, limit)
        if not inflate.eof:
            raise _invalid("it is cut off, or too large")
        _require_format(whole, kind)
        found = msgspec.msgpack.decode(whole, type=kind)
        _require_sound(found if isinstance(found, Recording) else found.recording)
    except (zlib.error, ValueError, RecursionError) as problem:  # msgspec's errors are ValueErrors
        raise _invalid(str(problem)) from None
    return found


class _Headed(msgspec.Struct):
    format: int


class _HeadedCarried(msgspec.Struct):
    recording: _Headed


def _require_format(data: bytes, kind: type[Recording | Carried]) -> None:
    """Before the rest of it is looked at: of another format everything may be different."""
    if kind is Carried:
        version = msgspec.msgpack.decode(data, type=_HeadedCarried).recording.format
    else:
        version = msgspec.msgpack.decode(data, type=_Headed).format
    if version != FORMAT:
        raise _invalid(f"its format is {version}, this release knows {FORMAT}")


def _require_sound(recording: Recording) -> None:
    """What no worker writes is refused, above all what would reach something of the host."""
    spec, before = recording.spec, recording.before
    if spec.dirs or spec.profile is Profile.THREADS:
        raise _invalid("it claims directories of the host, or threads: such agents are not recorded")
    if spec.input not in _INPUTS or spec.output not in _OUTPUTS or spec.memories < 1:
        raise _invalid("no agent is configured like that")
    numbers = (recording.began_us, recording.last_timer_id, *(call.status for call in recording.calls))
    if not all(-(2**63) <= number < 2**63 for number in numbers):
        raise _invalid("a number in it has more than 64 bits")
    if not all(_is_answer(call) for call in recording.calls):
        raise _invalid("an answer in it is none")
    if before is not None and not _is_memory(before):
        raise _invalid("the memory in it is none")


def _is_answer(call: Call) -> bool:
    if call.kind == "request" and call.status >= 0 and call.data:
        msgspec.msgpack.decode(call.data, type=Message)
    return call.kind != "random" or call.what == str(len(call.data))


def _is_memory(before: Memory) -> bool:
    count = before.size // BLOCK_BYTES
    return (
        0 <= before.size <= MAX_MEMORY_BYTES
        and before.size % WASM_PAGE_BYTES == 0
        and before.fuel_used >= 0
        and before.calls_made >= 0
        and all(0 <= number < count and len(data) == BLOCK_BYTES for number, data in before.blocks)
    )


def _invalid(why: str) -> CaxtonError:
    return CaxtonError(Code.INVALID_REQUEST, f"the recording cannot be read: {why}", reason=why)
