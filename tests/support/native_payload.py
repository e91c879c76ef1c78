"""Hostile native code in a real artifact: what an escape from WebAssembly would run.

A module is compiled as usual; then the machine code of its `handle_message` is replaced. Whoever can do that has the
key of the cache, or a hole in the compiler. The code makes one system call and returns what came of it, so that the
guest's result is the call's: 0 or more, or a negative errno. x86-64 only.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

HANDLER: Final = "handle_message"
_ROOM: Final = 600  # arithmetic, so that there is machine code enough to be overwritten
MODULE: Final = f"""(module
 (memory (export "memory") 1)
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 1024))
 (func (export "{HANDLER}") (param i32 i32) (result i32) (local $x i64)
  {
    "".join(
        f"(local.set $x (i64.xor (i64.mul (local.get $x) (i64.const {3 + 2 * n}))"
        f" (i64.load (i32.wrap_i64 (i64.and (local.get $x) (i64.const 4095))))))"
        for n in range(_ROOM)
    )
}
  (i32.wrap_i64 (local.get $x))))"""
_FUNCTION: Final = b"wasm[0]::function[1]"
# rdi rsi rdx r10 r8 r9: of a number, and of an address relative to the instruction
_REGISTERS: Final = (
    b"\x48\xbf",
    b"\x48\xbe",
    b"\x48\xba",
    b"\x49\xba",
    b"\x49\xb8",
    b"\x49\xb9",
)
_ADDRESSES: Final = (
    b"\x48\x8d\x3d",
    b"\x48\x8d\x35",
    b"\x48\x8d\x15",
    b"\x4c\x8d\x15",
    b"\x4c\x8d\x05",
    b"\x4c\x8d\x0d",
)


class Call(NamedTuple):
    """One system call. An argument that is bytes is passed as the address of a copy of them."""

    number: int
    arguments: tuple[int | bytes, ...] = ()


def machine_code(call: Call) -> bytes:
    """Position-independent: the registers, the call, the return; then the bytes that arguments point to."""
    width = sum(7 if isinstance(value, bytes) else 10 for value in call.arguments) + 5 + 2 + 1
    code, data = b"", b""
    for position, value in enumerate(call.arguments):
        if isinstance(value, bytes):
            distance = width + len(data) - (len(code) + 7)
            code += _ADDRESSES[position] + struct.pack("<i", distance)
            data += value
        else:
            code += _REGISTERS[position] + struct.pack("<Q", value & (2**64 - 1))
    return code + b"\xb8" + struct.pack("<I", call.number) + b"\x0f\x05" + b"\xc3" + data


def poisoned(artifact: bytes, call: Call) -> bytes:
    """`artifact` (of `MODULE`) with other machine code in its handler."""
    start, size = _function(artifact)
    code = machine_code(call)
    assert len(code) <= size, f"{len(code)} bytes of code, room for {size}"
    return artifact[:start] + code + artifact[start + len(code) :]


def _function(elf: bytes) -> tuple[int, int]:
    """Where the handler's machine code is in the file, and how long it is."""
    (table,) = struct.unpack_from("<Q", elf, 40)
    entry, count = struct.unpack_from("<HH", elf, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, table + entry * n) for n in range(count)]
    for _, kind, _, _, offset, size, link, _, _, each in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        names = sections[link][4]
        for at in range(offset, offset + size, each):
            name, _, _, index, value, length = struct.unpack_from("<IBBHQQ", elf, at)
            if elf[names + name :].startswith(_FUNCTION):
                return sections[index][4] + value - sections[index][3], length
    raise AssertionError("no such function in the artifact")
