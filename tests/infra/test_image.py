"""The base image: never half, never built twice at once, and another one when its recipe changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import image, paths, recipe
from lab.errors import Code, LabError

Builder = Callable[[], subprocess.Popen[bytes]]
BUILD = "import sys, pathlib; from lab import image, paths; paths.CACHE = pathlib.Path(sys.argv[1]); image.ensure()"


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def making(cache: Path) -> set[Path]:
    return {path for path in cache.glob("*.making*") if path.is_dir()}


def builders(cache: Path) -> list[str]:
    """What still works on something in this cache: a process that names it or stands in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            traces = (process / "cmdline").read_bytes().decode(errors="replace"), os.readlink(process / "cwd")
            traces += (os.readlink(process / "root"),)
        except OSError:
            continue
        if int(process.name) != os.getpid() and any(str(cache) in trace for trace in traces):
            found.append(traces[0])
    return found


@pytest.fixture
def build(machinery: None, tmp_path: Path) -> Iterator[Builder]:
    """Starts a build in a cache of its own; none is left running."""
    started: list[subprocess.Popen[bytes]] = []
    environment = {**os.environ, "PYTHONPATH": str(paths.REPOSITORY / "molecule/shared")}

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", BUILD, str(tmp_path)]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
    until(lambda: not builders(tmp_path))


def test_a_killed_build_is_no_image_and_leaves_no_process(build: Builder, tmp_path: Path) -> None:
    first = build()
    until(lambda: any((root / "debootstrap").exists() for root in making(tmp_path)))
    left = making(tmp_path)
    first.kill()
    first.wait()
    until(lambda: not builders(tmp_path))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir() and path not in left] == []

    build()
    until(lambda: not making(tmp_path) & left)


def test_a_second_builder_waits_for_the_first(build: Builder, tmp_path: Path) -> None:
    first, second = build(), build()
    until(lambda: making(tmp_path))
    found = making(tmp_path)
    assert len(found) == 1
    assert first.poll() is None
    assert second.poll() is None
    first.kill()
    second.kill()


def test_another_recipe_is_another_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = image.path("bookworm")
    changed = shutil.copy(paths.ROOTFS_SCRIPT, tmp_path / "rootfs.sh")
    with changed.open("a") as script:
        script.write("# changed\n")
    monkeypatch.setattr(paths, "ROOTFS_SCRIPT", changed)
    assert image.path("bookworm") != before
    assert {image.path(release).parent for release in recipe.RELEASES} == {paths.CACHE}


def test_an_unknown_release_is_refused() -> None:
    for release in ("", "../x", "sid"):
        with pytest.raises(LabError) as caught:
            image.path(release)
        assert caught.value.code is Code.REFUSED
