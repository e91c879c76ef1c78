"""The rules of `caxton.executor.binding` that keep a worker alive, each shown to hold."""

from __future__ import annotations

import ctypes
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wasmtime import Module

from caxton.executor import engine as engines
from caxton.executor.binding import capi, selfcheck
from caxton.executor.binding.host import HostFunction, HostFunctions, running
from caxton.executor.binding.instance import Instance, Template, make_template
from caxton.executor.binding.traps import GuestTrap, TrapCode
from caxton.executor.engine import make_engine
from caxton.executor.guest import GuestExit, OutOfBounds, StopGuest
from caxton.executor.worker.runqueue import Ticker
from caxton.protocol.agents import Profile
from caxton.protocol.errors import CaxtonError, Code

WAT = """(module
 (import "h" "plain" (func $plain (param i32) (result i32)))
 (import "h" "later" (func $later (param i32) (result i32)))
 (memory (export "memory") 1 4)
 (global $sp (mut i32) (i32.const 1000))
 (func (export "plain") (param i32) (result i32) (call $plain (local.get 0)))
 (func (export "later") (param i32) (result i32) (call $later (local.get 0)))
 (func $deep (param i32 i32) (result i32) (if (result i32) (local.get 0)
  (then (i32.add (i32.const 0) (call $deep (i32.sub (local.get 0) (i32.const 1)) (local.get 1))))
  (else (call $plain (local.get 1)))))
 (func (export "deep") (param i32 i32) (result i32) (call $deep (local.get 0) (local.get 1)))
 (func $so (export "overflow") (param i32) (result i32) (i32.add (i32.const 1) (call $so (local.get 0))))
 (func (export "trap") (param i32) (result i32) unreachable)
 (func (export "spin") (param i32) (result i32) (loop $l (br $l)) (i32.const 0)))"""
KEEP: list[object] = []


def template(plain: Callable[..., Any] = lambda _h, a: a, stack: int = 256 * 1024) -> Template:
    engine = make_engine(Profile.STANDARD, stack, ())
    functions = HostFunctions(
        [
            HostFunction("h", "plain", "i", "i", False, plain),
            HostFunction("h", "later", "i", "i", True, lambda _h, a: a),
        ]
    )
    KEEP.append(functions)
    pre = functions.linker(engine).instantiate_pre(Module(engine, WAT))
    return make_template(engine, pre, uses_fuel=False)


def fresh(of: Template) -> Instance:
    instance = Instance(of, memory_bytes=1 << 20, table_elements=10)
    instance.calls_left = 1 << 30
    instance.begin_instantiate()
    drive(instance)
    assert instance.attach_memory()
    return instance


def drive(instance: Instance) -> int:
    while not instance.poll():
        assert instance.pending is not None
        instance.answer(instance.pending.arguments[0] * 2)
    return instance.finish()


def call(instance: Instance, name: bytes, *arguments: int) -> int:
    instance.begin(instance.function(name), *arguments)
    return drive(instance)


def test_selfcheck_passes_here() -> None:
    selfcheck.check()


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (selfcheck, "WASMTIME_VERSION", "50.0.0"),
        (selfcheck, "size_mismatches", lambda: ["val_t: 24 bytes here, 32 in wasmtime"]),
        (selfcheck, "known_answer", lambda **_: -1),
    ],
)
def test_selfcheck_refuses_another_wasmtime(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, value: object
) -> None:
    monkeypatch.setattr(module, name, value)
    with pytest.raises(CaxtonError) as refusal:
        selfcheck.check()
    assert refusal.value.details["expected"] == selfcheck.WASMTIME_VERSION


def test_a_wrong_struct_size_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shorter(ctypes.Structure):
        _fields_ = [("kind", ctypes.c_uint8), ("of", ctypes.c_uint8 * 16)]

    monkeypatch.setattr(capi.bindings, "wasmtime_val_t", Shorter)
    assert capi.size_mismatches()


def test_host_code_has_its_own_stack_above_the_guests() -> None:
    assert engines.HOST_STACK_BYTES >= 7.5 * 1024 * 1024

    def heavy(_host: object, levels: int) -> int:
        def sort(level: int) -> int:
            return level if level == 0 else sorted([level], key=lambda _x: sort(level - 1))[0] and level

        return sort(levels)

    instance = fresh(template(heavy))
    assert call(instance, b"deep", 3_000, 150) == 150
    instance.close()


@pytest.mark.parametrize(
    ("stack", "features", "profile"),
    [
        (1, (), Profile.STANDARD),
        (1 << 40, (), Profile.STANDARD),
        (1 << 20, ("nonsense",), Profile.STANDARD),
        (1 << 20, (), Profile.THREADS),
    ],
)
def test_a_config_that_would_abort_the_process_is_refused(
    stack: int, features: tuple[str, ...], profile: Profile
) -> None:
    with pytest.raises(CaxtonError) as refusal:
        make_engine(profile, stack, features)
    assert refusal.value.code is Code.CONFIG_INVALID


