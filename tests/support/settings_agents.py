"""Agents that show what one setting does, in text form."""

from __future__ import annotations

from support.router_agents import reactor

GROW = reactor(
    """(i32.store8 (i32.const 0) (i32.add (i32.const 48) (i32.and
        (i32.ge_s (memory.grow (i32.const 20)) (i32.const 0))
        (i32.lt_s (memory.grow (i32.const 60)) (i32.const 0)))))
       (call $reply (i32.const 0) (i32.const 1))"""
)
"""Grows by 1.3 MB and then by 3.9 MB; answers 1 when the first is granted and the second is not."""

LARGE = reactor("(i32.const 0)").replace('(memory (export "memory") 4)', '(memory (export "memory") 80)')
"""Starts with 5.2 MB."""

DEEP = reactor(
    "(call $down (i32.const 8000)) (drop) (call $reply (i32.const 1000) (i32.const 0)) (drop) (i32.const 0)",
    extra="""(func $down (param i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (local.get 0)))
        (else (i32.const 0))))""",
)
"""Calls itself 8,000 times: a few hundred kilobytes of stack."""

INCARNATION = reactor(
    """(local.set $i (call $config (i32.const 1100) (i32.const 18) (i32.const 2100) (i32.const 8)))
       (call $reply (i32.const 2100) (local.get $i))"""
)
"""Answers the number of its instance."""

ENDLESS_INIT = reactor(
    "(i32.const 0)", extra='(func (export "agent_init") (result i32) (loop $l (br $l)) (i32.const 0))'
)
ENDLESS_END = reactor("(i32.const 0)", extra='(func (export "agent_shutdown") (loop $l (br $l)))')
TAIL_CALL = reactor("(return_call $zero)", extra="(func $zero (result i32) (i32.const 0))")

FILL_SCRATCH = """(module
 (import "wasi_snapshot_preview1" "path_open"
  (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
 (memory (export "memory") 4)
 (data (i32.const 0) "f")
 (func (export "_start") (local $errno i32) (local $left i32)
  (local.set $errno (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1)
   (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 16)))
  (if (local.get $errno) (then (call $exit (i32.const 1))))
  (i32.store (i32.const 32) (i32.const 65536))
  (i32.store (i32.const 36) (i32.const 65536))
  (local.set $left (i32.const 40))
  (loop $more
   (local.set $errno (call $write (i32.load (i32.const 16)) (i32.const 32) (i32.const 1) (i32.const 48)))
   (if (local.get $errno) (then (call $exit (local.get $errno))))
   (local.set $left (i32.sub (local.get $left) (i32.const 1)))
   (br_if $more (local.get $left)))
  (call $exit (i32.const 0))))"""
"""A command that writes 2.6 MB to a file in its scratch directory; exits with the first errno."""
