"""A reactor as WebAssembly text around a handler, with every host function at hand.

Owns the text that attacks and tests are written in. Must never import a function that a node does not offer.
"""

from __future__ import annotations

from typing import Final

IMPORTS: Final = """
 (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
 (import "caxton" "send_message" (func $send (param i32 i32) (result i32)))
 (import "caxton" "store_data" (func $store (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "load_data" (func $load (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "delete_data" (func $delete (param i32 i32) (result i32)))
 (import "caxton" "set_timer" (func $set_timer (param i64) (result i32)))
 (import "caxton" "cancel_timer" (func $cancel_timer (param i32) (result i32)))
 (import "caxton" "current_timestamp" (func $now (result i64)))
 (import "caxton" "random_u32" (func $random (result i32)))
 (import "caxton" "console_log" (func $log (param i32 i32)))
 (import "caxton" "console_error" (func $error (param i32 i32)))
 (import "caxton" "get_config" (func $config (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "request" (func $request (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "read_reply" (func $read_reply (param i32 i32) (result i32)))
 (import "caxton" "sleep_micros" (func $sleep (param i64) (result i32)))
 (import "caxton" "http_request" (func $http (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "get_secret" (func $secret (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "subscribe_messages" (func $subscribe (param i32 i32) (result i32)))
 (import "caxton" "broadcast_message" (func $broadcast (param i32 i32 i32 i32) (result i32)))
"""


def reactor(handler: str, *, extra: str = "", memory: str = "2 100", locals_: str = "") -> str:
    """A reactor whose `handle_message` is `handler` (its result is the status); message at 4096.

    `$answer` replies with an i32 as decimal text; `$p` and `$n` are the message. Memory up to 4096 is the
    handler's own.
    """
    return f"""(module {IMPORTS}
 (memory (export "memory") {memory})
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
 (func $answer (param $v i32) (result i32)
  (local $at i32) (local $negative i32)
  (local.set $at (i32.const 4000))
  (if (i32.lt_s (local.get $v) (i32.const 0))
   (then (local.set $negative (i32.const 1)) (local.set $v (i32.sub (i32.const 0) (local.get $v)))))
  (loop $more
   (local.set $at (i32.sub (local.get $at) (i32.const 1)))
   (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $v) (i32.const 10))))
   (local.set $v (i32.div_u (local.get $v) (i32.const 10)))
   (br_if $more (local.get $v)))
  (if (local.get $negative) (then
   (local.set $at (i32.sub (local.get $at) (i32.const 1))) (i32.store8 (local.get $at) (i32.const 45))))
  (call $reply (local.get $at) (i32.sub (i32.const 4000) (local.get $at))))
 {extra}
 (func (export "handle_message") (param $p i32) (param $n i32) (result i32) {locals_}
  {handler}))"""


ECHO: Final = reactor("(call $reply (local.get $p) (local.get $n))")
SPIN: Final = reactor("(loop $l (br $l)) (i32.const 0)")
