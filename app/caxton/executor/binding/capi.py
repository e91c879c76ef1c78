"""wasmtime 50.0.1 as C sees it: struct layouts, function prototypes, callback types.

Owns every declaration that must match the shared library. Must never call a guest.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

from cffi import FFI
from wasmtime import _bindings as bindings
from wasmtime import _ffi as loader

WASMTIME_VERSION: Final = "50.0.1"
KIND_I32: Final = 0
KIND_I64: Final = 1
EXTERN_FUNC: Final = 0
EXTERN_GLOBAL: Final = 1
EXTERN_MEMORY: Final = 3
EXTERN_SHARED_MEMORY: Final = 4
RAW_WORDS: Final = 4
"""32-bit words of one unchecked argument (`wasmtime_val_raw_t`)."""

ffi: Final = FFI()
ffi.cdef("""
typedef union { int32_t i32; int64_t i64; double f64; uint8_t v128[16]; uint8_t pad[24]; } valunion_t;
typedef struct { uint8_t kind; valunion_t of; } val_t;
typedef struct { uint64_t store_id; void* private_; } func_t;
typedef struct { uint64_t store_id; size_t private_; } instance_t;
typedef struct { uint64_t store_id; uint32_t private1; uint64_t private2; } memory_t;
typedef struct { uint64_t store_id; uint32_t private1; uint32_t private2; uint32_t private3; } global_t;
typedef struct { uint8_t kind; union { func_t func[1]; memory_t memory[1]; global_t variable[1]; void* shared; } of; }
    extern_t;
typedef struct { size_t size; char* data; } byte_vec_t;
typedef struct {
    union { val_t values[3]; int32_t words[24]; } call;
    void* trap[1];
    void* error[1];
    instance_t instance[1];
    extern_t memory[1];
    extern_t exports[9];
    char flag[2];
} guest_t;

void* wasmtime_store_new(void* engine, void* data, void* finalizer);
void wasmtime_store_delete(void* store);
void* wasmtime_store_context(void* store);
void wasmtime_store_limiter(void* store, int64_t memory_bytes, int64_t table_elements,
                            int64_t instances, int64_t tables, int64_t memories);
void* wasmtime_context_set_fuel(void* context, uint64_t fuel);
void* wasmtime_context_get_fuel(void* context, uint64_t* fuel);
void wasmtime_context_set_epoch_deadline(void* context, uint64_t ticks);
void* wasmtime_context_epoch_deadline_async_yield_and_update(void* context, uint64_t ticks);
void wasmtime_engine_increment_epoch(void* engine);

void* wasmtime_instance_pre_instantiate_async(void* pre, void* context, instance_t* instance,
                                              void** trap, void** error);
_Bool wasmtime_instance_export_get(void* context, instance_t* instance, const char* name, size_t length,
                                   extern_t* item);
void* wasmtime_func_call_async(void* context, func_t* func, val_t* args, size_t nargs,
                               val_t* results, size_t nresults, void** trap, void** error);
_Bool wasmtime_call_future_poll(void* future);
void wasmtime_call_future_delete(void* future);

uint8_t* wasmtime_memory_data(void* context, memory_t* memory);
size_t wasmtime_memory_data_size(void* context, memory_t* memory);
void* wasmtime_memory_grow(void* context, memory_t* memory, uint64_t pages, uint64_t* before);
void wasmtime_global_get(void* context, global_t* variable, val_t* value);
void* wasmtime_global_set(void* context, global_t* variable, val_t* value);
int memcmp(const void* one, const void* other, size_t length);
uint8_t* wasmtime_sharedmemory_data(void* memory);
size_t wasmtime_sharedmemory_data_size(void* memory);
void wasmtime_sharedmemory_delete(void* memory);

void* wasmtime_trap_new(const char* message, size_t length);
void wasm_trap_delete(void* trap);
void wasm_trap_message(void* trap, byte_vec_t* out);
_Bool wasmtime_trap_code(void* trap, uint8_t* code);
void wasmtime_error_delete(void* error);
void wasmtime_error_message(void* error, byte_vec_t* out);
void wasm_byte_vec_delete(byte_vec_t* bytes);
""")

lib: Final[Any] = ffi.dlopen(str(loader.filename))  # Any: cffi knows the prototypes only at run time
NULL: Final = ffi.NULL
GUEST: Final = ffi.typeof("guest_t*")
"""All C memory of one instance in one piece. Its fields are arrays because cffi passes those as pointers.
`call` holds two arguments and the result; `words` are the same bytes, read and written without structs."""
FIRST_WORD: Final = ffi.offsetof("val_t", "of") // 4
SECOND_WORD: Final = FIRST_WORD + ffi.sizeof("val_t") // 4
RESULT_WORD: Final = SECOND_WORD + ffi.sizeof("val_t") // 4
MAX_EXPORTS: Final = 9

STRLEN: Final[int] = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value or 0
"""Continuation of every deferred call: "done" once the flag behind its argument is not empty."""

PlainCallback: Final = ctypes.CFUNCTYPE(
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
)
"""(data, caller, args_and_results, count) → trap or NULL: `wasmtime_func_unchecked_callback_t`."""

DeferredCallback: Final = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_void_p,
)
"""(data, caller, args, nargs, results, nresults, trap, continuation): `wasmtime_func_async_callback_t`."""

Continuation: Final = ctypes.c_void_p * 3
"""`wasmtime_async_continuation_t`: callback, env, finalizer."""


def size_mismatches() -> list[str]:
    """Structs whose size here differs from what the installed wasmtime declares; empty when all is well."""
    pairs = {
        "val_t": bindings.wasmtime_val_t,
        "func_t": bindings.wasmtime_func_t,
        "instance_t": bindings.wasmtime_instance_t,
        "memory_t": bindings.wasmtime_memory_t,
        "global_t": bindings.wasmtime_global_t,
        "extern_t": bindings.wasmtime_extern_t,
        "byte_vec_t": bindings.wasm_byte_vec_t,
    }
    found = [
        f"{name}: {ffi.sizeof(name)} bytes here, {ctypes.sizeof(theirs)} in wasmtime"
        for name, theirs in pairs.items()
        if ffi.sizeof(name) != ctypes.sizeof(theirs)
    ]
    if ctypes.sizeof(Continuation) != ctypes.sizeof(bindings.wasmtime_async_continuation_t):
        found.append("continuation differs")
    if ffi.offsetof("val_t", "of") != bindings.wasmtime_val_t.of.offset:
        found.append("val_t: its value is elsewhere")
    if ctypes.sizeof(bindings.wasmtime_val_raw_t) != RAW_WORDS * 4:
        found.append("val_raw_t differs")
    return found


def address(pointer: object) -> Any:  # Any: a cffi `void*`
    """A wasmtime-py pointer (of `Engine.ptr()` and the like) for cffi calls."""
    return ffi.cast("void*", ctypes.cast(pointer, ctypes.c_void_p).value or 0)  # type: ignore[arg-type]  # any pointer
