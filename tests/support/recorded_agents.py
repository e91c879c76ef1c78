"""A reactor whose reply depends on everything that a recording must hold: memory, key, clock, chance, an answer.

It lies: its message from 32768, the loaded key at 3000, a request's reply at 4000.
"""

from __future__ import annotations

_OTHER = '{"performative":"inform","receiver":"other","content":"seen"}'
_ASK = '{"performative":"request","receiver":"oracle","content":"what"}'


def _text(text: str) -> str:
    return "".join(f"\\{byte:02x}" for byte in text.encode())


def curious(*, asks: bool = True, sends: bool = True, key: str = "k", twist: int = 0) -> str:
    """`asks`: it also waits for another agent's reply. `sends`: it tells a third one. `twist` changes the
    reply, and nothing else.
    """
    ask = f"(drop (call $request (i32.const 600) (i32.const {len(_ASK)}) (i32.const 4000) (i32.const 4000)))"
    send = f"(drop (call $send (i32.const 800) (i32.const {len(_OTHER)})))"
    return f"""(module
 (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
 (import "caxton" "send_message" (func $send (param i32 i32) (result i32)))
 (import "caxton" "load_data" (func $load (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "store_data" (func $store (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "request" (func $request (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "set_timer" (func $timer (param i64) (result i32)))
 (import "caxton" "current_timestamp" (func $now (result i64)))
 (import "caxton" "random_u32" (func $random (result i32)))
 (memory (export "memory") 2)
 (global $calls (mut i32) (i32.const 0))
 (data (i32.const 256) "0123456789abcdef")
 (data (i32.const 512) "{_text(key)}")
 (data (i32.const 600) "{_text(_ASK)}")
 (data (i32.const 800) "{_text(_OTHER)}")
 (func $mix (param $v i64)
  (i64.store (i32.const 1024)
   (i64.mul (i64.xor (i64.load (i32.const 1024)) (local.get $v)) (i64.const 0x100000001b3))))
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 32768))
 (func (export "handle_message") (param $p i32) (param $n i32) (result i32)
  (local $i i32) (local $v i64)
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  (call $mix (i64.extend_i32_u (call $load (i32.const 512) (i32.const {len(key)}) (i32.const 3000) (i32.const 100))))
  (call $mix (i64.load (i32.const 3000)))
  (call $mix (call $now))
  (call $mix (i64.extend_i32_u (call $random)))
  {ask if asks else ""}
  (loop $sum
   (call $mix (i64.load8_u (i32.add (i32.const 4000) (local.get $i))))
   (br_if $sum (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 600))))
  (drop (call $timer (i64.const 3600000000)))
  {send if sends else ""}
  (drop (call $store (i32.const 512) (i32.const {len(key)}) (i32.const 1024) (i32.const 8)))
  (local.set $v (i64.add (i64.load (i32.const 1024)) (i64.const {twist})))
  (local.set $i (i32.const 0))
  (i32.store8 (i32.const 7) (i32.const 34))
  (loop $digits
   (i32.store8 offset=8 (local.get $i)
    (i32.load8_u offset=256 (i32.wrap_i64 (i64.and (local.get $v) (i64.const 15)))))
   (local.set $v (i64.shr_u (local.get $v) (i64.const 4)))
   (br_if $digits (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 16))))
  (i32.store8 (i32.const 24) (i32.const 34))
  (call $reply (i32.const 7) (i32.const 18)))
)"""


DICE = """(module
 (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
 (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 1)
 (func (export "_start") (local $i i32)
  (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 100)))
  (drop (call $random (i32.const 108) (i32.const 8)))
  (loop $digits
   (i32.store8 offset=200 (local.get $i)
    (i32.add (i32.const 97) (i32.and (i32.load8_u offset=100 (local.get $i)) (i32.const 15))))
   (br_if $digits (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 16))))
  (i64.store (i32.const 0) (i64.const 0x10000000c8))
  (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))"""
"""A program that writes the clock and eight random bytes, as letters."""


def asks_outside(reply_by: str) -> str:
    """It asks the web, and another agent that has until `reply_by` (RFC 3339); its reply is both statuses, added."""
    web = '{"method":"GET","url":"https://api.example.com/ping"}'
    ask = f'{{"performative":"request","receiver":"oracle","content":"what","reply_by":"{reply_by}"}}'
    return f"""(module
 (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
 (import "caxton" "http_request" (func $http (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "request" (func $request (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 1)
 (data (i32.const 100) "{_text(web)}")
 (data (i32.const 300) "{_text(ask)}")
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 32768))
 (func (export "handle_message") (param i32 i32) (result i32)
  (i32.store8 (i32.const 0) (i32.add (i32.const 45) (i32.add
   (call $http (i32.const 100) (i32.const {len(web)}) (i32.const 1000) (i32.const 1000))
   (call $request (i32.const 300) (i32.const {len(ask)}) (i32.const 2000) (i32.const 1000)))))
  (call $reply (i32.const 0) (i32.const 1))))"""


