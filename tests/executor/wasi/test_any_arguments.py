"""Whatever a guest passes: an errno or one of the allowed stops, and nothing outside is touched."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caxton.executor.guest import GuestExit, StopGuest
from caxton.executor.wasi import FUNCTIONS, Wait, functions_for, new_state
from caxton.executor.wasi.abi import Errno
from caxton.protocol.agents import DirGrant
from support.wasi_calls import Guest

CANARY = "untouched"
ABSOLUTE = b"(the absolute path of the canary)"
# Every path that leads out leads to a canary of ours: should confinement ever break, this test must do no harm.
PATHS = [
    b"file", b"sub/file", b"..", b"../canary", b"out", b"sub/../../canary", ABSOLUTE, b"fifo", b"new", b"new2",
    b"sub", b"sub/", b".", b"", b"a\0b", b"\xff", b"x" * 300, b"out/", b"up/canary", b"link", b"sub/new",
]  # fmt: skip
SLOT = 512
PATH_BASE = 8192
ANYTHING = st.one_of(
    st.integers(0, 12),
    st.sampled_from([PATH_BASE + SLOT * number for number in range(len(PATHS))]),
    st.sampled_from([len(path) for path in PATHS]),
    st.integers(-(1 << 31), (1 << 31) - 1),
    st.sampled_from([1 << 20, (1 << 20) - 1, (1 << 20) - 8, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1, -1]),
)
CALL = st.tuples(st.sampled_from(sorted(FUNCTIONS)), st.lists(ANYTHING, min_size=9, max_size=9))
PATH_CALL = st.tuples(
    st.sampled_from(sorted(name for name in FUNCTIONS if name.startswith("path_"))),
    st.lists(st.integers(0, len(PATHS) - 1), min_size=2, max_size=2),
    st.lists(st.sampled_from([3, 4, 5, 6, 7]), min_size=2, max_size=2),
    st.integers(0, 16),
)


@pytest.fixture(scope="module")
def house() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cx") as name:
        yield Path(name)


def build(base: Path) -> tuple[Guest, Path]:
    home = Path(tempfile.mkdtemp(dir=base))
    (home / "canary").write_text(CANARY)
    for grant in ("ro", "rw"):
        (home / grant / "sub").mkdir(parents=True)
        (home / grant / "file").write_text("inside")
        (home / grant / "sub" / "file").write_text("inside")
        (home / grant / "out").symlink_to("../canary")
        (home / grant / "up").symlink_to("..")
        (home / grant / "link").symlink_to("file")
        os.mkfifo(home / grant / "fifo")
    state = new_state(
        args=["a", "b"],
        env={"K": "v"},
        stdin=b"input",
        dirs=[
            DirGrant(host=str(home / "ro"), guest="/ro"),
            DirGrant(host=str(home / "rw"), guest="/rw", read_only=False),
        ],
        scratch=home / "scratch",
        scratch_bytes=50_000,
    )
    guest = Guest(state)
    for number in range(len(PATHS)):
        guest.memory.write(PATH_BASE + number * SLOT, path_of(home, number))
    return guest, home


def path_of(home: Path, number: int) -> bytes:
    return os.fsencode(home / "canary") if PATHS[number] is ABSOLUTE else PATHS[number]


def outside(home: Path) -> object:
    read_only = sorted(
        (str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in (home / "ro").rglob("*")
    )
    canary = home / "canary"
    return canary.read_text(), canary.stat().st_mtime_ns, canary.stat().st_nlink, read_only


def checked_call(guest: Guest, name: str, arguments: list[int], has_files: bool = True) -> None:
    function = functions_for(has_files)[name]
    try:
        answer = function.call(guest.state, guest.memory, *arguments[: len(function.params)])
    except (GuestExit, StopGuest):
        return
    if isinstance(answer, Wait):
        assert function.deferred
        answer = answer.finish()
    assert 0 <= answer <= max(Errno)


def finished(guest: Guest, home: Path, before: object) -> None:
    assert outside(home) == before
    assert sorted(os.listdir(home)) == ["canary", "ro", "rw", "scratch"]
    total = sum(path.lstat().st_size for path in (home / "scratch").rglob("*") if not path.is_dir())
    assert total <= 50_000
    assert len(guest.memory.data) == 1 << 20
    guest.state.close()
    assert not (home / "scratch").exists()


QUIET = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@QUIET
@given(calls=st.lists(CALL, max_size=40))
def test_random_arguments(house: Path, calls: list[tuple[str, list[int]]]) -> None:
    guest, home = build(house)
    before = outside(home)
    for name, arguments in calls:
        checked_call(guest, name, arguments)
    finished(guest, home, before)


@QUIET
@given(calls=st.lists(PATH_CALL, max_size=40))
def test_random_path_operations(house: Path, calls: list[tuple[str, list[int], list[int], int]]) -> None:
    """Well-formed calls, so that most of them get as far as the kernel."""
    guest, home = build(house)
    before = outside(home)
    for name, (first, second), (fd, new_fd), flags in calls:
        old = (PATH_BASE + first * SLOT, len(path_of(home, first)))
        new = (PATH_BASE + second * SLOT, len(path_of(home, second)))
        arguments = {
            "path_open": [fd, flags & 1, *old, flags, -1, -1, 0, 64],
            "path_filestat_get": [fd, flags & 1, *old, 256],
            "path_filestat_set_times": [fd, flags & 1, *old, 1, 2, flags],
            "path_link": [fd, flags & 1, *old, new_fd, *new],
            "path_rename": [fd, *old, new_fd, *new],
            "path_symlink": [*old, fd, *new],
            "path_readlink": [fd, *old, 256, 100, 64],
        }.get(name, [fd, *old])
        checked_call(guest, name, arguments)
        if name == "path_open":
            checked_call(guest, "fd_write", [guest.result(), PATH_BASE + 10 * SLOT, 0, 64])
    finished(guest, home, before)


@QUIET
@given(calls=st.lists(CALL, max_size=40))
def test_random_arguments_of_a_guest_without_files(calls: list[tuple[str, list[int]]]) -> None:
    guest = Guest(new_state(args=["a"], env={}, stdin=b"input", output_bytes=1000, log_bytes=1000))
    open_before = len(os.listdir("/proc/self/fd"))
    for name, arguments in calls:
        checked_call(guest, name, arguments, has_files=False)
    assert len(os.listdir("/proc/self/fd")) == open_before
    assert len(guest.state.stdout) <= 1000
    assert len(guest.state.stderr) <= 1000
    guest.state.close()
