"""The attack modules, as WebAssembly text. Each does one bad thing and says by its exit code how far it got.

Owns their text. Must never need more than the grants that its attack names.
"""

from __future__ import annotations

from typing import Final

from caxton.selftest.wat import reactor

COUNT: Final = "(global $i (mut i32) (i32.const 0))"
_MORE: Final = "(global.set $i (i32.add (global.get $i) (i32.const 1)))"
_WASI: Final = 'import "wasi_snapshot_preview1"'

MEMORY_GROWS: Final = reactor(
    """(loop $l (br_if $l (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0))))
     (call $answer (memory.size))""",
    memory="2 65536",
)
"""Takes memory until it is refused; answers how many pages it has."""

MEMORY_AT_START: Final = reactor("(i32.const 0)", memory="1000")
"""Wants 65 MB before it runs."""

MEMORY_BOMB: Final = """(module (memory (export "memory") 1) (func (export "_start") (loop $l (br_if $l (i32.ge_s
 (memory.grow (i32.const 1)) (i32.const 0)))) unreachable))"""
"""Takes memory until it is refused, then gives up as programs do."""

TABLE_GROWS: Final = reactor(
    """(loop $l (br_if $l (i32.ge_s (table.grow $t (ref.null func) (i32.const 100)) (i32.const 0))))
     (call $answer (table.size $t))""",
    extra="(table $t 10 funcref)",
)
"""Takes table elements until it is refused; answers how many it has."""

RECURSION: Final = reactor(
    "(call $f (i32.const 1))",
    extra="(func $f (param i32) (result i32) (i32.add (i32.const 1) (call $f (local.get 0))))",
)
"""Calls itself for ever."""

SLEEP: Final = reactor("(call $sleep (i64.const 60000000))")
"""Sleeps for a minute."""

POLL: Final = f"""(module
 ({_WASI} "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 1)
 (func (export "_start") (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const %d))
  (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))"""
"""A WASI program that waits inside `poll_oneoff` for so many nanoseconds."""

FLOOD: Final = f"""(module
 ({_WASI} "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 2)
 (func (export "_start") (i32.store (i32.const 4) (i32.const 65536))
  (loop $l (drop (call $write (i32.const %d) (i32.const 0) (i32.const 1) (i32.const 8))) %s)))"""
"""A WASI program that writes 64 KiB to a descriptor; with `(br $l)` again and again."""

LOG_FLOOD: Final = reactor(
    f"""(memory.fill (i32.const 0) (i32.const 65) (i32.const 1000))
     (loop $l (call $log (i32.const 0) (i32.const 1000)) {_MORE}
      (br_if $l (i32.lt_u (global.get $i) (i32.const 500)))) (i32.const 0)""",
    extra=COUNT,
)
"""Logs 500 lines of 1,000 bytes."""

MESSAGE_FLOOD: Final = reactor(
    f"(loop $l (if (i32.eqz (call $send (i32.const 100) (i32.const 40))) (then {_MORE} (br $l)))) (global.get $i)",
    extra='(data (i32.const 100) "{\\22performative\\22:\\22inform\\22,\\22receiver\\22:\\22b\\22}")' + COUNT,
)
"""Sends until it is refused; fails with how many it could send, so that none is sent."""

HOST_CALL_FLOOD: Final = reactor("(loop $l (drop (call $random)) (br $l)) (i32.const 0)")
"""Calls the host for ever."""

KEY_FLOOD: Final = reactor(
    """(loop $l (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
      (br_if $l (i32.eqz (call $store (i32.const 0) (i32.const 4) (i32.const 1000) (i32.const 96)))))
     (call $answer (i32.load (i32.const 0)))"""
)
"""Stores keys of 100 bytes until it is refused; answers how often it tried."""

KEY_A_MESSAGE: Final = reactor(
    f"""(i32.store (i32.const 0) (global.get $i)) {_MORE}
     (drop (call $store (i32.const 0) (i32.const 4) (i32.const 1000) (i32.const 396)))
     (call $answer (i32.const 1))""",
    extra=COUNT,
)
"""Stores one more key of 400 bytes with every message."""

LARGE_KEYS: Final = reactor(
    """(i32.add (i32.const 40) (i32.add
       (i32.ne (i32.const -3) (call $store (i32.const 0) (i32.const 1001) (i32.const 0) (i32.const 1)))
       (i32.ne (i32.const -3) (call $store (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1000001)))))""",
    memory="20",
)
"""A key of 1,001 bytes and a value of 1,000,001; fails with 40 and how many were not refused."""

STORAGE_FLOOD: Final = f"""(module
 ({_WASI} "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
 ({_WASI} "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
 ({_WASI} "proc_exit" (func $exit (param i32)))
 (memory (export "memory") 2) (data (i32.const 100) "flood")
 (func (export "_start") (local $errno i32) (local $n i32)
  (if (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 5) (i32.const 1) (i64.const 64) (i64.const 0)
        (i32.const 0) (i32.const 16)) (then (call $exit (i32.const 1))))
  (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 65536))
  (loop $l
   (local.set $errno (call $write (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 8)))
   (if (local.get $errno) (then (call $exit (local.get $errno))))
   (local.set $n (i32.add (local.get $n) (i32.const 1)))
   (br_if $l (i32.lt_u (local.get $n) (i32.const 1600))))))"""
"""A WASI program that fills its scratch directory, 100 MB if nobody minds; exits with the errno that stopped it."""

