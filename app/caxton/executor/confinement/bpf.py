"""A small assembler for seccomp's classic BPF.

Owns the form of a filter: other architectures first, then one comparison for each permitted call, and the end of
the process for all that is left. Must never know which calls those are.

A program sees a call's number and its six arguments as 64-bit words, never what they point to
(`struct seccomp_data`: nr, arch, instruction pointer, args).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

ALLOW: Final = 0x7FFF0000
KILL_PROCESS: Final = 0x80000000
MAX_INSTRUCTIONS: Final = 4096
_INSTRUCTION: Final = struct.Struct("<HBBI")
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_ARGUMENTS_AT: Final = 16
_X32: Final = 0x40000000
"""The bit of a number by which x86-64's second table (x32) is called; no other architecture has numbers so large."""


class Check(NamedTuple):
    """The argument at `position` (0 to 5), of which only the bits of `mask` count, is one of `values` (32 bits each).

    Of a `wide` one, such as an address, the upper half is zero too; of an `int` the kernel ignores that half.
    """

    position: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    wide: bool = False


Rules = Mapping[int, Sequence[Check]]
"""Permitted calls by number. A call passes when all of its checks do."""


def assemble(architecture: int, rules: Rules) -> bytes:
    """The program: `ALLOW` what `rules` names on `architecture` (AUDIT_ARCH_*), else `KILL_PROCESS`.

    `ValueError` when the kernel would not take so long a program.
    """
    code = [
        _load(_ARCHITECTURE_AT),
        _INSTRUCTION.pack(_EQUAL, 1, 0, architecture),
        _return(KILL_PROCESS),
        _load(_NUMBER_AT),
        _INSTRUCTION.pack(_AT_LEAST, 0, 1, _X32),
        _return(KILL_PROCESS),
    ]
    for number, checks in sorted(rules.items()):
        body = _body(checks)
        code += [_INSTRUCTION.pack(_EQUAL, 0, len(body), number), *body]
    code.append(_return(KILL_PROCESS))
    if len(code) > MAX_INSTRUCTIONS:
        raise ValueError(f"{len(code)} instructions; the kernel takes {MAX_INSTRUCTIONS}")
    return b"".join(code)


def _body(checks: Sequence[Check]) -> list[bytes]:
    """What is done about one call: it ends in a verdict on every path, so nothing falls through to the next."""
    body: list[bytes] = []
    for check in checks:
        low = _ARGUMENTS_AT + 8 * check.position  # little-endian, as both architectures are
        if check.wide:
            body += [_load(low + 4), _INSTRUCTION.pack(_EQUAL, 1, 0, 0), _return(KILL_PROCESS)]
        body += [_load(low), _INSTRUCTION.pack(_AND, 0, 0, check.mask)]
        left = len(check.values)
        for value in check.values:
            body.append(_INSTRUCTION.pack(_EQUAL, left, 0, value))  # over the other values and the verdict
            left -= 1
        body.append(_return(KILL_PROCESS))
    return [*body, _return(ALLOW)]


def _load(offset: int) -> bytes:
    return _INSTRUCTION.pack(_LOAD, 0, 0, offset)


def _return(verdict: int) -> bytes:
    return _INSTRUCTION.pack(_RETURN, 0, 0, verdict)
