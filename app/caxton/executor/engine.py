"""The one place that turns a profile into a wasmtime engine; compiler and workers must agree to the bit.

Owns which WebAssembly features exist on a node and how guest stacks are laid out. Must never hold an
engine: callers do. A configuration that wasmtime rejects aborts the process, so ranges are checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from wasmtime import Config, Engine
from wasmtime import _bindings as capi

from caxton.protocol.agents import MEBI, Profile
from caxton.protocol.errors import CaxtonError, Code

FEATURES: Final = frozenset({"threads", "memory64", "tail_call", "relaxed_simd", "multi_memory", "gc"})
"""What `[runtime] wasm_features` may switch on; everything else is always on or always off."""

PULLEY: Final = "pulley64"
HOST_STACK_BYTES: Final = 8 * MEBI
"""Room above the guest's stack for the host's callbacks, which run on the fiber. At 1.5 MiB a deep sort
killed the process; 7.5 MiB survived everything that was tried. It is address space only."""

MIN_STACK_BYTES: Final = 64 * 1024
MAX_STACK_BYTES: Final = 64 * MEBI


def make_engine(
    profile: Profile,
    stack_bytes: int,
    features: Iterable[str],
    adapt: Callable[[Config], None] | None = None,
    *,
    pulley: bool = False,
) -> Engine:
    """An engine for `profile` with `stack_bytes` of guest stack and the node's extra `features`.

    Artifacts compiled under one call load only under an engine made with equal arguments. `adapt` may set
    what compiled code does not depend on, such as where stacks come from. `pulley`: an interpreter's code instead of
    the machine's, so that no memory has to be executable.
    Raises `CONFIG_INVALID` for an unknown feature, a stack outside its range, or `threads` where the
    node has not switched them on.
    """
    chosen = _checked(profile, stack_bytes, features)
    config = Config()
    if pulley:
        config.target = PULLEY
    config.parallel_compilation = False  # the jailed compiler has one core, and fork after it would hang
    config.epoch_interruption = True
    config.memory_may_move = False  # the host keeps addresses of guest memory between calls
    _set_features(config, chosen, threads=profile is Profile.THREADS)
    if profile is Profile.DETERMINISTIC:
        config.consume_fuel = True
        config.cranelift_nan_canonicalization = True
        config.wasm_relaxed_simd_deterministic = True
    # The order matters: a wasm stack larger than the async stack of that moment aborts the process.
    capi.wasmtime_config_async_stack_size_set(config.ptr(), stack_bytes + HOST_STACK_BYTES)
    config.max_wasm_stack = stack_bytes
    if adapt is not None:
        adapt(config)
    return Engine(config)


def _checked(profile: Profile, stack_bytes: int, features: Iterable[str]) -> frozenset[str]:
    chosen = frozenset(features)
    if unknown := sorted(chosen - FEATURES):
        raise CaxtonError(
            Code.CONFIG_INVALID,
            f"wasm_features: {unknown[0]!r} is unknown; known are {', '.join(sorted(FEATURES))}",
            path="runtime.wasm_features",
        )
    if not MIN_STACK_BYTES <= stack_bytes <= MAX_STACK_BYTES:
        raise CaxtonError(
            Code.CONFIG_INVALID,
            f"wasm_stack_limit: {stack_bytes} bytes; must be {MIN_STACK_BYTES} to {MAX_STACK_BYTES}",
            path="runtime.wasm_stack_limit",
        )
    if profile is Profile.THREADS and "threads" not in chosen:
        raise CaxtonError(
            Code.CONFIG_INVALID,
            "profile threads needs 'threads' in [runtime] wasm_features",
            path="runtime.wasm_features",
        )
    return chosen


def _set_features(config: Config, chosen: frozenset[str], *, threads: bool) -> None:
    config.wasm_simd = True
    config.wasm_bulk_memory = True
    config.wasm_reference_types = True
    config.wasm_multi_value = True
    config.gc_support = True  # exceptions are GC objects inside wasmtime, even with GC types off
    config.wasm_exceptions = True
    config.wasm_function_references = "gc" in chosen
    config.wasm_gc = "gc" in chosen
    config.wasm_memory64 = "memory64" in chosen
    config.wasm_tail_call = "tail_call" in chosen
    config.wasm_relaxed_simd = "relaxed_simd" in chosen
    config.wasm_multi_memory = "multi_memory" in chosen
    config.wasm_threads = threads
    config.shared_memory = threads
    config.wasm_wide_arithmetic = False
    config.wasm_custom_page_sizes = False
    config.wasm_stack_switching = False
    config.wasm_component_model = False
