"""The agent that `caxton bench` deploys, as WebAssembly text.

Owns that text. Must never grow: it is to cost nothing.
"""

from __future__ import annotations

from typing import Final

ECHO: Final = b"""
(module
  (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "caxton_alloc") (param $len i32) (result i32)
    (select (i32.const 1024) (i32.const 0) (i32.le_u (local.get $len) (i32.const 200000))))
  (func (export "handle_message") (param $ptr i32) (param $len i32) (result i32)
    (drop (call $reply (local.get $ptr) (local.get $len)))
    (i32.const 0)))
"""
"""Replies with the message it gets, whole."""
