"""Modules whose state can be captured, and what is refused: before anything is compiled, with its place."""

from __future__ import annotations

import pytest
from wasmtime import Engine, Func, FuncType, Global, Instance, Module, Store, ValType, wat2wasm

from caxton.executor.inspect import capturable, check_bodies, inspect_module
from caxton.executor.inspect.capture import MAX_GLOBALS, PREFIX, START
from caxton.protocol.errors import CaxtonError, Code
from support import snapshot_agents as agents

REACTOR = """(module
 (memory (export "memory") 1) (table 4 funcref) (elem $e func $f) (data $d "abc")
 (func $f)
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 1024))
 (func (export "handle_message") (param i32 i32) (result i32)
  (block $a (block $b (br_table $a $b (i32.const 0))))
  (drop (drop (block (result i32 i32) (i32.const 1) (i32.const 2))))
  INSTRUCTIONS
  (i32.const 0)))"""
FORGETFUL = {
    "table.set": "(table.set (i32.const 0) (ref.null func))",
    "table.grow": "(drop (table.grow (ref.null func) (i32.const 1)))",
    "table.copy": "(table.copy (i32.const 0) (i32.const 1) (i32.const 1))",
    "table.init": "(table.init $e (i32.const 0) (i32.const 0) (i32.const 0))",
    "table.fill": "(table.fill (i32.const 0) (ref.null func) (i32.const 1))",
    "elem.drop": "(elem.drop $e)",
    "data.drop": "(data.drop $d)",
}
KEPT = """(memory.init $d (i32.const 0) (i32.const 0) (i32.const 0)) (drop (table.size))
 (drop (table.get (i32.const 0))) (memory.copy (i32.const 0) (i32.const 0) (i32.const 1))
 (memory.fill (i32.const 0) (i32.const 0) (i32.const 1)) (drop (memory.grow (i32.const 0)))
 (drop (i32.const 0x26)) (drop (i64.const 0xfc)) (drop (v128.const i32x4 0x09fc09fc 0x26262626 0 0))"""


def rewritten(text: str) -> bytes:
    """As the compile jail does it, after wasmtime's validation."""
    data = bytes(wat2wasm(text))
    Module.validate(Engine(), data)
    module, shape = inspect_module(data)
    check_bodies(data, module)
    return capturable(data, module, shape)


def refusal(text: str) -> CaxtonError:
    with pytest.raises(CaxtonError) as caught:
        rewritten(text)
    return caught.value


@pytest.mark.parametrize("name", FORGETFUL)
def test_what_changes_a_table_or_drops_a_segment_is_refused_with_its_place(name: str) -> None:
    text = REACTOR.replace("INSTRUCTIONS", KEPT + FORGETFUL[name])
    error = refusal(text)
    assert (error.code, error.details["rule"]) == (Code.INVALID_WASM, "snapshot-instruction")
    assert (error.details["found"], error.details["function"]) == (name, 2)
    data, at = bytes(wat2wasm(text)), error.details["offset"]
    assert data[at] in (0x26, 0xFC)


def test_what_leaves_only_memory_and_globals_behind_is_accepted() -> None:
    assert rewritten(REACTOR.replace("INSTRUCTIONS", KEPT))


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("(global (mut funcref) (ref.null func))", "snapshot-global"),
        ("(global (mut externref) (ref.null extern))", "snapshot-global"),
        (" ".join(["(global (mut i32) (i32.const 0))"] * (MAX_GLOBALS + 1)), "snapshot-globals"),
        (f'(func (export "{PREFIX}0"))', "snapshot-exports"),
        ("(memory 1)", "snapshot-memory"),
    ],
)
def test_state_that_is_neither_memory_nor_a_number_is_refused(field: str, rule: str) -> None:
    text = REACTOR.replace("INSTRUCTIONS", "").replace("(func $f)", f"(func $f) {field}")
    error = refusal(text)
    assert (error.code, error.details["rule"]) == (Code.INVALID_WASM, rule)


def test_shared_memory_is_refused() -> None:
    error = refusal(REACTOR.replace("INSTRUCTIONS", "").replace('"memory") 1)', '"memory") 1 1 shared)'))
    assert error.details["rule"] == "snapshot-memory"


def test_a_command_is_refused() -> None:
    error = refusal('(module (memory (export "memory") 1) (func (export "_start")))')
    assert (error.code, error.details["path"]) == (Code.INVALID_REQUEST, "state")


def test_every_mutable_global_is_exported_and_the_start_function_waits() -> None:
    store = Store()
    module = Module(store.engine, rewritten(agents.STATE))
    kinds = {item.name: item.type for item in module.exports if item.name.startswith(PREFIX)}
    assert [name for name in kinds if name != START] == [f"{PREFIX}{index}" for index in range(6)]
    reply = Func(store, FuncType([ValType.i32(), ValType.i32()], [ValType.i32()]), lambda pointer, length: 0)
    exports = Instance(store, module, [reply]).exports(store)
    count = exports["memory"].data_ptr(store)
    assert count[1040] == 0
    exports[START](store)
    assert count[1040] == 1
    first = exports[f"{PREFIX}0"]
    assert isinstance(first, Global)
    assert first.value(store) == 7
