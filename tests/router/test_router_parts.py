"""Small parts of the router: module files, the data directory's lock, cursors, the service manager's datagrams."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.protocol.errors import CaxtonError, Code
from caxton.router.modules import ModuleFiles
from caxton.router.paging import check_limit, read_cursor, write_cursor
from caxton.store import datalock


def test_a_module_is_stored_once_under_its_hash(tmp_path: Path) -> None:
    async def scene() -> None:
        files = ModuleFiles(tmp_path / "modules")
        names = await asyncio.gather(*(files.put(b"module") for _ in range(5)))
        assert set(names) == {sha256(b"module").hexdigest()}
        assert [path.name for path in (tmp_path / "modules").iterdir()] == [names[0]]
        assert files.path(names[0]).read_bytes() == b"module"

    asyncio.run(scene())


def test_only_files_that_nobody_needs_are_collected(tmp_path: Path) -> None:
    async def scene() -> None:
        files = ModuleFiles(tmp_path)
        needed, held, stale = [await files.put(body) for body in (b"needed", b"held", b"stale")]
        files.release(needed)
        files.release(stale)
        (tmp_path / f"{stale}-0000.part").write_bytes(b"half")
        (tmp_path / "not-ours").write_bytes(b"")
        assert await files.collect([needed]) == 2
        assert {path.name for path in tmp_path.iterdir()} == {needed, held, "not-ours"}
        files.discard(held, [])
        assert files.path(held).exists()
        files.release(held)
        files.discard(held, [])
        assert not files.path(held).exists()

    asyncio.run(scene())


def test_a_truncated_module_file_is_written_again(tmp_path: Path) -> None:
    async def scene() -> None:
        files = ModuleFiles(tmp_path)
        name = sha256(b"module").hexdigest()
        files.path(name).write_bytes(b"mod")
        assert await files.put(b"module") == name
        assert files.path(name).read_bytes() == b"module"

    asyncio.run(scene())


def test_the_data_directory_has_one_holder_until_that_process_ends(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from caxton.store import datalock\n"
        "with datalock.hold(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env=environment, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CaxtonError) as caught, datalock.hold(tmp_path):
            pass
        assert caught.value.code is Code.CONFLICT
        assert caught.value.details["pid"] == str(holder.pid)
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    with datalock.hold(tmp_path):
        pass


@given(st.lists(st.text() | st.integers(-(2**53), 2**53), min_size=1, max_size=3))
def test_a_cursor_comes_back_as_it_was(position: list[str | int]) -> None:
    assert read_cursor(write_cursor(*position), *map(type, position)) == position


@given(st.text() | st.binary().map(lambda data: data.hex()))
def test_a_foreign_cursor_is_refused_or_a_position(text: str) -> None:
    found = outcome(lambda: read_cursor(text, str))
    assert found is Code.INVALID_REQUEST or (isinstance(found, list) and isinstance(found[0], str))


@pytest.mark.parametrize("limit", [0, 201, -1, 1, 200])
def test_limits_of_a_page(limit: int) -> None:
    assert outcome(lambda: check_limit(limit)) == (limit if 1 <= limit <= 200 else Code.INVALID_REQUEST)


def outcome(call: Callable[[], Any]) -> Any:
    """What `call` gives, or the code of its refusal."""
    try:
        return call()
    except CaxtonError as error:
        return error.code
