"""Reads uploaded modules before anything compiles them.

Owns the structure, the shape, the imports and the structural caps of a module. Must never import
wasmtime: it runs inside the compile jail, and tests read it by itself.
"""

from __future__ import annotations

from caxton.executor.inspect.caps import MAX_MODULE_BYTES, check_bodies, check_counts
from caxton.executor.inspect.capture import capturable
from caxton.executor.inspect.model import Module
from caxton.executor.inspect.sections import read_module
from caxton.executor.inspect.shape import check_imports, decide_shape
from caxton.protocol.agents import WASM_PAGE_BYTES, ModuleInfo, Shape

__all__ = ["MAX_MODULE_BYTES", "capturable", "check_bodies", "describe", "inspect_module", "is_text"]


def is_text(data: bytes) -> bool:
    """Whether the bytes may be WAT text: they start with white space, a parenthesis or a comment."""
    return data[:1] in (b" ", b"\t", b"\r", b"\n", b"(", b";")


def inspect_module(data: bytes) -> tuple[Module, Shape]:
    """Structure and shape of a binary module, or `INVALID_WASM`. Bodies are left to `check_bodies`."""
    module = read_module(data)
    check_counts(module)
    check_imports(module)
    return module, decide_shape(module)


def describe(module: Module, shape: Shape, sha256: str, size_bytes: int, compile_seconds: float) -> ModuleInfo:
    """What the router wants to know of a module. `size_bytes` and `sha256` are those of the upload."""
    count = len(module.memories)
    maxima = [memory.maximum for memory in module.memories]
    return ModuleInfo(
        sha256=sha256,
        size_bytes=size_bytes,
        shape=shape,
        exports=[export.name for export in module.exports],
        imports=[f"{item.module}.{item.name}" for item in module.imports],
        function_count=len(module.functions),
        memory_min_bytes=count * WASM_PAGE_BYTES * max((memory.minimum for memory in module.memories), default=0),
        memory_max_bytes=None
        if not maxima or None in maxima
        else count * WASM_PAGE_BYTES * max(filter(None, maxima), default=0),
        memories=max(count, 1),
        compile_seconds=compile_seconds,
    )
