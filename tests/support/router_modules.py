"""Small agents in WebAssembly text, for tests of the router."""

from __future__ import annotations

import functools

import wasmtime

_HEAD = """
  (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
  (import "caxton" "sleep_micros" (func $sleep (param i64) (result i32)))
  (import "caxton" "console_log" (func $log (param i32 i32)))
  (import "caxton" "store_data" (func $store (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global $top (mut i32) (i32.const 4096))
  (func (export "caxton_alloc") (param $n i32) (result i32)
    (local $p i32)
    (local.set $p (global.get $top))
    (if (i32.gt_u (i32.add (global.get $top) (local.get $n)) (i32.const 131072)) (then (return (i32.const 0))))
    (local.get $p))
"""


def _reactor(handle: str, more: str = "") -> str:
    body = f'(func (export "handle_message") (param $p i32) (param $n i32) (result i32) {handle})'
    return f"(module {_HEAD} {more} {body})"


ECHO = _reactor("(call $reply (local.get $p) (local.get $n))")
"""Replies with the whole message that it was given."""

COUNTER = _reactor(
    """(global.set $count (i32.add (global.get $count) (i32.const 1)))
       (i32.store8 (i32.const 16) (i32.add (i32.const 48) (global.get $count)))
       (call $reply (i32.const 16) (i32.const 1))""",
    "(global $count (mut i32) (i32.const 0))",
)
"""Replies how many messages this instance has had (up to 9)."""

CONSTANT = _reactor("(call $reply (i32.const 64) (i32.const 2))", '(data (i32.const 64) "42")')
"""Replies 42."""

SILENT = _reactor("(i32.const 0)")
TRAP = _reactor("unreachable")
REFUSES = _reactor("(i32.const 5)")
"""Answers with the agent's own error."""

SPIN = _reactor("(loop (br 0)) (i32.const 0)")
SLEEPER = _reactor(
    "(drop (call $sleep (i64.const 700000))) (call $reply (i32.const 64) (i32.const 1))", '(data (i32.const 64) "1")'
)
LOGS = _reactor("(call $log (i32.const 64) (i32.const 5)) (i32.const 0)", '(data (i32.const 64) "hello")')
LOGS_400 = _reactor(
    """(loop $more (call $log (i32.const 64) (i32.const 5))
         (global.set $said (i32.add (global.get $said) (i32.const 1)))
         (br_if $more (i32.lt_u (global.get $said) (i32.const 400))))
       (global.set $said (i32.const 0)) (i32.const 0)""",
    '(data (i32.const 64) "hello") (global $said (mut i32) (i32.const 0))',
)
KEYS = _reactor(
    "(call $store (i32.const 64) (i32.const 1) (i32.const 65) (i32.const 3))", '(data (i32.const 64) "kabc")'
)
"""Stores k = abc."""

BAD_INIT = _reactor("(i32.const 0)", '(func (export "agent_init") (result i32) (i32.const 7))')
ENDLESS_INIT = _reactor("(i32.const 0)", '(func (export "agent_init") (result i32) (loop (br 0)) (i32.const 0))')
DESCRIBED = _reactor(
    "(i32.const 0)",
    r"""(data (i32.const 64) "{\"capabilities\":[\"sum\"],\"by\":\"test\"}")
        (func (export "get_capabilities") (param $p i32) (param $n i32) (result i32)
          (memory.copy (local.get $p) (i32.const 64) (i32.const 36)) (i32.const 36))""",
)
FOREIGN = '(module (import "env" "system" (func)) (memory (export "memory") 1))'
BIG_MEMORY = _reactor("(i32.const 0)").replace('"memory") 2)', '"memory") 100)')
CAT = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (loop $more
      (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 65536))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (i32.load (i32.const 8)) (then
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
        (br $more))))))"""
"""A command: its output is its input."""
LEAK = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "secret")
  (func (export "_start")
    (i64.store (i32.const 0) (i64.const 0x600000010))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $exit (i32.const 1))))"""
"""A command that writes `secret` to its standard error and exits with 1."""


@functools.cache
def wasm(text: str) -> bytes:
    """The module's bytes."""
    return bytes(wasmtime.wat2wasm(text))


def slow_to_compile(functions: int = 3_000) -> bytes:
    """An echo agent with so many functions that compiling it takes a while."""
    body = " ".join("(local.set 0 (i32.add (i32.mul (local.get 0) (local.get 0)) (i32.const 7)))" for _ in range(150))
    more = " ".join(f"(func (param i32) (result i32) {body} (local.get 0))" for _ in range(functions))
    return bytes(wasmtime.wat2wasm(_reactor("(call $reply (local.get $p) (local.get $n))", more)))
