"""One store with one instance in it, and at most one call in progress.

Owns the life of store, future and guest. Must never outlive a trap: whoever sees `GuestTrap`, `StopGuest`
or `GuestExit` closes the instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from wasmtime import Engine, InstancePre

from caxton.executor.binding.capi import (
    EXTERN_FUNC,
    EXTERN_GLOBAL,
    FIRST_WORD,
    GUEST,
    KIND_I32,
    KIND_I64,
    MAX_EXPORTS,
    NULL,
    RESULT_WORD,
    SECOND_WORD,
    address,
    ffi,
    lib,
)
from caxton.executor.binding.host import Pending, running
from caxton.executor.binding.memory import Memory
from caxton.executor.binding.traps import take_error, take_trap
from caxton.executor.binding.variables import Variables

UNLIMITED_FUEL = 1 << 62
_MAX_TABLES = 16
_NO_MEMORY = Memory(NULL, None)
# Looked up once: these are called for every message.
_begin_call = lib.wasmtime_func_call_async
_poll = lib.wasmtime_call_future_poll
_delete_future = lib.wasmtime_call_future_delete
_set_deadline = lib.wasmtime_context_set_epoch_deadline


class Template(NamedTuple):
    """A module that is ready to be instantiated: its engine and its linked form, with their addresses."""

    engine: Engine
    pre: InstancePre
    engine_address: Any
    pre_address: Any
    uses_fuel: bool


def make_template(engine: Engine, pre: InstancePre, *, uses_fuel: bool) -> Template:
    """A `Template`; `uses_fuel` as in the engine's profile."""
    return Template(engine, pre, address(engine.ptr()), address(pre.ptr()), uses_fuel)


