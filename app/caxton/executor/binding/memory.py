"""A guest's linear memory, bounds-checked on every access.

Owns the address of guest memory. Must never hand that address out.
"""

from __future__ import annotations

from typing import Any, Final

from caxton.executor.binding.capi import EXTERN_MEMORY, EXTERN_SHARED_MEMORY, NULL, ffi, lib
from caxton.executor.guest import OutOfBounds
from caxton.protocol.agents import WASM_PAGE_BYTES

_WINDOW_BYTES: Final = 1 << 32
"""A cffi view is made once, as large as a memory can get; what is behind it is checked by `_size`."""


class Memory:
    """`caxton.executor.guest.GuestMemory` over the exported memory of one instance.

    The base never moves (`memory_may_move=False`) and memory never shrinks, so the size is asked anew only
    when the last known one is too small.
    """

    __slots__ = ("_context", "_item", "_pointer", "_shared", "_size", "_view")

    def __init__(self, context: Any, item: Any) -> None:
        """`item`: the `extern_t*` of the export; it must live as long as this object, or None: no memory."""
        self._context = context
        self._item: Any = item
        self._pointer: Any = None
        self._shared: Any = None
        self._size = 0
        self._view: Any = b""
        if item is None:
            return
        kind = item[0].kind
        if kind == EXTERN_SHARED_MEMORY:
            self._shared = item[0].of.shared
            base = lib.wasmtime_sharedmemory_data(self._shared)
        elif kind == EXTERN_MEMORY:
            self._pointer = item[0].of.memory
            base = lib.wasmtime_memory_data(context, self._pointer)
        else:
            self._item = None
            return
        self._view = ffi.buffer(base, _WINDOW_BYTES)
        self.size()

    def size(self) -> int:
        """Bytes of memory now."""
        if self._pointer is not None:
            self._size = lib.wasmtime_memory_data_size(self._context, self._pointer)
        elif self._shared is not None:
            self._size = lib.wasmtime_sharedmemory_data_size(self._shared)
        return self._size

    def grow_to(self, size: int) -> bool:
        """Makes the memory at least `size` bytes large; False where its limit forbids that."""
        missing = size - self.size()
        if missing > 0 and self._pointer is not None:
            before = ffi.new("uint64_t*")
            error = lib.wasmtime_memory_grow(self._context, self._pointer, -(-missing // WASM_PAGE_BYTES), before)
            if error != NULL:
                lib.wasmtime_error_delete(error)
        return self.size() >= size

    def base(self) -> Any:
        """Where the memory begins (a `uint8_t*`): for the binding's own `image`, which keeps to its `size`."""
        return lib.wasmtime_memory_data(self._context, self._pointer)

    def read(self, pointer: int, length: int) -> bytes:
        """A copy of `length` bytes."""
        pointer &= 0xFFFFFFFF
        length &= 0xFFFFFFFF
        if pointer + length > self._size:
            self.check(pointer, length)
        data: bytes = self._view[pointer : pointer + length]
        return data

    def write(self, pointer: int, data: bytes) -> None:
        """Copies `data` into the guest."""
        pointer &= 0xFFFFFFFF
        end = pointer + len(data)
        if end > self._size:
            self.check(pointer, len(data))
        self._view[pointer:end] = data

    def check(self, pointer: int, length: int) -> None:
        """Only the bounds check."""
        end = (pointer & 0xFFFFFFFF) + (length & 0xFFFFFFFF)
        if end > self._size and end > self.size():
            raise OutOfBounds

    def close(self) -> None:
        """Lets go of a shared memory; others belong to their store."""
        shared, self._shared = self._shared, None
        self._item = self._pointer = None
        self._size = 0
        self._view = b""
        if shared is not None:
            lib.wasmtime_sharedmemory_delete(shared)
