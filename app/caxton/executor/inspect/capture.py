"""Rewrites a reactor so that all state of an instance can be captured, or refuses it (spec/abi.md, "Snapshots").

Owns what counts as state: one memory and the mutable globals, which are exported for that. Whatever else an
instance could change makes the module `INVALID_WASM` with the place. Must never change what the module does.

The start function is exported instead of run: a restored instance must not run it again.
"""

from __future__ import annotations

from typing import Final, NoReturn

from caxton.executor.inspect.instructions import first_forgetful
from caxton.executor.inspect.model import FUNCTION, GLOBAL, TYPE_LETTERS, Module
from caxton.executor.inspect.reader import Reader, refuse
from caxton.protocol.agents import Shape
from caxton.protocol.errors import CaxtonError, Code

PREFIX: Final = "caxton:snapshot:"
"""Of the names of added exports: `caxton:snapshot:0` is the first mutable global."""
START: Final = f"{PREFIX}start"
MAX_GLOBALS: Final = 1_000
"""Mutable ones; each is read after every execution."""

_EXPORTS: Final = 7
_START: Final = 8
_GLOBALS: Final = 6
_NUMBERS: Final = frozenset("iIfFv")
_NAMES: Final = {
    b"\x26": "table.set",
    b"\xfc\x09": "data.drop",
    b"\xfc\x0c": "table.init",
    b"\xfc\x0d": "elem.drop",
    b"\xfc\x0e": "table.copy",
    b"\xfc\x0f": "table.grow",
    b"\xfc\x11": "table.fill",
    b"\xfb": "an instruction on GC objects",
}
_ARITHMETIC: Final = frozenset((0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E))


def capturable(data: bytes, module: Module, shape: Shape) -> bytes:
    """The module with its state exported. `data` has passed validation and `check_bodies`.

    Errors: `INVALID_REQUEST` for a command, `INVALID_WASM` with rule and place for state that cannot be captured.
    """
    if shape is not Shape.REACTOR:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            "state: snapshots are for reactors; a command has a fresh instance for every message",
            path="state",
            found="snapshot",
            expected="memory",
        )
    _check_memory(module)
    for export in module.exports:
        if export.name.startswith(PREFIX):
            _cannot("exports", f"it exports the reserved name {export.name[:80]!r}", export=export.name[:80])
    for index, body in enumerate(module.bodies):
        at = first_forgetful(data, body.start, body.end)
        if at is not None:
            name = _NAMES.get(data[at : at + 1]) or _NAMES.get(data[at : at + 2], "an unknown instruction")
            place = module.imported_functions + index
            _cannot("instruction", f"function {place} uses {name}", function=place, offset=at, found=name)
    return _rewritten(data)


def _check_memory(module: Module) -> None:
    if len(module.memories) != 1:
        _cannot("memory", "it has not exactly one memory", found=len(module.memories), allowed=1)
    if module.memories[0].shared:
        _cannot("memory", "its memory is shared", found="shared", allowed="not shared")


def _rewritten(data: bytes) -> bytes:
    """`data` with an export for every mutable global, and one for the start function instead of its section."""
    sections: list[tuple[int, bytes]] = []
    added: list[bytes] = []
    reader = Reader(data, 8, len(data), "list of sections")
    while reader.more():
        number = reader.byte()
        body = reader.take(reader.u32())
        if number == _GLOBALS:
            added += [_export(f"{PREFIX}{at}", GLOBAL, index) for at, index in enumerate(mutable_globals(body))]
        if number == _START:
            added.append(_export(START, FUNCTION, Reader(body, 0, len(body), "start section").u32()))
        else:
            sections.append((number, body))
    parts = [data[:8]]
    for number, body in sections:
        parts.append(_section(number, _with_exports(body, added) if number == _EXPORTS else body))
    return b"".join(parts)


def mutable_globals(body: bytes) -> list[int]:
    """The indexes of a global section's mutable globals (no module of ours imports any)."""
    reader = Reader(body, 0, len(body), "global section")
    found = []
    for index in range(reader.count(3)):
        letter = TYPE_LETTERS.get(reader.byte(), "")
        if letter == "":
            reader.skip_leb()  # (ref null? heaptype)
        if reader.byte():
            if letter not in _NUMBERS:
                _cannot("global", f"the mutable global {index} holds a reference", index=index)
            found.append(index)
        _skip_constant(reader)
    if len(found) > MAX_GLOBALS:
        _cannot("globals", "it has too many mutable globals", found=len(found), allowed=MAX_GLOBALS)
    return found


def _skip_constant(reader: Reader) -> None:
    while (opcode := reader.byte()) != 0x0B:
        if opcode in (0x41, 0x42, 0x23, 0xD0, 0xD2):
            reader.skip_leb()
        elif opcode in (0x43, 0x44):
            reader.take(4 if opcode == 0x43 else 8)
        elif opcode == 0xFD:
            reader.u32()
            reader.take(16)
        elif opcode not in _ARITHMETIC:
            _cannot("global", f"a global begins with the instruction {opcode:#x}", found=f"{opcode:#x}")


def _with_exports(body: bytes, added: list[bytes]) -> bytes:
    reader = Reader(body, 0, len(body), "export section")
    count = reader.u32()
    return _leb(count + len(added)) + body[reader.position :] + b"".join(added)


def _export(name: str, kind: int, index: int) -> bytes:
    return _leb(len(name)) + name.encode() + bytes([kind]) + _leb(index)


def _section(number: int, body: bytes) -> bytes:
    return bytes([number]) + _leb(len(body)) + body


def _leb(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _cannot(rule: str, why: str, **place: object) -> NoReturn:
    refuse(f"snapshot-{rule}", f'the state of this module cannot be captured (state = "snapshot"): {why}', **place)
