"""A scratch directory holds its bytes and names and no more, whatever way they come in or go."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caxton.executor.wasi.abi import Errno
from caxton.executor.wasi.quota import MIN_NAMES, Quota
from support.wasi_calls import CREAT, DATA, DIRECTORY, READ, RESULT, TRUNC, WRITE, Guest, with_scratch

LIMIT = 10_000


def quota_of(guest: Guest) -> Quota:
    quota = guest.state.table.directory(3, 0).root.quota
    assert quota is not None
    return quota


def full_file(guest: Guest, name: str = "a", size: int = LIMIT) -> int:
    fd = guest.opened(name, CREAT, READ | WRITE)
    assert guest.write(fd, b"x" * size) == (0, size)
    return fd


GROWERS: list[Callable[[Guest, int], int]] = [
    lambda g, fd: g.write(fd, b"y")[0],
    lambda g, fd: g.call("fd_pwrite", fd, *g.vector(1), LIMIT, RESULT),
    lambda g, fd: g.call("fd_pwrite", fd, *g.vector(1), 1 << 40, RESULT),
    lambda g, fd: g.call("fd_allocate", fd, 0, LIMIT + 1),
    lambda g, fd: g.call("fd_filestat_set_size", fd, LIMIT + 1),
    lambda g, fd: g.call("fd_filestat_set_size", fd, 1 << 62),
    lambda g, fd: g.write(g.opened("b", CREAT, WRITE), b"y")[0],
    lambda g, fd: g.write(g.opened("a", 0, WRITE, fd=4, flags=1), b"y")[0],
    lambda g, fd: g.two("path_symlink", "target", "l"),
]


@pytest.mark.parametrize("number", range(len(GROWERS)))
def test_one_byte_too_many_is_enospc(tmp_path: Path, number: int) -> None:
    guest = with_scratch(tmp_path / "s", LIMIT)
    fd = full_file(guest)
    assert GROWERS[number](guest, fd) == Errno.ENOSPC
    assert sum(path.lstat().st_size for path in (tmp_path / "s").iterdir()) == LIMIT
    assert quota_of(guest).used == LIMIT
    assert guest.call("fd_pwrite", fd, *guest.vector(100), 0, RESULT) == 0  # what is there may be overwritten
    guest.state.close()


FREERS: list[Callable[[Guest, int], int]] = [
    lambda g, fd: g.named("path_unlink_file", "a") or g.call("fd_close", fd),
    lambda g, fd: g.call("fd_close", fd) or g.named("path_unlink_file", "a"),
    lambda g, fd: g.call("fd_filestat_set_size", fd, 0),
    lambda g, fd: g.open("a", TRUNC, WRITE)[0],
    lambda g, fd: g.two("path_rename", "empty", "a") or g.call("fd_close", fd),
    lambda g, fd: g.named("path_unlink_file", "a") or g.call("fd_renumber", 5, fd),
]


@pytest.mark.parametrize("number", range(len(FREERS)))
def test_what_is_removed_gives_its_room_back(tmp_path: Path, number: int) -> None:
    guest = with_scratch(tmp_path / "s", LIMIT)
    guest.opened("empty", CREAT, WRITE)
    fd = full_file(guest)
    assert FREERS[number](guest, fd) == 0
    assert quota_of(guest).used == 0
    full_file(guest, "again")
    guest.state.close()


def test_an_unlinked_file_counts_until_it_is_closed(tmp_path: Path) -> None:
    guest = with_scratch(tmp_path / "s", LIMIT)
    fd = full_file(guest)
    second = guest.opened("a", 0, READ)
    assert guest.named("path_unlink_file", "a") == 0
    assert guest.call("fd_close", fd) == 0
    assert guest.write(guest.opened("b", CREAT, WRITE), b"y")[0] == Errno.ENOSPC
    assert guest.call("fd_close", second) == 0
    assert quota_of(guest).used == 0
    guest.state.close()


def test_a_second_name_keeps_the_bytes(tmp_path: Path) -> None:
    guest = with_scratch(tmp_path / "s", LIMIT)
    guest.call("fd_close", full_file(guest))
    assert guest.two("path_link", "a", "b") == 0
    assert guest.named("path_unlink_file", "a") == 0
    assert quota_of(guest).used == LIMIT
    assert guest.named("path_unlink_file", "b") == 0
    assert (quota_of(guest).used, quota_of(guest).names) == (0, 0)
    guest.state.close()


def test_names_are_counted_however_they_are_made(tmp_path: Path) -> None:
    guest = with_scratch(tmp_path / "s", LIMIT)
    guest.call("fd_close", guest.opened("f", CREAT, WRITE))
    for number in range(MIN_NAMES - 1):
        assert guest.named("path_create_directory", f"d{number}") == 0
    assert guest.named("path_create_directory", "more") == Errno.ENOSPC
    assert guest.open("more", CREAT, WRITE)[0] == Errno.ENOSPC
    assert guest.two("path_link", "f", "more") == Errno.ENOSPC
    assert guest.two("path_symlink", "f", "more") == Errno.ENOSPC
    assert guest.named("path_remove_directory", "d0") == 0
    assert guest.two("path_symlink", "f", "more") == 0
    assert quota_of(guest).names == MIN_NAMES == len(os.listdir(tmp_path / "s"))
    guest.state.close()


def test_leftovers_of_a_crash_are_gone_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "s" / "old" / "deep").mkdir(parents=True)
    (tmp_path / "s" / "old" / "deep" / "file").write_text("x")
    guest = with_scratch(tmp_path / "s", LIMIT)
    assert sorted(guest.names(3)) == [".", ".."]
    guest.state.close()


NAMES = st.sampled_from(["a", "b", "d/a", "d", "l"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 9), NAMES, NAMES, st.integers(0, 6000)), max_size=40))
def test_the_count_is_what_lies_on_disk(tmp_path: Path, steps: list[tuple[int, str, str, int]]) -> None:
    scratch = tmp_path / "s"
    guest = with_scratch(scratch, LIMIT)
    held: list[int] = []
    for kind, name, other, size in steps:
        if kind <= 2:
            errno, fd = guest.open(name, CREAT | (TRUNC if kind == 1 else 0), READ | WRITE, flags=size % 2)
            held += [fd] if errno == 0 else []
        elif kind == 3 and held:
            guest.write(held[size % len(held)], b"x" * size)
        elif kind == 4 and held:
            guest.call("fd_filestat_set_size", held[size % len(held)], size)
        elif kind == 5 and held:
            guest.call("fd_close", held.pop(size % len(held)))
        elif kind == 6:
            guest.two(("path_rename", "path_link", "path_symlink")[size % 3], name, other)
        elif kind == 7:
            guest.named("path_unlink_file", name)
        elif kind == 8:
            guest.named("path_create_directory", name)
        else:
            guest.named("path_remove_directory", name)
        assert quota_of(guest).used <= LIMIT
    for fd in held:
        guest.call("fd_close", fd)
    found = list(scratch.rglob("*"))
    sizes = {path.lstat().st_ino: path.lstat().st_size for path in found if path.is_symlink() or not path.is_dir()}
    assert quota_of(guest).names == len(found)
    assert quota_of(guest).used == sum(sizes.values())
    guest.state.close()


def test_a_big_write_is_short_not_endless(tmp_path: Path) -> None:
    guest = with_scratch(tmp_path / "s", 100_000_000)
    guest.memory.data.extend(bytes(4 << 20))
    fd = guest.opened("a", CREAT, READ | WRITE)
    assert guest.call("fd_write", fd, *guest.vector(3 << 20), RESULT) == 0
    assert guest.result() == 1 << 20
    assert guest.call("fd_pread", fd, *guest.vector(3 << 20), 0, RESULT) == 0
    assert guest.result() == 1 << 20
    assert guest.memory.size() > DATA
    assert guest.open("a", DIRECTORY)[0] == Errno.ENOTDIR
    guest.state.close()
