"""Reactors whose whole state is memory and globals, in text form. A message lies from 32768 to 65535."""

from __future__ import annotations

_DIGEST = """
 (func $mix (param $v i64)
  (global.set $sum (i64.mul (i64.xor (global.get $sum) (local.get $v)) (i64.const 0x100000001b3))))
 (func $range (param $at i32) (param $end i32)
  (loop $next
   (call $mix (i64.load (local.get $at)))
   (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $end)))))
 (func $digest
  (local $v i64) (local $i i32)
  (global.set $sum (i64.const 0))
  (call $range (i32.const 1024) (i32.const 32768))
  (call $range (i32.const 65536) (i32.mul (memory.size) (i32.const 65536)))
  (call $mix (i64.extend_i32_u (global.get $a)))
  (call $mix (global.get $b))
  (call $mix (i64.extend_i32_u (i32.reinterpret_f32 (global.get $c))))
  (call $mix (i64.reinterpret_f64 (global.get $d)))
  (call $mix (i64x2.extract_lane 0 (global.get $e)))
  (call $mix (i64x2.extract_lane 1 (global.get $e)))
  ;; sixteen hexadecimal digits at 8, in quotes
  (local.set $v (global.get $sum))
  (i32.store8 (i32.const 7) (i32.const 34))
  (loop $digits
   (i32.store8 offset=8 (local.get $i)
    (i32.load8_u offset=256 (i32.wrap_i64 (i64.and (local.get $v) (i64.const 15)))))
   (local.set $v (i64.shr_u (local.get $v) (i64.const 4)))
   (br_if $digits (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 16))))
  (i32.store8 (i32.const 24) (i32.const 34)))
"""

STATE = f"""(module
 (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
 (memory (export "memory") 2)
 (data (i32.const 256) "0123456789abcdef")
 (data (i32.const 2000) "from the data segment")
 (global $a (mut i32) (i32.const 7))
 (global $b (mut i64) (i64.const -3))
 (global $c (mut f32) (f32.const nan:0x200001))
 (global $d (mut f64) (f64.const nan:0x4000000000001))
 (global $e (mut v128) (v128.const i64x2 1 -1))
 (global $sum (mut i64) (i64.const 0))
 (func $begin (i32.store (i32.const 1040) (i32.add (i32.load (i32.const 1040)) (i32.const 1))))
 (start $begin)
 (func (export "_initialize") (i32.store (i32.const 1048) (i32.add (i32.load (i32.const 1048)) (i32.const 1))))
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 32768))
 {_DIGEST}
 (func (export "handle_message") (param $p i32) (param $n i32) (result i32)
  (global.set $a (i32.add (i32.mul (global.get $a) (i32.const 5)) (i32.const 3)))
  (global.set $b (i64.rotl (i64.xor (global.get $b) (i64.extend_i32_u (global.get $a))) (i64.const 9)))
  (global.set $c (f32.reinterpret_i32 (i32.add (i32.reinterpret_f32 (global.get $c)) (i32.const 1))))
  (global.set $d (f64.reinterpret_i64 (i64.add (i64.reinterpret_f64 (global.get $d)) (i64.const 1))))
  (global.set $e (i64x2.add (global.get $e) (i64x2.splat (global.get $b))))
  (i64.store (i32.const 4096) (i64.add (i64.load (i32.const 4096)) (i64.const 1)))
  (memory.fill (i32.const 2000) (i32.const 0) (i32.const 4))
  (if (i32.eqz (i32.rem_u (i32.load (i32.const 4096)) (i32.const 3)))
   (then (if (i32.lt_u (memory.size) (i32.const 40)) (then (drop (memory.grow (i32.const 1)))))))
  (i64.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4000)) (global.get $b))
  (call $digest)
  (call $reply (i32.const 7) (i32.const 18))))"""
"""Changes every kind of global (NaNs by their bits), grows, and replies with a digest of all its state."""

COUNTER = """(module
 (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
 (memory (export "memory") 2)
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 32768))
 (func (export "handle_message") (param i32 i32) (result i32) (local $n i32) (local $at i32)
  (i32.store (i32.const 4096) (i32.add (i32.load (i32.const 4096)) (i32.const 1)))
  (local.set $n (i32.load (i32.const 4096)))
  (local.set $at (i32.const 64))
  (loop $digits
   (local.set $at (i32.sub (local.get $at) (i32.const 1)))
   (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
   (br_if $digits (local.tee $n (i32.div_u (local.get $n) (i32.const 10)))))
  (call $reply (local.get $at) (i32.sub (i32.const 64) (local.get $at)))))"""
"""Counts in memory; replies with the count."""


def counter_and(instructions: str, more: str = "") -> str:
    """The counter, with `instructions` before it replies; `more` are imports of the module."""
    return COUNTER.replace(" (memory (export", f" {more} (memory (export").replace(
        "(local.set $n (i32.load", f"{instructions} (local.set $n (i32.load", 1
    )


TIMED_STATE = (
    STATE.replace(
        " (memory (export",
        ' (import "caxton" "set_timer" (func $set_timer (param i64) (result i32)))\n (memory (export',
        1,
    )
    .replace(
        "(call $digest)\n  (call $reply",
        """(if (i64.eq (i64.load (i32.const 4096)) (i64.const 1))
   (then (drop (call $set_timer (i64.const 6000000)))))
  (call $digest)
  (call $reply""",
        1,
    )
    .removesuffix(")")
    + """
 (func (export "handle_timer") (param i32) (result i32)
  (global.set $b (i64.add (global.get $b) (i64.const 1)))
  (i64.store (i32.const 4104) (i64.add (i64.load (i32.const 4104)) (i64.const 1)))
  (i32.const 0)))"""
)
"""The same; its first message sets a timer of six seconds, which is part of the state when it has come due."""


WASI = """(import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_fdstat_set_flags" (func $flags (param i32 i32) (result i32)))"""
HOLDING = (
    "(drop (call $close (i32.const 1)))",
    "(drop (call $renumber (i32.const 1) (i32.const 7)))",
    "(drop (call $renumber (i32.const 1) (i32.const 0)))",
    "(drop (call $flags (i32.const 1) (i32.const 1)))",
)
"""Instructions, with the imports of `WASI`, after which a guest holds something outside of its memory."""
