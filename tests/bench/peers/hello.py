"""The HTTP peers: a bare Flask "hello", and an Extism plugin called inside the same Flask app.

Extism crashes the process when a plugin is called on a greenlet's stack (one that was made there, or one
behind a lock, alike), so the app does what gevent advises for native code: each API worker calls its plugin
in a thread of its own.

Runs under exactly the gunicorn settings of Caxton's API. `python -m bench.peers.hello CONFIG` (PORT is in
the configuration). Must never import anything of Caxton but those settings.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from gevent import monkey

monkey.patch_all()

from flask import Flask, request  # noqa: E402  # gevent patches before anything else is imported
from gevent.threadpool import ThreadPool  # noqa: E402  # as above
from gunicorn.app.base import BaseApplication  # noqa: E402  # as above

from caxton import config as configuration  # noqa: E402  # as above
from caxton.api import server  # noqa: E402  # as above

EXTISM_ECHO = """
(module
  (import "extism:host/env" "input_length" (func $length (result i64)))
  (import "extism:host/env" "input_load_u8" (func $load8 (param i64) (result i32)))
  (import "extism:host/env" "input_load_u64" (func $load64 (param i64) (result i64)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store8 (param i64 i32)))
  (import "extism:host/env" "store_u64" (func $store64 (param i64 i64)))
  (import "extism:host/env" "output_set" (func $output (param i64 i64)))
  (memory (export "memory") 1)
  (func (export "slow") (result i32) (local i32)
    (local.set 0 (i32.const 100000000))
    (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (i32.const 0))
  (func (export "echo") (result i32) (local $n i64) (local $at i64) (local $i i64)
    (local.set $n (call $length))
    (local.set $at (call $alloc (local.get $n)))
    (block $words (loop $l
      (br_if $words (i64.gt_u (i64.add (local.get $i) (i64.const 8)) (local.get $n)))
      (call $store64 (i64.add (local.get $at) (local.get $i)) (call $load64 (local.get $i)))
      (local.set $i (i64.add (local.get $i) (i64.const 8))) (br $l)))
    (block $bytes (loop $l
      (br_if $bytes (i64.ge_u (local.get $i) (local.get $n)))
      (call $store8 (i64.add (local.get $at) (local.get $i)) (call $load8 (local.get $i)))
      (local.set $i (i64.add (local.get $i) (i64.const 1))) (br $l)))
    (call $output (local.get $at) (local.get $n)) (i32.const 0)))
"""
"""Copies its input to its output by the largest steps that Extism's kernel offers, as its PDK does."""

app = Flask(__name__)


@app.get("/hello")
def hello() -> str:
    """The ceiling of Flask under these settings."""
    return "hello"


def add_extism() -> None:
    """Adds /extism and /extism-slow when the peers' packages are on the path."""
    import extism
    import wasmtime

    module = bytes(wasmtime.wat2wasm(EXTISM_ECHO))
    thread = ThreadPool(1)
    made: list[Any] = []

    def in_thread(name: str, data: bytes) -> bytes:
        if not made:
            made.append(extism.Plugin({"wasm": [{"data": module}]}))
        return bytes(made[0].call(name, data))

    def call(name: str, data: bytes) -> bytes:
        answer: bytes = thread.apply(in_thread, (name, data))
        return answer

    @app.post("/extism")
    def echo() -> bytes:
        return call("echo", request.get_data())

    @app.post("/extism-slow")
    def slow() -> bytes:
        return call("slow", b"")


class Peer(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """The Flask app above under Caxton's gunicorn settings."""

    def load_config(self) -> None:
        """Takes over every setting."""
        loaded = configuration.load(Path(sys.argv[1]), os.environ).config
        for name, value in server.settings(loaded, admin=False).items():
            if value is not None and name != "preload_app":
                self.cfg.set(name, value)

    def load(self) -> Any:
        """The Flask app; one plugin per API worker."""
        if os.environ.get("BENCH_PEERS"):
            sys.path.append(os.environ["BENCH_PEERS"])
            add_extism()
        return app


if __name__ == "__main__":
    Peer().run()
