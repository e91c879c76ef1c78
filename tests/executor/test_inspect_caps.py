"""Every compile bomb meets a cap after little work, or compiles within the jail."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasmtime import Module, wat2wasm

from caxton.executor.engine import make_engine
from caxton.executor.inspect import check_bodies, inspect_module
from caxton.executor.inspect.caps import MAX_FUNCTIONS, MAX_WORK
from caxton.executor.inspect.instructions import control_of
from caxton.protocol.agents import Profile
from caxton.protocol.errors import CaxtonError, Code
from support import bombs


def work_of(data: bytes) -> float:
    module, _ = inspect_module(data)
    return check_bodies(data, module)


STOPPED = {
    "loop-nesting": bombs.nested_loops(65),
    "loop-nesting with locals (40 s and more to compile)": bombs.nested_loops(500, 200),
    "loop-nesting of typed blocks (2 GB to compile)": bombs.typed_blocks(65, 8),
    "nesting": bombs.nested_blocks(5_001),
    "locals": bombs.many_locals(1, 10_001),
    "work": bombs.nested_loops(64, 1_000, functions=200),
    "locals-times-branches": bombs.branchy_blocks(10_000, 4_000),
    "locals-times-loops": bombs.sequential_loops(5_000, 1_000),
    "body": bombs.straight_line(120_000),
    "body, since calls leave 16 values in 2 bytes": bombs.calls_with_results(70_000, 16),
    "branch-targets": bombs.branch_tables(50_000, 3),
    "branch-targets of many small tables": bombs.branch_tables(100, 1_100),
    "functions": bombs.many_functions(100_001, 1),
    "parameters": bombs.loops_with_parameters(1, 256),
    "results": bombs.calls_with_results(1, 17),
    "name": bombs.long_names(1, 4_097),
    "names": bombs.long_names(2_000, 4_000),
    "data-spread": bombs.spread_data(9_000, 400_000),
    "data-segments": bombs.spread_data(10_001, 1),
    "code": bombs.module([bombs.body(b"\x20\x00" + b"\x01" * 999_000)] * 57),
}


MAX_CALLS = 40 * MAX_FUNCTIONS
"""Calls and returns in one run of the inspector. `functions` makes the most: 32 for each that is allowed."""


@contextmanager
def counted() -> Iterator[list[int]]:
    """How many functions, in Python and in C, were entered and left meanwhile: the same on every machine."""
    count = [0]

    def saw(_frame: FrameType, _event: str, _arg: object) -> None:
        count[0] += 1

    before = sys.getprofile()
    sys.setprofile(saw)
    try:
        yield count
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize("name", STOPPED)
def test_a_bomb_is_stopped_by_a_cap_in_no_time(name: str) -> None:
    with counted() as calls, pytest.raises(CaxtonError) as caught:
        work_of(STOPPED[name])
    assert 0 < calls[0] < MAX_CALLS
    assert caught.value.code is Code.INVALID_WASM
    rule, _, _ = name.replace(",", " ").partition(" ")
    assert caught.value.details["rule"] == rule
    assert caught.value.details["found"] > caught.value.details["allowed"]


PASSED = {
    "loops at the cap": bombs.nested_loops(64, 100),
    "blocks at the cap": bombs.nested_blocks(4_990),
    "many branches": bombs.branchy_blocks(10_000, 200),
    "a big jump table": bombs.branch_tables(60_000, 2),
    "a few data segments far apart": bombs.spread_data(900, 4_000_000),
    "many data segments close together": bombs.spread_data(9_900, 6_400),
    "tries": bombs.nested_tries(500, 200),
    "typed blocks at the cap": bombs.typed_blocks(60, 8),
    "calls with results": bombs.calls_with_results(2_000, 4),
    "locals": bombs.many_locals(200, 9_999),
}


@pytest.mark.parametrize("name", PASSED)
def test_what_passes_the_caps_compiles_within_the_jail(name: str) -> None:
    data = PASSED[name]
    work = work_of(data)
    started = time.thread_time()
    Module(make_engine(Profile.STANDARD, 1_000_000, []), data)
    assert time.thread_time() - started < max(4.0, 3 * work)
    assert work < MAX_WORK / 10


INSTRUCTIONS = [
    ("(i32.add (i32.const -1) (i32.const 2147483647))", "i32"),
    ("(i64.const 123456789012)", "i64"),
    ("(f32.const 11)", "f32"),
    ("(i32.load offset=70000 align=1 (i32.const 0))", "i32"),
    (
        "(i8x16.shuffle 0 11 2 3 4 5 6 7 8 9 11 14 3 2 1 0 (v128.const i32x4 11 2 3 4) (v128.const i32x4 3 3 3 3))",
        "v128",
    ),
    ("(i8x16.extract_lane_s 11 (v128.const i64x2 2 3))", "i32"),
    ("(v128.load32_lane offset=3 2 (i32.const 0) (v128.const i64x2 11 3))", "v128"),
    ("(i16x8.q15mulr_sat_s (v128.const i64x2 2 3) (v128.const i64x2 2 3))", "v128"),
    ("(select (result i32) (i32.const 1) (i32.const 2) (i32.const 3))", "i32"),
    ("(i32.trunc_sat_f64_u (f64.const 3))", "i32"),
    ("(ref.is_null (ref.func $f))", "i32"),
    ("(table.size $t)", "i32"),
    ("(call_indirect $t (result i32) (i32.const 3))", "i32"),
    ("(block (result i32) (if (result i32) (i32.const 1) (then (i32.const 2)) (else (i32.const 11))))", "i32"),
    ("(block $a (result i32) (br_table $a $a $a (i32.const 7) (i32.const 1)))", "i32"),
    ("(block $e (result i32) (try_table (result i32) (catch $x $e) (throw $x (i32.const 2))))", "i32"),
    ("(memory.grow (i32.const 11))", "i32"),
]


def body_of(statements: list[int]) -> tuple[bytes, int, int]:
    text = "".join(f"(drop {INSTRUCTIONS[number][0]})" for number in statements)
    data = bytes(
        wat2wasm(
            f"""(module (memory (export "memory") 1) (table $t 9 funcref) (tag $x (param i32))
            (elem declare func $f) (func $f (export "_start") {text}))"""
        )
    )
    module, _ = inspect_module(data)
    return data, module.bodies[0].start, module.bodies[0].end


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, len(INSTRUCTIONS) - 1), max_size=30))
def test_the_tokeniser_never_runs_out_of_step(statements: list[int]) -> None:
    whole = control_of(*body_of(statements))
    parts = [control_of(*body_of([number])) for number in statements]
    assert whole.unknown_at is None
    assert whole.opcodes == b"".join(part.opcodes[:-1] for part in parts) + b"\x0b"
    assert whole.targets == sum(part.targets for part in parts)


def test_an_instruction_that_is_not_offered_is_located() -> None:
    data, start, end = body_of([0])
    broken = data[:start] + b"\x41\x00\x1a\xff" + data[start + 4 : end]
    assert control_of(broken, start, end).unknown_at == start + 3
