from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.backup_world import World, fill, make_world

MakeDisk = Callable[[int], Path]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A stopped node with something in it."""
    made = make_world(tmp_path)
    fill(made)
    return made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """Mounts a file system of so many bytes."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        path = tmp_path / f"disk{len(mounted)}"
        path.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", str(path)], capture_output=True)
        if done.returncode != 0:
            pytest.skip("mounting is not permitted here")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
