"""Real programs, built with clang and wasi-libc, against our WASI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import wasmtime

from caxton.executor.guest import StopGuest
from caxton.executor.wasi import new_state
from caxton.protocol.agents import DirGrant
from caxton.protocol.errors import Code
from support.wasi_guest import compiled, run

needs_clang = pytest.mark.skipif(
    shutil.which("clang") is None or not Path("/usr/lib/wasm32-wasi").exists(), reason="needs clang and wasi-libc"
)
pytestmark = needs_clang


@pytest.fixture(scope="module")
def engine() -> Iterator[wasmtime.Engine]:
    engine = wasmtime.Engine()
    yield engine
    engine.close()


def module(engine: wasmtime.Engine, name: str) -> wasmtime.Module:
    return wasmtime.Module(engine, compiled(name))


def test_files_directories_links_and_grants(engine: wasmtime.Engine, tmp_path: Path) -> None:
    data, scratch = tmp_path / "data", tmp_path / "scratch"
    data.mkdir()
    (data / "given.txt").write_text("given\n")
    os.mkfifo(data / "fifo")
    (data / "out").symlink_to("/etc/passwd")
    state = new_state(
        args=["files"],
        env={},
        dirs=[DirGrant(host=str(data), guest="/data")],
        scratch=scratch,
        scratch_bytes=4_000_000,
    )
    ran = run(engine, module(engine, "files.c"), state)
    assert (ran.exit_code, ran.stdout) == (0, b"ok\n"), ran.stderr
    assert sorted(os.listdir(scratch)) == ["a.txt", "rel.bin"]
    quota = state.table.directory(4, 0).root.quota
    assert quota is not None
    assert (quota.used, quota.names) == (10_004 + 101, 2)
    state.close()
    assert not scratch.exists()
    assert sorted(os.listdir(data)) == ["fifo", "given.txt", "out"]


def test_arguments_environment_streams_clocks_and_exit_code(engine: wasmtime.Engine) -> None:
    state = new_state(args=["process", "one two", "ü"], env={"A": "1", "B": ""}, stdin=b"first\nsecond")
    ran = run(engine, module(engine, "process.c"), state)
    assert ran.stdout.decode().splitlines() == [
        "arg process",
        "arg one two",
        "arg ü",
        "env A=1",
        "env B=",
        "in first",
        "in secondtime 1",
        "nap 0 1",
        "poll 1",
        "pause 1",
        "random 0 1",
    ]
    assert ran.stderr == b"a line for the log\n"
    assert ran.exit_code == 42
    state.close()


def test_output_over_its_limit_stops_the_program(engine: wasmtime.Engine) -> None:
    state = new_state(args=["process", "x" * 2000], env={}, output_bytes=1000)
    with pytest.raises(StopGuest) as stopped:
        run(engine, module(engine, "process.c"), state)
    assert stopped.value.code == Code.OUTPUT_LIMIT
    state.close()