@pytest.mark.parametrize(
    "problem",
    [ValueError(), KeyboardInterrupt(), SystemExit(3), MemoryError(), StopGuest(Code.OUTPUT_LIMIT, ""), GuestExit(4)],
)
def test_whatever_a_callback_raises_becomes_a_trap_and_comes_out_of_finish(problem: BaseException) -> None:
    def raising(_host: object, _argument: int) -> int:
        raise problem

    instance = fresh(template(raising))
    instance.begin(instance.function(b"plain"), 1)
    assert instance.poll()
    with pytest.raises(type(problem)) as raised:
        instance.finish()
    assert raised.value is problem
    instance.close()


def test_a_deferred_call_is_answered_from_the_main_stack_without_python_on_resume() -> None:
    instance = fresh(template())
    instance.begin(instance.function(b"later"), 21)
    assert not instance.poll()
    assert instance.pending is not None
    assert instance.pending.arguments == (21,)
    for _ in range(3):
        assert not instance.poll()  # nothing happens until there is an answer
    instance.answer(-2)
    assert instance.poll()
    assert instance.finish() == -2
    assert ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value == capi.STRLEN
    instance.close()


def test_host_call_budget_counts_plain_and_deferred_calls() -> None:
    instance = fresh(template())
    instance.calls_left = 2
    assert call(instance, b"plain", 1) == 1
    assert call(instance, b"later", 1) == 2
    instance.begin(instance.function(b"later"), 1)
    assert instance.poll()
    with pytest.raises(StopGuest) as stopped:
        instance.finish()
    assert stopped.value.code is Code.HOST_CALL_LIMIT
    instance.close()


def test_one_future_per_store_and_none_after_close() -> None:
    instance = fresh(template())
    function = instance.function(b"later")
    instance.begin(function, 1)
    with pytest.raises(RuntimeError):
        instance.begin(function, 1)
    instance.close()
    instance.close()
    with pytest.raises(RuntimeError):
        instance.begin(function, 1)
    assert running.instance is not instance


def test_close_in_every_state_and_the_worker_lives() -> None:
    of = template()
    for name in (b"later", b"spin", b"trap", b"overflow", b"plain"):
        for polls in (0, 1):
            instance = fresh(of)
            instance.begin(instance.function(name), 1)
            for _ in range(polls):
                capi.lib.wasmtime_engine_increment_epoch(of.engine_address)
                instance.poll()
            instance.close()
    instance = fresh(of)
    assert call(instance, b"plain", 5) == 5
    instance.close()


def test_traps_carry_code_and_backtrace() -> None:
    of = template()
    for name, code in ((b"trap", TrapCode.UNREACHABLE), (b"overflow", TrapCode.STACK_OVERFLOW)):
        instance = fresh(of)
        instance.begin(instance.function(name), 1)
        assert instance.poll()
        with pytest.raises(GuestTrap) as trap:
            instance.finish()
        assert trap.value.code == code
        assert trap.value.backtrace
        instance.close()


def test_epoch_ends_a_slice_and_the_guest_goes_on_later() -> None:
    of = template()
    instance = fresh(of)
    ticker = Ticker(0.002)
    ticker.add(of.engine)
    ticker.start()
    instance.begin(instance.function(b"spin"), 1)
    for _ in range(5):
        ticker.resume()
        assert not instance.poll()
        assert instance.pending is None
    ticker.active = False
    instance.close()


def test_memory_is_bounds_checked_as_it_grows() -> None:
    instance = fresh(template())
    memory = instance.memory
    memory.write(65_530, b"123456")
    assert memory.read(65_530, 6) == b"123456"
    for pointer, length in ((65_530, 7), (-1, 1), (0, -1), (0x7FFFFFFF, 0x7FFFFFFF)):
        with pytest.raises(OutOfBounds):
            memory.read(pointer, length)
    with pytest.raises(OutOfBounds):
        memory.write(65_536, b"1")
    instance.close()
    with pytest.raises(OutOfBounds):
        memory.read(0, 1)


def test_nothing_leaks_over_thousands_of_instances_that_end_badly() -> None:
    of = template(lambda _h, a: 1 // a)

    def round_of(count: int) -> None:
        for index in range(count):
            instance = fresh(of)
            instance.begin(instance.function((b"trap", b"plain", b"later")[index % 3]), 0)
            if instance.poll():
                with pytest.raises((GuestTrap, ZeroDivisionError)):
                    instance.finish()
            instance.close()

    round_of(300)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    round_of(1_500)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_signals_while_a_guest_calls_the_host_do_not_raise_there() -> None:
    program = Path(__file__).with_name("signals_program.py")
    done = subprocess.run([sys.executable, str(program)], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, b"alive"), done.stderr[-500:]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
