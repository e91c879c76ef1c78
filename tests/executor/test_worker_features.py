"""Which WebAssembly is on, off, or switchable, through a real worker."""

from __future__ import annotations

import pytest
from wasmtime import Module, WasmtimeError

from caxton.executor.engine import make_engine
from caxton.protocol.agents import Profile
from support.worker_harness import STACK_BYTES, Harness
from support.worker_modules import reactor

OFF = {
    "memory64": "(module (memory i64 1))",
    "tail_call": '(module (func $f (export "f") (return_call $f)))',
    "multi_memory": "(module (memory 1) (memory 1))",
    "gc": "(module (type $s (struct (field i32))) (func (drop (struct.new_default $s))))",
    "relaxed_simd": "(module (func (param v128 v128) (result v128)"
    " (i8x16.relaxed_swizzle (local.get 0) (local.get 1))))",
}


@pytest.mark.parametrize("feature", sorted(OFF))
def test_features_are_off_until_the_node_switches_them_on(feature: str) -> None:
    with pytest.raises(WasmtimeError):
        Module(make_engine(Profile.STANDARD, STACK_BYTES, ()), OFF[feature])
    Module(make_engine(Profile.STANDARD, STACK_BYTES, (feature,)), OFF[feature])


def test_threads_need_the_profile_and_the_feature() -> None:
    shared = "(module (memory 1 1 shared))"
    with pytest.raises(WasmtimeError):
        Module(make_engine(Profile.STANDARD, STACK_BYTES, ("threads",)), shared)
    Module(make_engine(Profile.THREADS, STACK_BYTES, ("threads",)), shared)


def test_exceptions_work_under_the_limits_of_an_agent() -> None:
    body = """(call $answer (block $h (result i32)
      (try_table (result i32) (catch $t $h) (throw $t (i32.const 7)))))"""
    with Harness() as worker:
        handle = worker.load(reactor(body, extra="(tag $t (param i32))"), limits={"memory_bytes": 1 << 20})
        assert [worker.run(handle).reply for _ in range(3)] == [b"7"] * 3