class Instance:
    """A guest. Life: `begin_instantiate`, `poll` until true, `finish`; then calls: `begin`, `poll`, `finish`.

    `poll` answers False when the guest used up its slice, or when it waits: then `pending` is set, and
    `answer` lets it go on. `host` is what host functions get; `calls_left` counts down with every one.
    """

    __slots__ = (
        "_context",
        "_error",
        "_exports",
        "_function",
        "_future",
        "_guest",
        "_params",
        "_result",
        "_store",
        "_template",
        "_trap",
        "_words",
        "calls_left",
        "flag",
        "host",
        "memory",
        "pending",
        "stop",
    )

    def __init__(self, template: Template, *, memory_bytes: int, table_elements: int, memories: int = 1) -> None:
        self._template = template
        self._store: Any = lib.wasmtime_store_new(template.engine_address, NULL, NULL)
        lib.wasmtime_store_limiter(self._store, memory_bytes, table_elements, 1, _MAX_TABLES, memories)
        self._context: Any = lib.wasmtime_store_context(self._store)
        lib.wasmtime_context_epoch_deadline_async_yield_and_update(self._context, 1)
        self._future: Any = None
        self._function: Any = None
        guest: Any = ffi.new(GUEST)
        self._guest = guest  # everything below points into it
        self._params: Any = guest.call.values
        self._result: Any = self._params + 2
        self._words: Any = guest.call.words
        self._trap: Any = guest.trap
        self._error: Any = guest.error
        self._exports = 0
        self.flag: Any = guest.flag
        self.memory = _NO_MEMORY
        self.host: Any = None
        self.calls_left = 0
        self.stop: BaseException | None = None
        self.pending: Pending | None = None

    @property
    def flag_address(self) -> int:
        """Where `flag` is; only deferred calls ask."""
        return int(ffi.cast("uintptr_t", self.flag))

    @property
    def busy(self) -> bool:
        """Whether a call is in progress."""
        return self._future is not None

    @property
    def closed(self) -> bool:
        """Whether the store is gone."""
        return self._store is None

    def set_fuel(self, fuel: int | None) -> None:
        """Fuel for what follows; None = practically unlimited. Only in an engine that uses fuel."""
        lib.wasmtime_context_set_fuel(self._context, UNLIMITED_FUEL if fuel is None else fuel)

    def fuel(self) -> int:
        """Fuel that is left."""
        left = ffi.new("uint64_t*")
        lib.wasmtime_context_get_fuel(self._context, left)
        return int(left[0])

    def begin_instantiate(self) -> None:
        """Starts instantiation, including the module's start function."""
        self._require_idle()
        lib.wasmtime_context_set_epoch_deadline(self._context, 1)
        self._future = lib.wasmtime_instance_pre_instantiate_async(
            self._template.pre_address, self._context, self._guest.instance, self._trap, self._error
        )

    def attach_memory(self) -> bool:
        """Finds the export `memory` once the instance exists; False if there is none."""
        item = self._guest.memory
        if not self._export(b"memory", item) or item[0].kind == EXTERN_FUNC:
            return False
        self.memory = Memory(self._context, item)
        return True

    def function(self, name: bytes) -> Any | None:  # an opaque function pointer for `begin`
        """The exported function `name`, or None. Valid as long as the instance; at most 9 are asked for."""
        if self._exports == MAX_EXPORTS:
            raise RuntimeError(f"more than {MAX_EXPORTS} exports")
        item = self._guest.exports + self._exports
        if not self._export(name, item) or item.kind != EXTERN_FUNC:
            return None
        self._exports += 1
        return item.of.func

    def variables(self, names: Sequence[bytes]) -> Variables:
        """The exported mutable globals `names`; valid as long as the instance."""
        items = ffi.new("extern_t[]", len(names))
        for index, name in enumerate(names):
            if not self._export(name, items + index) or items[index].kind != EXTERN_GLOBAL:
                raise RuntimeError(f"no global is exported as {name!r}")
        return Variables(self._context, items, len(names))

    def begin(self, function: Any, *arguments: int, results: int = 1) -> None:
        """Starts a call with at most two i32 arguments; `results` as in the export's type, else `finish` raises."""
        if self._future is not None or self._store is None:
            self._require_idle()
        count = len(arguments)
        if count:
            words = self._words
            words[FIRST_WORD] = arguments[0]
            if count > 1:
                words[SECOND_WORD] = arguments[1]
        context = self._context
        self._function = function  # wasmtime reads it until the future has ended
        _set_deadline(context, 1)
        self._future = _begin_call(
            context, function, self._params, count, self._result, results, self._trap, self._error
        )

    def poll(self) -> bool:
        """Runs the guest until it ends (True), or its slice is over or it waits (False)."""
        running.instance = self
        done: bool = _poll(self._future)
        return done

    def renew_slice(self) -> None:
        """Gives a guest that waited a full slice again."""
        lib.wasmtime_context_set_epoch_deadline(self._context, 1)

    def finish(self) -> int:
        """Ends a call whose `poll` answered True. The i32 result, or raises what ended the guest.

        `GuestTrap`; or the `StopGuest`, `GuestExit` or other exception that a host function raised.
        """
        future, self._future = self._future, None
        _delete_future(future)
        if self._trap[0] or self._error[0]:
            return self._raise()
        status: int = self._words[RESULT_WORD]
        return status

    def answer(self, value: int) -> None:
        """Gives the guest the result of its pending call; the next `poll` goes on."""
        pending, self.pending = self.pending, None
        if pending is None:
            raise RuntimeError("no call is pending")
        if pending.result_address:
            result: Any = ffi.cast("val_t*", pending.result_address)
            if pending.function.returns == "I":
                result.kind = KIND_I64
                result.of.i64 = value
            else:
                result.kind = KIND_I32
                result.of.i32 = ((value + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        self.flag[0] = b"\1"

    def close(self) -> None:
        """Ends whatever is in progress and frees the store. Harmless when repeated."""
        self.pending = None
        future, self._future = self._future, None
        if future is not None:
            lib.wasmtime_call_future_delete(future)
        store, self._store = self._store, None
        if store is not None:
            self.memory.close()
            self._context = None
            lib.wasmtime_store_delete(store)
        if running.instance is self:
            running.instance = None
        self.host = None

    def _require_idle(self) -> None:
        if self._future is not None or self._store is None:
            raise RuntimeError("one call at a time, and none after close")

    def _export(self, name: bytes, item: Any) -> bool:
        found: bool = lib.wasmtime_instance_export_get(self._context, self._guest.instance, name, len(name), item)
        return found

    def _raise(self) -> int:
        trap, error = self._trap[0], self._error[0]
        self._trap[0] = self._error[0] = NULL
        problem = take_trap(trap) if trap != NULL else take_error(error)
        stop, self.stop = self.stop, None
        if stop is not None:
            raise stop
        raise problem
