r"""Tokenises function bodies at the speed of the `re` module.

Owns the encoding of every instruction: how many immediates follow which opcode. Must never validate: the
bytes have passed wasmtime's validation, and an instruction that is unknown here is refused by the caller.

One pattern swallows a run of instructions without structure and captures the opcode of the next one that
has some; `findall` so turns a body into the short list of its control instructions without one step of
Python per instruction (42 MB of code in about three seconds).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_L: Final = rb"[\x80-\xff]*+[\x00-\x7f]"  # LEB128
_PLAIN_TYPE: Final = rb"(?:[\x63\x64]" + _L + rb"|[\x40\x65-\x7f])"  # no result or one, no parameters
_MEMARG: Final = rb"(?:[\x00-\x3f]" + _L + rb"|[\x40-\x7f]" + _L + _L + rb")"  # bit 6: a memory index follows
_SELECT_T: Final = rb"\x1c\x01(?:[\x63\x64]" + _L + rb"|[\x65-\x7f])"


def _sub(numbers: range | tuple[int, ...]) -> bytes:
    """Alternatives of the LEB128 sub-opcodes `numbers` (shortest encoding; others are refused as unknown)."""
    short = bytes(n for n in numbers if n < 0x80)
    ways = [b"[" + b"".join(re.escape(bytes([n])) for n in short) + b"]"] if short else []
    pages: dict[int, list[int]] = {}
    for number in numbers:
        if number >= 0x80:
            pages.setdefault(number >> 7, []).append((number & 0x7F) | 0x80)
    for page, lows in pages.items():
        ways.append(b"[" + b"".join(re.escape(bytes([n])) for n in lows) + b"]" + re.escape(bytes([page])))
    return b"(?:" + b"|".join(ways) + b")"


_NUMERIC: Final = rb"\xfc(?:" + b"|".join((
    _sub(range(8)),
    _sub((11, 16)) + _L,
    _sub((8, 10)) + _L + _L,
)) + rb")"  # fmt: skip
_VECTOR: Final = rb"\xfd(?:" + b"|".join((
    _sub((*range(12), 92, 93)) + _MEMARG,
    _sub((12, 13)) + rb"[\s\S]{16}",
    _sub(range(21, 35)) + rb"[\s\S]",
    _sub(range(84, 92)) + _MEMARG + rb"[\s\S]",
    _sub((*range(14, 21), *range(35, 84), *range(94, 0x114))),
)) + rb")"  # fmt: skip
_ATOMIC: Final = rb"\xfe(?:\x03[\s\S]|[\x00-\x02\x10-\x4e]" + _MEMARG + rb")"
_GC: Final = rb"\xfb(?:" + b"|".join((
    _sub((*range(15, 16), *range(26, 31))),
    _sub((0, 1, 6, 7, 11, 12, 13, 14, 16, 20, 21, 22, 23)) + _L,
    _sub((2, 3, 4, 5, 8, 9, 10, 17, 18, 19)) + _L + _L,
    _sub((24, 25)) + rb"[\s\S]" + _L + _L + _L,
)) + rb")"  # fmt: skip

_LASTING: Final = b"|".join((
    rb"[\x20-\x25\x10\x41\x42]" + _L,             # locals, globals, table.get, call, i32/i64.const
    rb"[\x45-\xc4\x0f\x1a\x1b\x00\x01\xd1\xd3\xd4\x0a]",
    rb"[\x28-\x3e]" + _MEMARG,                    # loads and stores
    rb"[\x3f\x40\xd0\xd2\x08\x12\x14\x15]" + _L,  # memory.size/grow, ref.null/func, throw, tail calls
    rb"[\x11\x13]" + _L + _L,                     # call_indirect
    rb"\x44[\s\S]{8}|\x43[\s\S]{4}",
    _NUMERIC, _VECTOR, _SELECT_T, _ATOMIC,
))  # fmt: skip
_FORGETFUL: Final = b"|".join((
    rb"\x26" + _L,  # table.set, then data.drop, elem.drop, table.grow, table.fill; table.init, table.copy
    rb"\xfc(?:" + _sub((9, 13, 15, 17)) + _L + rb"|" + _sub((12, 14)) + _L + _L + rb")",
    _GC,
))  # fmt: skip
"""What changes something that is neither memory nor a global."""
_PLAIN: Final = _LASTING + rb"|" + _FORGETFUL

MAX_CATCHES: Final = 64
_CATCH: Final = rb"(?:[\x00\x01]" + _L + _L + rb"|[\x02\x03]" + _L + rb")"
_CATCHES: Final = b"|".join(re.escape(bytes([n])) + _CATCH + b"{%d}" % n for n in range(MAX_CATCHES + 1))
_TARGETS: Final = b"|".join(re.escape(bytes([n])) + b"(?:" + _L + b"){%d}" % (n + 1) for n in range(128))

BLOCK: Final = 0x02
LOOP: Final = 0x03
IF: Final = 0x04
ELSE: Final = 0x05
END: Final = 0x0B
BR_TABLE: Final = 0x0E
TRY_TABLE: Final = 0x1F
BRANCHES: Final = b"\x0c\x0d\xd5\xd6"
TYPED: Final = frozenset((BLOCK, LOOP, IF, TRY_TABLE))
STRUCTURED: Final = bytes((BLOCK, LOOP, IF, ELSE, END, BR_TABLE, TRY_TABLE)) + BRANCHES

_AFTER: Final = b"|".join((
    rb"(?<=[\x02-\x04])" + _PLAIN_TYPE,
    rb"(?<=[\x0c\x0d\xd5\xd6])" + _L,
    rb"(?<=[\x05\x0b])",
    rb"(?<=\x0e)(?:" + _TARGETS + rb")",
    rb"(?<=\x1f)" + _PLAIN_TYPE + rb"(?:" + _CATCHES + rb")",
    rb"[\s\S]*+",  # anything else: the rest of the body is swallowed, see control_of
))  # fmt: skip

_FAST: Final = re.compile(rb"(?:" + _PLAIN + rb")*+([\s\S])(?:" + _AFTER + rb")")
_UP_TO_VARIABLE: Final = re.compile(
    rb"(?:" + _PLAIN + rb"|[\x02-\x04]" + _PLAIN_TYPE + rb"|[\x0c\x0d\xd5\xd6]" + _L + rb"|[\x05\x0b]"
    rb"|\x1f" + _PLAIN_TYPE + rb"(?:" + _CATCHES + rb"))*+"
)
# Without a lookahead: before Python 3.11.5, where one fails within `*+`, the match ends too late.
_UP_TO_FORGETFUL: Final = re.compile(
    rb"(?:" + _LASTING + rb"|[\x02-\x04]" + _PLAIN_TYPE + rb"|[\x0c\x0d\xd5\xd6]" + _L + rb"|[\x05\x0b]"
    rb"|\x1f" + _PLAIN_TYPE + rb"(?:" + _CATCHES + rb"))*+"
)
_LEB: Final = re.compile(_L)
_CATCH_LIST: Final = re.compile(_CATCHES)


class Control(NamedTuple):
    """The control instructions of one body: their opcodes in order.

    A block, if or try whose type is an index (it has parameters or several results) stands as `LOOP`, since
    it costs a compiler the same. `typed`: indexes of those types. `targets`: those of all br_tables, counted
    exactly only where one has 128 or more. `unknown_at`: offset of the first instruction that is not in this
    module's table, or None.
    """

    opcodes: bytes
    targets: int = 0
    typed: frozenset[int] = frozenset()
    unknown_at: int | None = None


def control_of(data: bytes, start: int, end: int) -> Control:
    """The control instructions of the body `data[start:end]`.

    A body that the pattern does not know to its end has something else than `END` as its last capture.
    """
    opcodes = b"".join(_FAST.findall(data, start, end))
    if opcodes[-1:] == b"\x0b" and not opcodes.translate(None, STRUCTURED):
        return Control(opcodes, opcodes.count(BR_TABLE) * 127)
    return _piecewise(data, start, end)


def _piecewise(data: bytes, start: int, end: int) -> Control:
    """The same for bodies with big br_tables, typed blocks or something unknown, which is located."""
    parts: list[bytes] = []
    targets, typed = 0, set[int]()
    while start < end:
        match = _UP_TO_VARIABLE.match(data, start, end)
        stop = match.end() if match else start
        parts.extend(_FAST.findall(data, start, stop))
        if stop >= end:
            break
        opcode = data[stop]
        number, start = _behind(data, stop, end)
        if start < 0:
            return Control(b"".join(parts), targets, frozenset(typed), stop)
        if opcode == BR_TABLE:
            parts.append(b"\x0e")
            targets += number
        else:
            parts.append(b"\x03")
            typed.add(number)
    return Control(b"".join(parts), targets, frozenset(typed))


def first_forgetful(data: bytes, start: int, end: int) -> int | None:
    """Where the body `data[start:end]` first changes a table, drops a segment or touches a GC object.

    What it so changes is neither memory nor a global. None: nowhere. The body is known to `control_of`.
    """
    while start < end:
        match = _UP_TO_FORGETFUL.match(data, start, end)
        stop = match.end() if match else start
        if stop >= end:
            break
        _number, start = _behind(data, stop, end)
        if start < 0:
            return stop
    return None


def _behind(data: bytes, stop: int, end: int) -> tuple[int, int]:
    """The first immediate of a br_table, or of a block with an indexed type, and where it ends; -1: it is neither."""
    opcode = data[stop]
    if opcode != BR_TABLE and opcode not in TYPED:
        return 0, -1
    number, start = _number(data, stop + 1, end)
    if opcode == BR_TABLE and start >= 0:
        start = _skip_numbers(data, start, end, number + 1)
    elif opcode == TRY_TABLE and start >= 0:
        catches = _CATCH_LIST.match(data, start, end)
        start = catches.end() if catches else -1
    return number, start


def _number(data: bytes, position: int, end: int) -> tuple[int, int]:
    """The unsigned LEB128 at `position` and where it ends (-1: it is cut off)."""
    match = _LEB.match(data, position, end)
    if not match:
        return 0, -1
    return sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(match.group())), match.end()


def _skip_numbers(data: bytes, position: int, end: int, count: int) -> int:
    """Where `count` LEB128 after `position` end, or -1. No pattern repeats so often, so one step each."""
    for _ in range(min(count, end - position + 1)):
        match = _LEB.match(data, position, end)
        if not match:
            return -1
        position = match.end()
    return position