def calls_with_its_secret(path: str = "a") -> str:
    """It asks the web and another agent, both with its secret `token` at the end of the question."""
    web = f'{{"method":"GET","url":"https://api.example.com/{path}?'
    ask = '{"performative":"request","receiver":"oracle","content":"'

    def asked(call: str, at: int, text: str, end: str) -> str:
        tail = at + len(text)
        return f"""
  (local.set $n (call $secret (i32.const 512) (i32.const 5) (i32.const {tail}) (i32.const 100)))
  (memory.copy (i32.add (i32.const {tail}) (local.get $n)) (i32.const 530) (i32.const {len(end)}))
  (drop (call ${call} (i32.const {at}) (i32.add (local.get $n) (i32.const {len(text) + len(end)}))
   (i32.const 4000) (i32.const 4000)))"""

    return f"""(module
 (import "caxton" "get_secret" (func $secret (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "http_request" (func $http (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "request" (func $request (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
 (memory (export "memory") 1)
 (data (i32.const 512) "token")
 (data (i32.const 530) "{_text('"}')}")
 (data (i32.const 600) "true")
 (data (i32.const 1000) "{_text(web)}")
 (data (i32.const 2000) "{_text(ask)}")
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 32768))
 (func (export "handle_message") (param i32 i32) (result i32) (local $n i32)
  {asked("http", 1000, web, '"}')}
  {asked("request", 2000, ask, '"}')}
  (call $reply (i32.const 600) (i32.const 4))))"""


INSATIABLE = """(module
 (import "caxton" "load_data" (func $load (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "current_timestamp" (func $now (result i64)))
 (memory (export "memory") 1)
 (data (i32.const 512) "k")
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 32768))
 (func (export "handle_message") (param i32 i32) (result i32) (local $i i32)
  (loop $more
   (drop (call $load (i32.const 512) (i32.const 1) (i32.const 0) (i32.const 0)))
   (drop (call $now))
   (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 200))))
  (i32.const 0)))"""
"""It loads one key 200 times."""


def remembers(answer: str) -> str:
    """It loads its key `k` once in the life of its instance; `answer` is a JSON text."""
    return f"""(module
 (import "caxton" "load_data" (func $load (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
 (memory (export "memory") 1)
 (data (i32.const 512) "k")
 (data (i32.const 600) "{_text(answer)}")
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 32768))
 (func (export "handle_message") (param i32 i32) (result i32)
  (if (i32.eqz (i32.load (i32.const 0)))
   (then
    (drop (call $load (i32.const 512) (i32.const 1) (i32.const 100) (i32.const 100)))
    (i32.store (i32.const 0) (i32.const 1))))
  (call $reply (i32.const 600) (i32.const {len(answer)}))))"""


def busy(turns: int) -> str:
    """It answers `true` after so many turns of a loop, of some instructions each."""
    return f"""(module
 (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
 (memory (export "memory") 1)
 (data (i32.const 600) "true")
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 32768))
 (func (export "handle_message") (param i32 i32) (result i32) (local $i i32)
  (loop $more (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {turns}))))
  (call $reply (i32.const 600) (i32.const 4))))"""


def large(pages: int, *, noise: bool) -> str:
    """It fills its memory behind the first page, with one number or with `noise`."""
    change = "(i64.mul (local.get $v) (i64.const 6364136223846793005))" if noise else "(local.get $v)"
    return f"""(module
 (memory (export "memory") {pages})
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 32768))
 (func (export "handle_message") (param i32 i32) (result i32) (local $at i32) (local $v i64)
  (local.set $at (i32.const 65536))
  (local.set $v (i64.const 88172645463325252))
  (loop $more
   (i64.store (local.get $at) (local.tee $v (i64.add {change} (i64.const {int(noise)}))))
   (br_if $more (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const {pages * 65_536}))))
  (i32.const 0)))"""


def warms_up(answer: str) -> str:
    """It traps at a long message, unless it has handled a short one; `answer` is a JSON text."""
    return f"""(module
 (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
 (memory (export "memory") 1)
 (data (i32.const 600) "{_text(answer)}")
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 32768))
 (func (export "handle_message") (param $p i32) (param $n i32) (result i32)
  (if (i32.and (i32.eqz (i32.load (i32.const 0))) (i32.gt_u (local.get $n) (i32.const 3000))) (then (unreachable)))
  (i32.store (i32.const 0) (i32.const 1))
  (call $reply (i32.const 600) (i32.const {len(answer)}))))"""


SECRETIVE = """(module
 (import "caxton" "get_secret" (func $secret (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
 (memory (export "memory") 1)
 (data (i32.const 512) "token")
 (data (i32.const 600) "true")
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 32768))
 (func (export "handle_message") (param i32 i32) (result i32)
  (drop (call $secret (i32.const 512) (i32.const 5) (i32.const 700) (i32.const 100)))
  (call $reply (i32.const 600) (i32.const 4))))"""
"""It keeps its secret `token` in memory."""
