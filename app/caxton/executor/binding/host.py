"""Host functions: how wasmtime calls us, on the guest's fiber.

Owns the ctypes callbacks and the linker that offers them. Must never do real work in a callback: a plain
function checks bounds, copies, counts; a deferred one is only recorded and answered from the main stack.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from wasmtime import Engine, FuncType, Linker, ValType
from wasmtime import _bindings as bindings

from caxton.executor.binding.capi import RAW_WORDS, STRLEN, Continuation, DeferredCallback, PlainCallback
from caxton.executor.binding.traps import new_trap
from caxton.executor.guest import StopGuest
from caxton.protocol.errors import Code


class HostFunction(NamedTuple):
    """One import that guests may have. `params`: a letter each, `i` i32 or `I` i64; `returns` likewise or "".

    `call(host, *args)` gets the `host` of the calling instance and signed integers. Plain: its integer is
    the guest's result. Deferred: it is not called here but handed to whoever polls, as `Pending`.
    """

    module: str
    name: str
    params: str
    returns: str
    deferred: bool
    call: Callable[..., Any]  # the arguments differ from function to function


class Pending(NamedTuple):
    """A deferred call that waits for its answer; both addresses die with the future."""

    function: HostFunction
    arguments: tuple[int, ...]
    result_address: int
    trap_address: int


class Caller(Protocol):
    """What a callback needs of the instance that runs."""

    host: Any  # opaque to the binding
    calls_left: int
    stop: BaseException | None
    pending: Pending | None
    flag: Any  # cffi char[2]

    @property
    def flag_address(self) -> int:
        """Where `flag` is."""
        ...


class _Slot:
    """Which instance has the thread. There is one thread, so there is one."""

    __slots__ = ("instance",)

    def __init__(self) -> None:
        self.instance: Any = None  # a Caller; Any spares the hot path a None check


running: Final = _Slot()


def _refuse(instance: Caller, problem: BaseException) -> int:
    """The trap to return for `problem`; the reason itself waits beside the instance."""
    instance.stop = problem
    return new_trap(b"stopped by the host")


def _count(instance: Caller) -> None:
    instance.calls_left -= 1
    if instance.calls_left < 0:
        raise StopGuest(Code.HOST_CALL_LIMIT, "too many host calls in one execution")


def _plain(function: HostFunction) -> Any:
    """The callback of a plain function. Arguments arrive as raw 16-byte slots, the result goes into the first."""
    if "I" in function.params + function.returns or len(function.params) > 2:
        return _plain_any(function)
    call = function.call
    second, takes, gives = RAW_WORDS, len(function.params), bool(function.returns)
    flat = ctypes.c_int32 * (2 * RAW_WORDS)

    def entry(_data: int, _caller: int, raw: int, _count_: int) -> int | None:
        instance = running.instance
        try:
            instance.calls_left -= 1
            if instance.calls_left < 0:
                raise StopGuest(Code.HOST_CALL_LIMIT, "too many host calls in one execution")
            if takes == 2:
                slots = flat.from_address(raw)
                result = call(instance.host, slots[0], slots[second])
            elif takes == 1:
                slots = flat.from_address(raw)
                result = call(instance.host, slots[0])
            else:
                result = call(instance.host)
                if gives:
                    flat.from_address(raw)[0] = result
                return None
            if gives:
                slots[0] = result
            return None
        except BaseException as problem:
            return _refuse(instance, problem)

    return PlainCallback(entry)


def _plain_any(function: HostFunction) -> Any:
    call = function.call
    arguments = struct.Struct("<" + "".join("i12x" if letter == "i" else "q8x" for letter in function.params))
    result_type = {"i": ctypes.c_int32, "I": ctypes.c_int64, "": None}[function.returns]
    size, read = arguments.size, ctypes.string_at

    def entry(_data: int, _caller: int, raw: int, _count_: int) -> int | None:
        instance = running.instance
        try:
            _count(instance)
            result = call(instance.host, *(arguments.unpack(read(raw, size)) if size else ()))
            if result_type is not None:
                result_type.from_address(raw).value = result
            return None
        except BaseException as problem:
            return _refuse(instance, problem)

    return PlainCallback(entry)


def _deferred(function: HostFunction) -> Any:
    """The callback of a deferred function: note the call, name the continuation, get off the fiber."""
    # wasmtime_val_t: kind, padding, then 24 bytes of value
    arguments = struct.Struct("<" + "".join("8xi20x" if letter == "i" else "8xq16x" for letter in function.params))
    size, read = arguments.size, ctypes.string_at

    def entry(
        _data: int, _caller: int, args: int, _n: int, results: int, _m: int, trap: int, continuation: int
    ) -> None:
        instance = running.instance
        then = Continuation.from_address(continuation)
        then[0] = STRLEN
        then[1] = instance.flag_address
        then[2] = None
        try:
            instance.flag[0] = b"\0"
            _count(instance)
            given = arguments.unpack(read(args, size)) if size else ()
            instance.pending = Pending(function, given, results or 0, trap)
        except BaseException as problem:
            ctypes.c_void_p.from_address(trap).value = _refuse(instance, problem)
            instance.flag[0] = b"\1"

    return DeferredCallback(entry)


class HostFunctions:
    """All imports on offer; makes linkers for engines. Must outlive every store that uses them."""

    def __init__(self, functions: Sequence[HostFunction]) -> None:
        self._functions = [(f, _deferred(f) if f.deferred else _plain(f)) for f in functions]

    def linker(self, engine: Engine) -> Linker:
        """A linker of `engine` with every function defined."""
        linker = Linker(engine)
        kinds = {"i": ValType.i32, "I": ValType.i64}
        for function, callback in self._functions:
            shape = FuncType([kinds[p]() for p in function.params], [kinds[r]() for r in function.returns])
            define = (
                bindings.wasmtime_linker_define_async_func
                if function.deferred
                else bindings.wasmtime_linker_define_func_unchecked
            )
            expected = (
                bindings.wasmtime_func_async_callback_t
                if function.deferred
                else bindings.wasmtime_func_unchecked_callback_t
            )
            module, name = function.module.encode(), function.name.encode()
            no_finalizer = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))
            error = define(
                linker.ptr(), module, len(module), name, len(name), shape.ptr(),
                ctypes.cast(callback, expected), None, no_finalizer,
            )  # fmt: skip
            if error:
                raise RuntimeError(f"cannot define {function.module}.{function.name}")
        return linker
