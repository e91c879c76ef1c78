"""The same module called by wasmtime's C API alone: synchronous, unchecked, nothing of ours around it.

Owns the yardstick of the executor's figures. Must never do less than the copy in and the copy out.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

from cffi import FFI
from wasmtime import Engine, FuncType, InstancePre, Linker, Module, ValType
from wasmtime import _bindings as bindings
from wasmtime import _ffi as loader

from caxton.executor.binding.capi import PlainCallback, address
from caxton.protocol.agents import EffectiveLimits

ffi: Final = FFI()
ffi.cdef("""
typedef union { int32_t i32; uint8_t v128[16]; } raw_t;
typedef struct { uint64_t store_id; void* private_; } func_t;
typedef struct { uint64_t store_id; size_t private_; } instance_t;
typedef struct { uint64_t store_id; uint32_t private1; uint64_t private2; } memory_t;
typedef struct { uint8_t kind; union { func_t func; memory_t memory; uint8_t room[24]; } of; } extern_t;
void* wasmtime_store_new(void* engine, void* data, void* finalizer);
void wasmtime_store_delete(void* store);
void* wasmtime_store_context(void* store);
void wasmtime_store_limiter(void* store, int64_t, int64_t, int64_t, int64_t, int64_t);
void wasmtime_context_set_epoch_deadline(void* context, uint64_t ticks);
void* wasmtime_instance_pre_instantiate(void* pre, void* context, instance_t* instance, void** trap);
_Bool wasmtime_instance_export_get(void* context, instance_t*, const char* name, size_t length, extern_t*);
void* wasmtime_func_call_unchecked(void* context, func_t*, raw_t* args_and_results, size_t count, void** trap);
uint8_t* wasmtime_memory_data(void* context, memory_t*);
""")
lib: Final[Any] = ffi.dlopen(str(loader.filename))  # Any: cffi knows the prototypes only at run time
_NEVER: Final = 1 << 60
_WINDOW_BYTES: Final = 1 << 20


class _Reply:
    """Where the guest's memory is and what it answered last."""

    __slots__ = ("base", "data")

    def __init__(self) -> None:
        self.base = 0
        self.data = b""


class Bare:
    """One module on one engine. `prepare` makes an instance, `echo` calls it, `drop` frees it."""

    def __init__(self, engine: Engine, module: Module) -> None:
        self._engine = engine
        self._reply = reply = _Reply()
        pair = ctypes.c_int32 * 8
        read = ctypes.string_at

        def entry(_data: int, _caller: int, raw: int, _count: int) -> None:
            slots = pair.from_address(raw)
            reply.data = read(reply.base + slots[0], slots[4])
            slots[0] = 0

        self._callback = PlainCallback(entry)
        self._linker = Linker(engine)
        shape = FuncType([ValType.i32(), ValType.i32()], [ValType.i32()])
        bindings.wasmtime_linker_define_func_unchecked(
            self._linker.ptr(), b"caxton", 6, b"reply", 5, shape.ptr(),
            ctypes.cast(self._callback, bindings.wasmtime_func_unchecked_callback_t), None,
            ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        )  # fmt: skip
        self._pre: InstancePre = self._linker.instantiate_pre(module)
        self._engine_address, self._pre_address = address(engine.ptr()), address(self._pre.ptr())
        self._slots, self._trap = ffi.new("raw_t[2]"), ffi.new("void**")
        self._limits = EffectiveLimits()

    def prepare(self) -> None:
        """A store with the limits that a worker sets, and an instance in it."""
        limits = self._limits
        self._store = lib.wasmtime_store_new(self._engine_address, ffi.NULL, ffi.NULL)
        lib.wasmtime_store_limiter(self._store, limits.memory_bytes, limits.table_elements, 1, 16, 1)
        self._context = lib.wasmtime_store_context(self._store)
        lib.wasmtime_context_set_epoch_deadline(self._context, _NEVER)
        self._handle = ffi.new("instance_t*")
        assert not lib.wasmtime_instance_pre_instantiate(self._pre_address, self._context, self._handle, self._trap)
        self._items = [self._export(name) for name in (b"memory", b"caxton_alloc", b"handle_message")]
        base = lib.wasmtime_memory_data(self._context, ffi.addressof(self._items[0].of, "memory"))
        self._alloc, self._entry = (ffi.addressof(item.of, "func") for item in self._items[1:])
        self._view = ffi.buffer(base, _WINDOW_BYTES)
        self._reply.base = int(ffi.cast("uintptr_t", base))

    def echo(self, data: bytes) -> bytes:
        """Allocate, copy in, handle; what the guest replied."""
        slots, length = self._slots, len(data)
        slots[0].i32 = length
        lib.wasmtime_func_call_unchecked(self._context, self._alloc, slots, 2, self._trap)
        pointer = slots[0].i32
        self._view[pointer : pointer + length] = data
        slots[0].i32 = pointer
        slots[1].i32 = length
        lib.wasmtime_func_call_unchecked(self._context, self._entry, slots, 2, self._trap)
        return self._reply.data

    def drop(self) -> None:
        """Frees the store."""
        lib.wasmtime_store_delete(self._store)

    def _export(self, name: bytes) -> Any:  # a cffi `extern_t*`
        item = ffi.new("extern_t*")
        assert lib.wasmtime_instance_export_get(self._context, self._handle, name, len(name), item)
        return item
