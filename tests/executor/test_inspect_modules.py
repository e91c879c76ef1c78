"""What is read from a module, and what is refused before anything is compiled."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wasmtime import wat2wasm

from caxton.executor.inspect import check_bodies, describe, inspect_module, is_text
from caxton.executor.offered import HOST_FUNCTIONS, WASI_FUNCTIONS
from caxton.executor.wasi import FUNCTIONS
from caxton.protocol.agents import Shape
from caxton.protocol.errors import CaxtonError, Code
from support import bombs

REACTOR = """(module
 (import "caxton" "reply" (func (param i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 2 10)
 (table 3 funcref) (global (mut i32) (i32.const 1)) (tag (param i32))
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 1024))
 (func (export "handle_message") (param i32 i32) (result i32) (local i64 f32)
  (block $out (loop $again (br_if $again (local.get 0)) (br_table $out $again $out (local.get 1))))
  (drop (i64.const -9223372036854775808)) (drop (f64.const 1.5)) (drop (v128.const i32x4 1 2 3 4))
  (memory.fill (i32.const 0) (i32.const 1) (i32.const 2))
  (block $caught (result i32) (try_table (result i32) (catch 0 $caught) (throw 0 (i32.const 1)))))
 (func (export "agent_init") (result i32) (i32.const 0))
 (data (i32.const 0) "hello"))"""


def binary(text: str) -> bytes:
    return bytes(wat2wasm(text))


def inspected(data: bytes) -> Shape:
    module, shape = inspect_module(data)
    check_bodies(data, module)
    return shape


def rule_of(module: bytes) -> tuple[Code, str]:
    with pytest.raises(CaxtonError) as caught:
        inspected(module)
    return caught.value.code, caught.value.details["rule"]


def refusal(text: str) -> CaxtonError:
    with pytest.raises(CaxtonError) as caught:
        inspect_module(binary(text))
    return caught.value


def test_a_reactor_is_described() -> None:
    data = binary(REACTOR)
    module, shape = inspect_module(data)
    check_bodies(data, module)
    info = describe(module, shape, "0" * 64, 123, 0.5)
    assert (info.shape, info.size_bytes, info.function_count) == (Shape.REACTOR, 123, 5)
    assert info.imports == ["caxton.reply", "wasi_snapshot_preview1.fd_write"]
    assert info.exports == ["memory", "caxton_alloc", "handle_message", "agent_init"]
    assert (info.memory_min_bytes, info.memory_max_bytes) == (131_072, 655_360)


def test_a_command_is_recognised() -> None:
    assert inspect_module(bombs.many_functions(3))[1] is Shape.COMMAND


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "empty"),
        (b"\0", "truncated"),
        (b"\0asm\1\0", "truncated"),
        (b"\0asm\1\0\0\0\1", "truncated"),
        (b"\0asm\1\0\0\0\1\x05\x01", "truncated"),
        (b"not wasm at all", "magic"),
        (b"\x7fELF\x02\x01\x01\0", "magic"),
        (b"\0asm\x0d\0\1\0", "component"),
        (b"\0asm\2\0\0\0", "version"),
        (b"\0asm\1\0\0\0\x63\0", "section"),
        (b"\0asm\1\0\0\0\3\1\0\1\1\0", "section"),
        (b"\0asm\1\0\0\0\1\5\xff\xff\xff\xff\x0f", "malformed"),
        (b"\0asm\1\0\0\0\1\6\xff\xff\xff\xff\xff\xff", "malformed"),
        (b"\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0", "bodies"),
        (b"\0asm\1\0\0\0", "shape"),
    ],
)
def test_broken_binaries_say_what_is_broken(data: bytes, rule: str) -> None:
    assert rule_of(data) == (Code.INVALID_WASM, rule)


def test_missing_exports_are_named() -> None:
    error = refusal('(module (memory (export "memory") 1) (func (export "handle_message")))')
    assert error.details["rule"] == "shape"
    assert error.details["missing_for_reactor"] == ["caxton_alloc"]
    assert error.details["missing_for_command"] == ["_start"]


def test_an_export_of_the_wrong_kind_counts_as_missing() -> None:
    error = refusal(
        '(module (global (export "memory") i32 (i32.const 1)) (global (export "_start") i32 (i32.const 1)))'
    )
    assert "memory" in error.details["missing_for_reactor"]


def test_both_shapes_at_once_are_refused() -> None:
    assert (
        refusal(REACTOR.replace('(func (export "agent_init")', '(func (export "_start")) (func')).details["rule"]
        == "shape"
    )


@pytest.mark.parametrize(
    ("text", "export"),
    [
        ('(module (func (export "_start") (param i32)))', "_start"),
        (
            REACTOR.replace(
                '(func (export "agent_init") (result i32) (i32.const 0))', '(func (export "agent_init"))'
            ),
            "agent_init",
        ),
        (
            REACTOR.replace('"agent_init") (result i32) (i32.const 0)', '"handle_timer") (result i32) (i32.const 0)'),
            "handle_timer",
        ),
    ],
)
def test_a_wrong_signature_names_the_export(text: str, export: str) -> None:
    error = refusal(text)
    assert (error.details["rule"], error.details["export"]) == ("export-signature", export)


def test_everything_unknown_that_is_imported_is_listed_with_what_is_offered() -> None:
    error = refusal(
        """(module (import "env" "abort" (func)) (import "caxton" "reply" (memory 1))
        (import "caxton" "fly" (func)) (func (export "_start")))"""
    )
    assert error.details["rule"] == "imports"
    assert error.details["found"] == ["env.abort", "caxton.reply (memory)", "caxton.fly"]
    assert set(error.details["allowed"]["caxton"]) == set(HOST_FUNCTIONS)


def test_an_import_with_another_signature_is_refused() -> None:
    error = refusal(
        '(module (import "caxton" "sleep_micros" (func (param i32) (result i32))) (func (export "_start")))'
    )
    assert (error.details["rule"], error.details["import"]) == ("import-signature", "caxton.sleep_micros")


def test_the_offered_table_is_what_is_implemented() -> None:
    assert {name: f"{f.params}->{f.returns}" for name, f in FUNCTIONS.items()} == WASI_FUNCTIONS


@pytest.mark.parametrize(("data", "text"), [(b"(module)", True), (b"\n;; x", True), (b"\0asm", False), (b"", False)])
def test_text_is_told_from_binary(data: bytes, text: bool) -> None:
    assert is_text(data) is text


def test_inspection_needs_no_engine() -> None:
    code = "import sys, caxton.executor.inspect; sys.exit('wasmtime' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=sys.path[0] or ".", timeout=60, check=False).returncode == 0
    )


VALID = [
    binary(REACTOR),
    bombs.nested_loops(20, 20),
    bombs.branch_tables(300, 2),
    bombs.typed_blocks(3, 2),
    bombs.many_locals(3, 100),
]


@settings(max_examples=1_500, deadline=None)
@given(
    which=st.integers(0, len(VALID) - 1),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 3_000),
    inserted=st.tuples(st.integers(0, 10_000), st.binary(max_size=8)),
)
@example(which=0, edits=[], cut=0, inserted=(0, b""))
def test_mutations_are_read_or_refused_and_nothing_else(
    which: int, edits: list[tuple[int, int]], cut: int, inserted: tuple[int, bytes]
) -> None:
    data = bytearray(VALID[which])
    for position, value in edits:
        data[position % len(data)] = value
    at = inserted[0] % len(data)
    data[at:at] = inserted[1]
    mutated = bytes(data[: len(data) - cut % len(data)] if cut % 3 == 0 else data)
    try:
        inspected(mutated)
    except CaxtonError as error:
        refused = error
    else:
        return
    assert refused.code is Code.INVALID_WASM
    assert refused.details["rule"]


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_noise_after_the_header_is_refused(noise: bytes) -> None:
    assert rule_of(b"\0asm\1\0\0\0" + noise)[0] is Code.INVALID_WASM


def test_types_of_the_garbage_collector_keep_their_places() -> None:
    text = """(module (type $a (array (mut i8))) (rec (type $s (sub (struct (field i32) (field (ref null $a)))))
     (type $g (func (param (ref $s))))) (type $f (func (param i32 i32) (result i32)))
     (func (export "_start")) (func (type $f) (drop (array.new_default $a (i32.const 3))) (i32.const 11)))"""
    data = binary(text)
    module, shape = inspect_module(data)
    check_bodies(data, module)
    assert shape is Shape.COMMAND
    assert module.function_type(1) == ("ii", "i")
