"""The check that this process's wasmtime is the one that the binding was written for.

Owns the refusal: version, struct sizes, and a known answer through every kind of call. Must never let a
worker start beside a wasmtime that it was not written for.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from wasmtime import Module

from caxton.executor.binding.capi import WASMTIME_VERSION, size_mismatches
from caxton.executor.binding.host import HostFunction, HostFunctions
from caxton.executor.binding.instance import Instance, make_template
from caxton.executor.binding.stacks import use_pool
from caxton.executor.engine import make_engine
from caxton.protocol.agents import Profile
from caxton.protocol.errors import CaxtonError, Code

_WAT: Final = """(module
 (import "check" "plain" (func $plain (param i32 i32) (result i32)))
 (import "check" "wide" (func $wide (param i64 i32 i32) (result i64)))
 (import "check" "deferred" (func $deferred (param i32 i64) (result i32)))
 (memory (export "memory") 1)
 (data (i32.const 16) "caxton")
 (func (export "run") (param i32 i32) (result i32)
  (i32.add (call $deferred (call $plain (local.get 0) (local.get 1)) (i64.const -5000000000))
   (i32.wrap_i64 (call $wide (i64.const 7000000000) (i32.const 1) (i32.const 2))))))"""
_STACK_BYTES: Final = 128 * 1024
_WIDE: Final = 7_000_000_000
_ANSWER: Final = 40 + 2 + 1000 + 77


def check(*, pulley: bool = False) -> None:
    """Raises `INTERNAL_ERROR` that says what differs and which version is right."""
    found = version("wasmtime")
    if found != WASMTIME_VERSION:
        raise _refusal(f"wasmtime is {found}")
    if mismatches := size_mismatches():
        raise _refusal("; ".join(mismatches))
    answer = known_answer(pulley=pulley)
    if answer != _ANSWER:
        raise _refusal(f"the known answer is {_ANSWER}, this wasmtime says {answer}")


def known_answer(*, pulley: bool = False) -> int:
    """One instance, one call with a plain, a wide and a deferred host function in it."""
    engine = make_engine(Profile.STANDARD, _STACK_BYTES, (), use_pool, pulley=pulley)
    functions = HostFunctions(
        (
            HostFunction("check", "plain", "ii", "i", False, lambda _host, a, b: a + b),
            HostFunction("check", "wide", "Iii", "I", False, lambda _host, w, _a, _b: 77 if w == _WIDE else 0),
            HostFunction("check", "deferred", "iI", "i", True, lambda _host, a, _w: a + 1000),
        )
    )
    pre = functions.linker(engine).instantiate_pre(Module(engine, _WAT))
    instance = Instance(make_template(engine, pre, uses_fuel=False), memory_bytes=1 << 16, table_elements=1)
    try:
        instance.calls_left = 3
        instance.begin_instantiate()
        _drive(instance)
        if not instance.attach_memory() or instance.memory.read(16, 6) != b"caxton":
            return -1
        instance.begin(instance.function(b"run"), 40, 2)
        return _drive(instance)
    finally:
        instance.close()


def _drive(instance: Instance) -> int:
    for _ in range(100):
        if instance.poll():
            return instance.finish()
        if instance.pending is not None:
            instance.answer(instance.pending.function.call(None, *instance.pending.arguments))
    return -1


def _refusal(what: str) -> CaxtonError:
    return CaxtonError(
        Code.INTERNAL_ERROR,
        f"the executor was built for wasmtime {WASMTIME_VERSION}: {what}; install wasmtime=={WASMTIME_VERSION}",
        expected=WASMTIME_VERSION,
    )
