"""A guest in a bytearray, and a plain synchronous runner for real programs.

Shared by the tests of the WASI layer. Uses wasmtime's public API on the main thread, so what runs here is
proved without the worker's fibers.
"""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import wasmtime

from caxton.executor.guest import GuestExit, OutOfBounds
from caxton.executor.wasi import IMPORT_MODULE, Function, Wait, WasiState, functions_for

PROGRAMS = Path(__file__).parent.parent / "executor" / "wasi" / "programs"


class Bytes:
    """`GuestMemory` over a bytearray."""

    def __init__(self, size: int = 1 << 20) -> None:
        self.data = bytearray(size)

    def size(self) -> int:
        return len(self.data)

    def check(self, pointer: int, length: int) -> None:
        if pointer < 0 or length < 0 or pointer + length > len(self.data):
            raise OutOfBounds

    def read(self, pointer: int, length: int) -> bytes:
        self.check(pointer, length)
        return bytes(self.data[pointer : pointer + length])

    def write(self, pointer: int, data: bytes) -> None:
        self.check(pointer, len(data))
        self.data[pointer : pointer + len(data)] = data


class _Live:
    """`GuestMemory` over a running instance."""

    store: wasmtime.Store
    memory: wasmtime.Memory

    def size(self) -> int:
        return self.memory.data_len(self.store)

    def check(self, pointer: int, length: int) -> None:
        if pointer < 0 or length < 0 or pointer + length > self.size():
            raise OutOfBounds

    def _address(self, pointer: int) -> int:
        base = ctypes.cast(self.memory.data_ptr(self.store), ctypes.c_void_p).value
        assert base is not None
        return base + pointer

    def read(self, pointer: int, length: int) -> bytes:
        self.check(pointer, length)
        return ctypes.string_at(self._address(pointer), length)

    def write(self, pointer: int, data: bytes) -> None:
        self.check(pointer, len(data))
        ctypes.memmove(self._address(pointer), data, len(data))


@dataclass
class Ran:
    """How a program ended."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    calls: dict[str, int]


def _linked(engine: wasmtime.Engine, state: WasiState, memory: _Live, calls: dict[str, int]) -> wasmtime.Linker:
    kinds = {"i": wasmtime.ValType.i32(), "I": wasmtime.ValType.i64()}
    linker = wasmtime.Linker(engine)

    def bound(function: Function) -> Callable[..., int | None]:
        def call(*arguments: int) -> int | None:
            calls[function.name] = calls.get(function.name, 0) + 1
            answer = function.call(state, memory, *arguments)
            if isinstance(answer, Wait):
                assert function.deferred
                assert answer.until is not None
                time.sleep(max(0.0, answer.until - time.monotonic()))
                return answer.finish()
            return answer

        return call

    for function in functions_for(state.has_files).values():
        kind = wasmtime.FuncType(
            [kinds[letter] for letter in function.params], [kinds[letter] for letter in function.returns]
        )
        linker.define_func(IMPORT_MODULE, function.name, kind, bound(function))
    return linker


def run(engine: wasmtime.Engine, module: wasmtime.Module, state: WasiState) -> Ran:
    """Runs `_start` to its end."""
    memory, calls = _Live(), dict[str, int]()
    memory.store = wasmtime.Store(engine)
    memory.store.set_epoch_deadline(1 << 40)
    instance = _linked(engine, state, memory, calls).instantiate(memory.store, module)
    exports = instance.exports(memory.store)
    start = exports["_start"]
    exported = exports["memory"]
    assert isinstance(exported, wasmtime.Memory)
    assert isinstance(start, wasmtime.Func)
    memory.memory = exported
    code = 0
    try:
        start(memory.store)
    except GuestExit as ended:
        code = ended.exit_code
    return Ran(code, bytes(state.stdout), bytes(state.stderr), calls)


def compiled(name: str) -> bytes:
    """`programs/<name>` (C, or C++ without exceptions) as a WASI program; built once for each version."""
    source = PROGRAMS / name
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    target = Path(tempfile.gettempdir()) / f"caxton-wasi-{source.stem}-{digest}.wasm"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="cx") as directory:
            output = Path(directory) / "out.wasm"
            command = ["clang", "--target=wasm32-wasi", "--sysroot=/usr", "-O2", "-Wall", "-Werror"]
            subprocess.run([*command, str(source), "-o", str(output)], check=True)
            output.replace(target)
    return target.read_bytes()