ESCAPE: Final = f"""(module
 ({_WASI} "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
 ({_WASI} "path_symlink" (func $link (param i32 i32 i32 i32 i32) (result i32)))
 ({_WASI} "proc_exit" (func $exit (param i32)))
 (memory (export "memory") 1)
 (data (i32.const 100) "/etc/passwd") (data (i32.const 120) "../../../../../../../../etc/passwd")
 (data (i32.const 180) "a") (data (i32.const 190) "b") (data (i32.const 200) "..")
 (func $try (param $at i32) (param $length i32) (result i32)
  (i32.eqz (call $open (i32.const 3) (i32.const 1) (local.get $at) (local.get $length) (i32.const 0) (i64.const 2)
   (i64.const 0) (i32.const 0) (i32.const 16))))
 (func (export "_start")
  (drop (call $link (i32.const 100) (i32.const 11) (i32.const 3) (i32.const 180) (i32.const 1)))
  (drop (call $link (i32.const 120) (i32.const 34) (i32.const 3) (i32.const 190) (i32.const 1)))
  (call $exit (i32.add (i32.const 40) (i32.add (i32.add
   (i32.add (call $try (i32.const 100) (i32.const 11)) (call $try (i32.const 120) (i32.const 34)))
   (i32.add (call $try (i32.const 180) (i32.const 1)) (call $try (i32.const 190) (i32.const 1))))
   (call $try (i32.const 200) (i32.const 2)))))))"""
"""A WASI program that opens files outside of its directory, by path and link; exits with 40 and how many it got."""

SOCKETS: Final = f"""(module
 ({_WASI} "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
 ({_WASI} "sock_recv" (func $recv (param i32 i32 i32 i32 i32 i32) (result i32)))
 ({_WASI} "sock_send" (func $send (param i32 i32 i32 i32 i32) (result i32)))
 ({_WASI} "proc_exit" (func $exit (param i32)))
 (memory (export "memory") 1)
 (func (export "_start") (local $fd i32) (local $got i32)
  (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 1))
  (loop $l
   (local.set $got (i32.add (local.get $got) (i32.add (i32.add
    (i32.eqz (call $accept (local.get $fd) (i32.const 0) (i32.const 16)))
    (i32.eqz (call $recv (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 16) (i32.const 20))))
    (i32.eqz (call $send (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 16))))))
   (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
   (br_if $l (i32.lt_u (local.get $fd) (i32.const 16))))
  (call $exit (i32.add (i32.const 40) (local.get $got)))))"""
"""A WASI program that uses its first 16 descriptors as sockets; exits with 40 and how often that worked."""

ENVIRONMENT: Final = f"""(module
 ({_WASI} "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
 ({_WASI} "proc_exit" (func $exit (param i32)))
 (memory (export "memory") 1)
 (func (export "_start") (drop (call $sizes (i32.const 0) (i32.const 4)))
  (call $exit (i32.load (i32.const 0)))))"""
"""A WASI program that exits with how many variables its environment has."""

POINTERS: Final = reactor(
    """(i32.add (i32.const 40) (i32.add (i32.add
       (i32.ne (i32.const -2) (call $reply (i32.const -16) (i32.const 100)))
       (i32.ne (i32.const -2) (call $store (i32.const 0) (i32.const 4) (i32.const 131000) (i32.const 1000))))
       (i32.ne (i32.const -2) (call $send (i32.const 2147483647) (i32.const -1)))))"""
)
"""Names bytes outside of its memory; fails with 40 and how many calls did not say so."""

UNGRANTED: Final = reactor(
    """(i32.add (i32.const 40) (i32.add (i32.add (i32.add
       (i32.ge_s (call $store (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 4)) (i32.const 0))
       (i32.ge_s (call $send (i32.const 100) (i32.const 40)) (i32.const 0)))
       (i32.ge_s (call $secret (i32.const 0) (i32.const 4) (i32.const 500) (i32.const 100)) (i32.const 0)))
       (i32.ge_s (call $http (i32.const 0) (i32.const 4) (i32.const 500) (i32.const 100)) (i32.const 0))))""",
    extra='(data (i32.const 100) "{\\22performative\\22:\\22inform\\22,\\22receiver\\22:\\22b\\22}")',
)
"""Uses what it was not granted; fails with 40 and how much of it worked."""

OTHERS_SECRET: Final = reactor(
    """(i32.add (i32.const 40) (i32.add (i32.add
       (i32.ne (i32.const -1) (call $secret (i32.const 100) (i32.const 5) (i32.const 500) (i32.const 100)))
       (i32.ne (i32.const -1) (call $secret (i32.const 105) (i32.const 1) (i32.const 500) (i32.const 100))))
       (i32.ne (i32.const -1) (call $secret (i32.const 106) (i32.const 7) (i32.const 500) (i32.const 100)))))""",
    extra='(data (i32.const 100) "other*mine/..")',
)
"""Has the grant of one secret and asks for others, by name, pattern and path; fails with 40 and how many it got."""

FORGERY: Final = reactor(
    "(drop (call $send (i32.const 100) (i32.const 60))) (i32.const 0)",
    extra='(data (i32.const 100) "{\\22performative\\22:\\22inform\\22,\\22receiver\\22:\\22b\\22,\\22sender\\22:'
    '\\22mallory\\22} ")',
)
"""Sends in the name of another."""

FORBIDDEN_IMPORT: Final = """(module (import "env" "system" (func (param i32) (result i32)))
 (memory (export "memory") 1) (func (export "_start")))"""
"""Wants a function that no node offers."""
