"""Modules that are valid and small, and made to cost a compiler as much as possible.

Every maker takes sizes and gives the module's bytes. Used by the tests of the structural caps and of the
compile jail; those that `caxton selftest` tries too are in `caxton.selftest.encode`.
"""

from __future__ import annotations

from caxton.selftest.encode import (
    body,
    function_type,
    leb,
    live_locals,
    many_functions,
    module,
    name,
    nested_loops,
    section,
    straight_line,
    vector,
)

__all__ = ["body", "many_functions", "module", "nested_loops", "straight_line"]


def nested_blocks(depth: int) -> bytes:
    return module([body(b"\x02\x40" * depth + b"\x20\x00\x0d\x00" + b"\x0b" * depth + b"\x20\x00")])


def branchy_blocks(count: int, locals_: int = 200) -> bytes:
    before, after = live_locals(locals_)
    unit = b"".join(
        b"\x02\x40\x20\x00\x0d\x00\x20" + leb(1 + i * 7 % locals_) + b"\x20" + leb(1 + i * 13 % locals_)
        + b"\x6a\x21" + leb(1 + i * 31 % locals_) + b"\x0b"
        for i in range(count)
    )  # fmt: skip
    return module([body(before + unit + after, locals_)])


def sequential_loops(count: int, locals_: int = 200) -> bytes:
    before, after = live_locals(locals_)
    unit = b"".join(
        b"\x03\x40\x20" + leb(1 + i % locals_) + b"\x41\x01\x6a\x22" + leb(1 + i % locals_) + b"\x0d\x00\x0b"
        for i in range(count)
    )
    return module([body(before + unit + after, locals_)])


def many_locals(functions: int, locals_: int = 49_999) -> bytes:
    return module([body(b"\x20\x00", locals_)] * functions)


def branch_tables(targets: int, tables: int, depth: int = 1) -> bytes:
    choices = b"".join(leb(i % depth) for i in range(targets + 1))
    unit = b"\x02\x40" * depth + b"\x20\x00\x0e" + leb(targets) + choices + b"\x0b" * depth
    return module([body(unit * tables + b"\x20\x00")])


def loops_with_parameters(count: int, arity: int) -> bytes:
    code = b"\x20\x00" * arity + b"\x03\x02\x20\x00\x0d\x00" * count + b"\x0b" * count + b"\x1a" * arity + b"\x20\x00"
    return module([body(code)], function_type(arity, arity))


def branches_with_values(count: int, arity: int) -> bytes:
    code = b"\x02\x02" + b"\x20\x00" * arity + b"\x20\x00\x0d\x00" * count + b"\x0b" + b"\x1a" * arity + b"\x20\x00"
    return module([body(code)], function_type(0, arity))


def calls_with_results(count: int, arity: int) -> bytes:
    source = body(b"\x41\x07" * arity)
    code = b"\x02\x40" + b"\x10\x01" * count + b"\x0c\x00\x0b\x20\x00"
    return module([body(code), source], function_type(0, arity), kinds=[0, 2])


def live_values(count: int) -> bytes:
    return module([body(b"\x20\x00\x28\x02\x00" * count + b"\x6a" * (count - 1))])


def constant_chains(functions: int, operations: int) -> bytes:
    """Long chains of additions of constants: what the compiler's simplification is slowest at, byte for byte."""
    return module([body(b"\x20\x00" + b"\x41\x83\x07\x6a" * operations)] * functions)


def wide_code(count: int) -> bytes:
    """Short instructions that become long machine code: divisions, conversions, bulk operations."""
    unit = b"\x20\x00\x20\x00\x6d\x21\x00" + b"\x20\x00\xb7\xaa\x21\x00"  # i32.div_s, f64 convert and trunc
    return module([body(unit * count + b"\x20\x00")])


def nested_tries(depth: int, calls: int) -> bytes:
    """try_table in try_table, and calls inside all of them: each call needs every handler."""
    code = (
        b"\x02\x40"
        + b"\x1f\x40\x01\x02\x00" * depth
        + b"\x20\x00\x10\x00\x1a" * calls
        + b"\x0b" * depth
        + b"\x0b\x20\x00"
    )
    return module([body(code)])


def typed_blocks(count: int, arity: int) -> bytes:
    code = b"\x20\x00" * arity + b"\x02\x02\x20\x00\x0d\x00" * count + b"\x0b" * count + b"\x1a" * arity + b"\x20\x00"
    return module([body(code)], function_type(arity, arity))


def long_names(count: int, length: int) -> bytes:
    exports = [name("_start") + b"\x00\x00", *(name(f"{i:x<{length}}") + b"\x00\x00" for i in range(count))]
    return b"\0asm\1\0\0\0" + b"".join(
        (
            section(1, vector([function_type(0, 0)])),
            section(3, vector([b"\x00"])),
            section(7, vector(exports)),
            section(10, vector([body(b"")])),
        )
    )


def signed_leb(number: int) -> bytes:
    out = bytearray()
    while True:
        low, number = number & 0x7F, number >> 7
        if number == -(low >> 6):
            return bytes((*out, low))
        out.append(low | 0x80)


def spread_data(segments: int, stride: int) -> bytes:
    """Data segments of one byte each, `stride` bytes apart, in a memory of 4 GiB."""
    places = (i * stride - (2**32 if i * stride >= 2**31 else 0) for i in range(segments))
    return (
        b"\0asm\1\0\0\0"
        + section(1, vector([function_type(0, 0)]))
        + section(3, vector([b"\x00"]))
        + section(5, b"\x01\x00" + leb(65_536))
        + section(7, vector([name("_start") + b"\x00\x00"]))
        + section(10, vector([body(b"")]))
        + section(11, vector(b"\x00\x41" + signed_leb(place) + b"\x0b\x01x" for place in places))
    )
