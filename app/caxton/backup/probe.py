"""The agent that proves that a node executes: it answers with the message that it was given.

Owns its bytes. Must never need a compiler: a test holds the bytes to the text.
"""

from __future__ import annotations

import base64
from typing import Final

NAME: Final = "caxton-restore-drill"
TEXT: Final = """
(module
  (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "handle_message") (param i32 i32) (result i32)
    (drop (call $reply (local.get 0) (local.get 1)))
    (i32.const 0)))
"""
MODULE: Final = base64.b64decode(
    "AGFzbQEAAAABDAJgAn9/AX9gAX8BfwIQAQZjYXh0b24FcmVwbHkAAAMDAgEABQMBAAIHKgMGbWVtb3J5AgAMY2F4dG9uX2FsbG9j"
    "AAEOaGFuZGxlX21lc3NhZ2UAAgoTAgUAQYAICwsAIAAgARAAGkEACwAPBG5hbWUBCAEABXJlcGx5"
)
