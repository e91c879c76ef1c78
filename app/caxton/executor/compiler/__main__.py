"""The compiler child: one module in, one artifact out, then the end.

Owns the only place where untrusted modules meet the compiler. Must never outlive its one order, and never
touch anything but its three descriptors.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from hashlib import sha256
from typing import Final

import msgspec
import wasmtime
from wasmtime import _bindings as capi

from caxton.executor import confinement
from caxton.executor.compiler.jail import confine
from caxton.executor.compiler.model import Answer, Order
from caxton.executor.engine import make_engine
from caxton.executor.inspect import (
    MAX_MODULE_BYTES,
    capturable,
    check_bodies,
    describe,
    inspect_module,
    is_text,
)
from caxton.executor.inspect.reader import refuse
from caxton.protocol.agents import ModuleInfo
from caxton.protocol.errors import CaxtonError, Code

_CHUNK: Final = 8 * 1024 * 1024
MAX_DETAIL: Final = 2_000


def main() -> None:
    """Carries out the order in argv[1]; the answer goes into its pipe."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it; here it tells a limit from a failure
    confine(order)
    try:
        engine = make_engine(order.profile, order.stack_bytes, order.wasm_features, pulley=order.pulley)
        confinement.confine(confinement.COMPILER)  # before the first byte of the module is read
        answer = Answer(info=_compile(order, engine))
    except CaxtonError as error:
        answer = Answer(error=error.body())
    except MemoryError:
        limit = order.address_space_bytes
        answer = Answer(error=CaxtonError(Code.COMPILE_LIMIT, "memory limit", exceeded="memory", limit=limit).body())
    os.write(order.answer_fd, msgspec.json.encode(answer))
    sys.stdout.flush()
    os._exit(0)  # no clean-up of gigabytes


def _compile(order: Order, engine: wasmtime.Engine) -> ModuleInfo:
    upload = _read(order.module_fd)
    if sha256(upload).hexdigest() != order.sha256:
        raise CaxtonError(
            Code.INTERNAL_ERROR, "the stored module does not have the digest it is known by", expected=order.sha256
        )
    binary = _from_text(upload) if is_text(upload) else upload
    module, shape = inspect_module(binary)
    pointer = _pointer(binary)
    _check(capi.wasmtime_module_validate(engine.ptr(), pointer, len(binary)), "validation")
    check_bodies(binary, module)
    if order.snapshot:
        binary = capturable(binary, module, shape)
        pointer = _pointer(binary)
    compiled = ctypes.POINTER(capi.wasmtime_module_t)()
    _check(capi.wasmtime_module_new(engine.ptr(), pointer, len(binary), ctypes.byref(compiled)), "compilation")
    artifact = capi.wasm_byte_vec_t()
    _check(capi.wasmtime_module_serialize(compiled, ctypes.byref(artifact)), "compilation")
    _write(order.artifact_fd, artifact)
    return describe(module, shape, order.sha256, len(upload), round(time.process_time(), 3))


def _pointer(binary: bytes) -> ctypes._Pointer[ctypes.c_uint8]:
    return ctypes.cast(ctypes.c_char_p(binary), ctypes.POINTER(ctypes.c_uint8))


def _read(fd: int) -> bytes:
    size = os.lseek(fd, 0, os.SEEK_END)
    if size > MAX_MODULE_BYTES:
        refuse("size", "the module is too large", found=size, allowed=MAX_MODULE_BYTES)
    parts, position = [], 0
    while position < size and (part := os.pread(fd, min(_CHUNK, size - position), position)):
        parts.append(part)
        position += len(part)
    return b"".join(parts)


def _from_text(text: bytes) -> bytes:
    try:
        binary = bytes(wasmtime.wat2wasm(text))
    except wasmtime.WasmtimeError as error:
        refuse("text", "the bytes look like WebAssembly text and are none", detail=str(error)[:MAX_DETAIL])
    if len(binary) > MAX_MODULE_BYTES:
        refuse("size", "the module is too large", found=len(binary), allowed=MAX_MODULE_BYTES)
    return binary


def _check(error: ctypes._Pointer[capi.wasmtime_error_t] | None, stage: str) -> None:
    """Refuses with wasmtime's own words, which name the place."""
    if error:
        message = str(wasmtime.WasmtimeError._from_ptr(error))
        refuse(stage, f"{stage} fails: {message[:300]}", detail=message[:MAX_DETAIL])


def _write(fd: int, artifact: capi.wasm_byte_vec_t) -> None:
    address, left = ctypes.addressof(artifact.data.contents), artifact.size
    while left:
        view = (ctypes.c_char * min(_CHUNK, left)).from_address(address)
        written = os.write(fd, view)
        address, left = address + written, left - written


if __name__ == "__main__":
    main()
