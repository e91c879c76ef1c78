"""Small agents as WebAssembly text. Each is what its name says and nothing more."""

ECHO = """
(module
  (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 20)
  (global $next (mut i32) (i32.const 4096))
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  ;; the content is what stands between `"content":` and the fields that the node writes after it,
  ;; so the whole message goes back: it is JSON too
  (func (export "handle_message") (param i32 i32) (result i32)
    (call $reply (local.get 0) (local.get 1))))
"""
"""Answers with the whole message as content."""

SILENT = """
(module
  (memory (export "memory") 20)
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param i32 i32) (result i32) (i32.const 0)))
"""
"""Handles everything, answers nothing, does nothing."""

LOOP = """
(module
  (memory (export "memory") 20)
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param i32 i32) (result i32) (loop $l (br $l)) (i32.const 0)))
"""
"""Never returns."""

TRAP = """
(module
  (memory (export "memory") 20)
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param i32 i32) (result i32) unreachable))
"""
"""Traps on every message."""

RECURSION = TRAP.replace("unreachable", "(call $deeper)").replace(
    "(memory", "(func $deeper (result i32) (i32.add (call $deeper) (i32.const 1)))\n  (memory"
)
"""Calls itself until the stack ends."""

SLEEP = """
(module
  (import "caxton" "sleep_micros" (func $sleep (param i64) (result i32)))
  (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 20)
  (data (i32.const 0) "true")
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param i32 i32) (result i32)
    (drop (call $sleep (i64.const 200000)))
    (call $reply (i32.const 0) (i32.const 4))))
"""
"""Sleeps 0.2 s, then answers true."""

TALLY = """
(module
  (import "caxton" "load_data" (func $load (param i32 i32 i32 i32) (result i32)))
  (import "caxton" "store_data" (func $store (param i32 i32 i32 i32) (result i32)))
  (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 20)
  (data (i32.const 0) "n")
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param i32 i32) (result i32)
    (local $n i32) (local $at i32)
    (if (i32.ne (call $load (i32.const 0) (i32.const 1) (i32.const 16) (i32.const 4)) (i32.const 4))
      (then (i32.store (i32.const 16) (i32.const 0))))
    (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
    (drop (call $store (i32.const 0) (i32.const 1) (i32.const 16) (i32.const 4)))
    ;; the count in decimal, right-aligned before offset 64
    (local.set $n (i32.load (i32.const 16)))
    (local.set $at (i32.const 64))
    (loop $digits
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (br_if $digits (local.tee $n (i32.div_u (local.get $n) (i32.const 10)))))
    (call $reply (local.get $at) (i32.sub (i32.const 64) (local.get $at)))))
"""
"""Counts in the key `n` (4 bytes, little-endian): one more per message that took effect; answers the count."""

KEYS = """
(module
  (import "caxton" "store_data" (func $store (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 20)
  (data (i32.const 0) "abcde")
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param i32 i32) (result i32)
    (local $at i32)
    (loop $next
      (drop (call $store (local.get $at) (i32.const 1) (i32.const 0) (i32.const 5)))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 5))))
    (i32.const 0)))
"""
"""Stores the keys a to e."""

LOGGER = """
(module
  (import "caxton" "console_log" (func $log (param i32 i32)))
  (memory (export "memory") 20)
  (data (i32.const 0) "hello")
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param i32 i32) (result i32)
    (call $log (i32.const 0) (i32.const 5)) (i32.const 0)))
"""
"""Logs hello on every message."""

CAT = """
(module
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
        (br $more))))))
"""
"""A command: its output is its input."""

EXIT_3 = """
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (i32.const 3))))
"""
"""A command that ends with exit code 3."""


def sleeping(seconds: float) -> str:
    """SLEEP for another time."""
    return SLEEP.replace("200000", str(int(seconds * 1e6)))
