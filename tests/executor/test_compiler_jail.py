"""The compiler child: what it answers, what stops it, and what it cannot do."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import pytest

from caxton.executor.compiler.model import Order
from caxton.executor.compiler.run import compile_module, order_for
from caxton.protocol.agents import ModuleInfo, Profile, Shape
from caxton.protocol.errors import CaxtonError, Code
from support import bombs

COMMAND = b'(module (memory (export "memory") 3 9) (func (export "_start")))'


def compiled(module: bytes, progress: list[float] | None = None, sha256: str = "", **changes: int) -> ModuleInfo:
    """Compiles in a real child with an order changed by `changes`."""
    with tempfile.TemporaryFile() as file:
        file.write(module)
        file.flush()
        order = order_for(
            sha256 or hashlib.sha256(module).hexdigest(), Profile.STANDARD, 1_000_000, [], file.fileno()
        )
        order = msgspec.structs.replace(order, **changes)
        try:
            info = asyncio.run(compile_module(order, (progress if progress is not None else []).append))
            assert os.fstat(order.artifact_fd).st_size > 0
            return info
        finally:
            os.close(order.artifact_fd)


def refusal(module: bytes, **changes: int) -> CaxtonError:
    with pytest.raises(CaxtonError) as caught:
        compiled(module, **changes)
    return caught.value


def test_text_is_compiled_under_the_digest_of_its_bytes() -> None:
    info = compiled(COMMAND)
    assert info.sha256 == hashlib.sha256(COMMAND).hexdigest()
    assert info.size_bytes == len(COMMAND)
    assert (info.shape, info.memory_min_bytes, info.memory_max_bytes) == (Shape.COMMAND, 3 * 65536, 9 * 65536)
    assert 0 < info.compile_seconds < 30


@pytest.mark.parametrize(
    ("module", "rule"),
    [
        (b"", "empty"),
        (b"(module", "text"),
        (b"  hello", "text"),
        (b"#!/bin/sh\n", "magic"),
        (b"\x7fELF\x02\x01\x01", "magic"),
        (b"\0asm", "truncated"),
        (b"\0asm\x0d\0\1\0", "component"),
        (bombs.many_functions(3)[:-5], "truncated"),
        (b'(module (func (export "_start") (drop (i64.add (i32.const 1) (i64.const 1)))))', "validation"),
        (b'(module (import "env" "abort" (func)) (func (export "_start")))', "imports"),
    ],
)
def test_what_is_no_agent_is_refused_with_its_rule(module: bytes, rule: str) -> None:
    error = refusal(module)
    assert (error.code, error.details["rule"]) == (Code.INVALID_WASM, rule)


def test_a_file_over_the_size_limit_is_refused_unread() -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(100_000_001)
        order = order_for("0" * 64, Profile.STANDARD, 1_000_000, [], file.fileno())
        with pytest.raises(CaxtonError) as caught:
            asyncio.run(compile_module(order, [].append))
        os.close(order.artifact_fd)
    assert (caught.value.code, caught.value.details["rule"]) == (Code.INVALID_WASM, "size")


def test_other_bytes_than_announced_are_not_compiled() -> None:
    with pytest.raises(CaxtonError) as caught:
        compiled(COMMAND, sha256="0" * 64)
    assert caught.value.code is Code.INTERNAL_ERROR


def test_the_cpu_limit_binds_and_is_named() -> None:
    progress: list[float] = []
    with pytest.raises(CaxtonError) as caught:
        compiled(bombs.constant_chains(40, 20_000), progress, cpu_seconds=2)
    assert (caught.value.code, caught.value.details["exceeded"]) == (Code.COMPILE_LIMIT, "cpu")
    assert caught.value.details["cpu_seconds"] < 4
    assert progress == sorted(progress)
    assert len(progress) >= 2


def test_the_memory_limit_binds_and_is_named() -> None:
    error = refusal(bombs.constant_chains(1, 240_000), address_space_bytes=500_000_000)
    assert (error.code, error.details["exceeded"]) == (Code.COMPILE_LIMIT, "memory")
    assert error.details["peak_memory_bytes"] <= 500_000_000


def test_the_artifact_size_limit_binds_and_is_named() -> None:
    error = refusal(bombs.many_functions(500), artifact_bytes=20_000)
    assert (error.code, error.details["exceeded"]) == (Code.COMPILE_LIMIT, "artifact size")


PROBE = """
import json, os, resource, socket, sys
before = os.readlink("/proc/self/ns/net")
from caxton.executor.compiler.jail import confine
from caxton.executor.compiler.model import Order
import msgspec
confine(msgspec.json.decode(sys.argv[1], type=Order))
found = {name: resource.getrlimit(getattr(resource, name))[0] for name in
         ("RLIMIT_CPU", "RLIMIT_AS", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE")}
found["private_network"] = os.readlink("/proc/self/ns/net") != before
found["no_new_privs"] = "NoNewPrivs:\\t1" in open("/proc/self/status").read()
found["nice"] = os.nice(0)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    try:
        s.connect(("192.0.2.1", 9)); found["route"] = True
    except OSError:
        found["route"] = False
print(json.dumps(found))
"""


def test_the_walls_stand() -> None:
    order = Order("0" * 64, Profile.STANDARD, 1_000_000, [], -1, -1, -1)
    app = Path(__file__).resolve().parents[2] / "app"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE, msgspec.json.encode(order).decode()],
        env={"PYTHONPATH": str(app)}, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert (found["RLIMIT_CPU"], found["RLIMIT_AS"], found["RLIMIT_CORE"]) == (180, 2_000_000_000, 0)
    assert found["RLIMIT_FSIZE"] == 1_000_000_000
    assert found["RLIMIT_NOFILE"] <= 32
    assert found["no_new_privs"]
    assert found["nice"] == 10
    if not found["private_network"]:
        pytest.skip("this kernel permits no network namespace here; the service's own confinement holds instead")
    assert not found["route"]


def test_cancelling_kills_the_child() -> None:
    module = bombs.constant_chains(40, 20_000)

    before = set(children_of(os.getpid()))

    async def run() -> set[int]:
        with tempfile.TemporaryFile() as file:
            file.write(module)
            file.flush()
            order = order_for(hashlib.sha256(module).hexdigest(), Profile.STANDARD, 1_000_000, [], file.fileno())
            ticked = asyncio.Event()
            task = asyncio.ensure_future(compile_module(order, lambda _: ticked.set()))
            await ticked.wait()
            children = set(children_of(os.getpid())) - before
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            os.close(order.artifact_fd)
            return children

    started = time.monotonic()
    children = asyncio.run(run())
    assert children
    assert not children & set(children_of(os.getpid()))
    assert time.monotonic() - started < 30


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
