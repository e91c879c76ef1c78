"""Binary modules, part by part, and those that are valid, small and made to cost a compiler as much as possible.

Owns makers that take sizes and give a module's bytes. Must never use a compiler: what they make need not be valid.
"""

from __future__ import annotations

from collections.abc import Iterable


def leb(number: int) -> bytes:
    """An unsigned LEB128 number."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def section(number: int, content: bytes) -> bytes:
    """One section of a module."""
    return bytes((number,)) + leb(len(content)) + content


def vector(items: Iterable[bytes]) -> bytes:
    """A vector: its length, its items."""
    listed = list(items)
    return leb(len(listed)) + b"".join(listed)


def name(text: str) -> bytes:
    """A name: its length, UTF-8."""
    return leb(len(text.encode())) + text.encode()


def function_type(params: int, results: int) -> bytes:
    """A type that takes and gives so many i32."""
    return b"\x60" + leb(params) + b"\x7f" * params + leb(results) + b"\x7f" * results


def body(code: bytes, locals_: int = 0) -> bytes:
    """One function body with `locals_` locals of type i32."""
    declared = vector([leb(locals_) + b"\x7f"]) if locals_ else b"\x00"
    whole = declared + code + b"\x0b"
    return leb(len(whole)) + whole


def module(bodies: list[bytes], *types: bytes, kinds: list[int] | None = None) -> bytes:
    """A command module: `bodies` of type 0 (i32) -> i32 unless `kinds` says another, and an empty `_start`."""
    listed = [function_type(1, 1), function_type(0, 0), *types]
    indexes = [leb(k) for k in (kinds or [0] * len(bodies))] + [b"\x01"]
    return b"\0asm\1\0\0\0" + b"".join(
        (
            section(1, vector(listed)),
            section(3, vector(indexes)),
            section(5, b"\x01\x00\x01"),
            section(7, vector([name("memory") + b"\x02\x00", name("_start") + b"\x00" + leb(len(bodies))])),
            section(10, vector([*bodies, body(b"")])),
        )
    )


def live_locals(count: int) -> tuple[bytes, bytes]:
    """Code that gives `count` locals a value, and code that needs them all."""
    before = b"".join(b"\x20\x00\x41" + leb(i % 60) + b"\x6a\x21" + leb(1 + i) for i in range(count))
    after = b"\x20\x00" + b"".join(b"\x20" + leb(1 + i) + b"\x6a" for i in range(count))
    return before, after


def nested_loops(depth: int, locals_: int = 0, functions: int = 1) -> bytes:
    """`depth` loops in each other, with `locals_` locals that live through all of them."""
    before, after = live_locals(locals_)
    inner = b"".join(b"\x20" + leb(1 + i) + b"\x41\x01\x6a\x21" + leb(1 + i) for i in range(locals_))
    code = (
        before + b"\x03\x40" * depth + inner + b"\x20\x00\x0d\x00\x0b" * depth + (after if locals_ else b"\x20\x00")
    )
    return module([body(code, locals_)] * functions)


def straight_line(operations: int) -> bytes:
    """One body of so many loads, without a branch."""
    return module([body(b"\x20\x00" + b"\x20\x00\x28\x02\x00\x6a\x41\x07\x6c" * operations)])


def many_functions(count: int, operations: int = 20) -> bytes:
    """`count` functions of the same kind."""
    return module([body(b"\x20\x00" + b"\x41\x83\x07\x6a" * operations)] * count)
