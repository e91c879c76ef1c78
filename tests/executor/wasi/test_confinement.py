"""Nothing outside a granted directory can be named, whatever the path looks like."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from caxton.executor.wasi import new_state
from caxton.executor.wasi.abi import Errno, Filetype
from caxton.protocol.agents import DirGrant
from caxton.protocol.errors import CaxtonError, Code
from support.wasi_calls import CREAT, DIRECTORY, EXCL, READ, TRUNC, WRITE, Guest, granted, with_scratch

CANARY = "nobody may see or change this"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "canary").write_text(CANARY)
    inside = tmp_path / "granted"
    (inside / "sub" / "deep").mkdir(parents=True)
    (inside / "file").write_text("inside")
    (inside / "out").symlink_to("../canary")
    (inside / "out_absolute").symlink_to(tmp_path / "canary")
    (inside / "up").symlink_to("..")
    (inside / "sub" / "back").symlink_to("../file")
    (inside / "loop").symlink_to("loop")
    (inside / "dangling").symlink_to("not_yet")
    return inside


# All of them lead to the canary or its directory: should confinement break, these tests must harm nothing else.
ESCAPES = [
    "../canary", "..", "../", "sub/../../canary", "sub/deep/../../../canary", "{canary}", "/", "/{canary}", "out",
    "out_absolute", "up/canary", "up", "up/", "./../canary", "sub/deep/../../up/canary", "up/granted/file",
]  # fmt: skip


@pytest.mark.parametrize("path", ESCAPES)
def test_a_path_that_leads_out_is_eperm_everywhere(house: Path, path: str) -> None:
    path = path.format(canary=house.parent / "canary")
    guest = granted(house)
    for oflags in (0, CREAT, CREAT | TRUNC, DIRECTORY):
        assert guest.open(path, oflags, READ | WRITE)[0] == Errno.EPERM
    assert guest.stat(path)[0] == Errno.EPERM
    is_a_link_itself = path in ("out", "out_absolute", "up", "up/")  # may be renamed or removed as such
    if not is_a_link_itself:
        for function in ("path_create_directory", "path_remove_directory", "path_unlink_file"):
            assert guest.named(function, path) == Errno.EPERM
        for function in ("path_rename", "path_link"):
            assert guest.two(function, path, "new") == Errno.EPERM
            assert guest.two(function, "file", path) == Errno.EPERM
        assert guest.two("path_symlink", "file", path) == Errno.EPERM
        assert guest.call("path_filestat_set_times", 3, 1, *guest.path(path), 1, 1, 5) == Errno.EPERM
    assert (house.parent / "canary").read_text() == CANARY
    assert sorted(os.listdir(house.parent)) == ["canary", "granted"]
    guest.state.close()


def test_paths_that_are_wrong_in_themselves(house: Path) -> None:
    guest = granted(house)
    assert guest.open("")[0] == Errno.ENOENT
    assert guest.open(b"file\0x")[0] == Errno.EINVAL
    assert guest.open(b"\xff\xfe")[0] == Errno.EILSEQ
    assert guest.open("a" * 5000)[0] == Errno.ENAMETOOLONG
    assert guest.open("a" * 300)[0] == Errno.ENAMETOOLONG
    assert guest.open("loop")[0] == Errno.ELOOP
    assert guest.open("file/")[0] == Errno.ENOTDIR
    assert guest.open("file/x")[0] == Errno.ENOTDIR
    assert guest.open("new/", CREAT, WRITE)[0] != 0
    assert guest.call("path_open", 3, 1, 1 << 21, 5, 0, 0, 0, 0, 64) == Errno.EFAULT
    assert guest.call("path_open", 3, 1, *guest.path("file"), 0, READ, 0, 0, -2) == Errno.EFAULT
    assert len(guest.state.table.entries) == 4
    for function in ("path_create_directory", "path_remove_directory", "path_unlink_file"):
        assert guest.named(function, ".") == Errno.EINVAL
        assert guest.named(function, "sub/..") == Errno.EINVAL
    guest.state.close()


def test_links_that_stay_inside_work_and_the_follow_flag_decides(house: Path) -> None:
    guest = granted(house)
    assert guest.read(guest.opened("sub/back"))[1] == b"inside"
    assert guest.read(guest.opened("sub/deep/../../file"))[1] == b"inside"
    assert guest.open("sub/back", follow=0)[0] == Errno.ELOOP
    assert guest.stat("sub/back", follow=0)[1][2] == Filetype.SYMBOLIC_LINK
    assert guest.stat("sub/back")[1][2] == Filetype.REGULAR_FILE
    guest.opened("dangling", CREAT, WRITE)
    assert (house / "not_yet").exists()
    assert guest.open("dangling", CREAT | EXCL, WRITE)[0] == Errno.EEXIST
    assert guest.call("path_readlink", 3, *guest.path("out_absolute"), 512, 100, 64) == Errno.EPERM
    assert guest.call("path_readlink", 3, *guest.path("sub/back"), 512, 4, 64) == 0
    assert guest.memory.read(512, guest.result()) == b"../f"
    guest.state.close()


def test_a_descriptor_of_a_subdirectory_confines_to_it(house: Path) -> None:
    guest = granted(house)
    sub = guest.opened("sub", DIRECTORY)
    assert guest.open("../file", fd=sub)[0] == Errno.EPERM
    assert guest.open("back", fd=sub)[0] == Errno.EPERM
    assert guest.opened("deep", DIRECTORY, fd=sub) == sub + 1
    guest.state.close()


def test_fifos_devices_and_sockets_are_refused_at_once(house: Path) -> None:
    os.mkfifo(house / "fifo")
    (house / "to_fifo").symlink_to("fifo")
    os.chdir(house)
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    guest = granted(house)
    for name in ("fifo", "to_fifo", "socket"):
        for oflags, rights in ((0, READ), (0, WRITE), (TRUNC, READ | WRITE), (CREAT, WRITE)):
            assert guest.open(name, oflags, rights)[0] == Errno.EACCES
    assert guest.two("path_link", "fifo", "second") == Errno.EPERM
    assert guest.stat("fifo")[1][2] == Filetype.UNKNOWN
    server.close()
    os.chdir("/")
    guest.state.close()


def test_a_device_is_refused() -> None:
    guest = granted(Path("/dev"))
    assert guest.open("null", 0, WRITE)[0] == Errno.EACCES
    assert guest.stat("null")[1][2] == Filetype.CHARACTER_DEVICE
    guest.state.close()


def test_magic_links_are_not_followed() -> None:
    guest = granted(Path("/proc"), read_only=True)
    assert guest.open("self/root/etc/passwd")[0] in (Errno.EPERM, Errno.ELOOP)
    assert guest.open(f"{os.getpid()}/cwd", DIRECTORY)[0] in (Errno.EPERM, Errno.ELOOP)
    guest.state.close()


CHANGES = [
    lambda g: g.open("file", 0, WRITE)[0],
    lambda g: g.open("file", 0, READ | WRITE)[0],
    lambda g: g.open("file", TRUNC, READ)[0],
    lambda g: g.open("new", CREAT, READ)[0],
    lambda g: g.open("new", CREAT | EXCL, WRITE)[0],
    lambda g: g.open("dangling", CREAT, READ)[0],
    lambda g: g.named("path_create_directory", "new"),
    lambda g: g.named("path_remove_directory", "sub/deep"),
    lambda g: g.named("path_unlink_file", "file"),
    lambda g: g.two("path_rename", "file", "new"),
    lambda g: g.two("path_link", "file", "new"),
    lambda g: g.two("path_symlink", "file", "new"),
    lambda g: g.call("path_filestat_set_times", 3, 1, *g.path("file"), 1, 1, 5),
    lambda g: g.call("fd_filestat_set_times", 3, 1, 1, 5),
    lambda g: g.call("fd_filestat_set_times", g.opened("file"), 1, 1, 5),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_a_read_only_grant_cannot_be_changed(house: Path, number: int) -> None:
    def picture() -> list[tuple[str, int, float]]:
        everything = sorted(house.rglob("*"))
        return [(str(path), path.lstat().st_size, path.lstat().st_mtime) for path in everything]

    before = picture()
    guest = granted(house, read_only=True)
    assert CHANGES[number](guest) == Errno.EROFS
    fd = guest.opened("file")
    assert guest.write(fd, b"x")[0] == Errno.EBADF
    assert guest.call("fd_filestat_set_size", fd, 0) == Errno.EBADF
    assert guest.call("fd_allocate", fd, 0, 100) == Errno.EBADF
    assert picture() == before
    guest.state.close()


def test_names_do_not_cross_between_grants(house: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    grants = [
        DirGrant(host=str(house), guest="/a", read_only=True),
        DirGrant(host=str(tmp_path / "other"), guest="/b", read_only=False),
        DirGrant(host=str(house), guest="/c", read_only=False),
    ]
    guest = Guest(new_state(args=["t"], env={}, dirs=grants))
    assert guest.two("path_rename", "file", "file", 3, 4) == Errno.EROFS
    assert guest.two("path_link", "file", "file", 3, 4) == Errno.EROFS
    assert guest.two("path_rename", "file", "file", 4, 3) == Errno.EROFS
    assert guest.two("path_link", "file", "file", 5, 4) == Errno.EXDEV
    assert guest.two("path_rename", "file", "file", 5, 4) == Errno.EXDEV
    assert os.listdir(tmp_path / "other") == []
    guest.state.close()


def test_renaming_onto_a_second_name_of_the_same_file_removes_nothing(tmp_path: Path) -> None:
    guest = with_scratch(tmp_path / "s", 1000)
    guest.call("fd_close", guest.opened("a", CREAT, WRITE))
    assert guest.two("path_link", "a", "b") == 0
    assert guest.two("path_rename", "a", "b") == 0
    quota = guest.state.table.directory(3, 0).root.quota
    assert quota is not None
    assert quota.names == 2 == len(os.listdir(tmp_path / "s"))
    guest.state.close()


@pytest.mark.parametrize("target", ["/absolute", "..", "../x", "sub/../../x", "a/.."])
def test_a_link_that_could_lead_out_is_not_made(house: Path, target: str) -> None:
    guest = granted(house)
    assert guest.two("path_symlink", target, "new") == Errno.EPERM
    assert not (house / "new").is_symlink()
    guest.state.close()


def test_swapping_a_directory_for_a_link_never_leads_out(house: Path) -> None:
    """While one thread swaps `flip` between a directory and a link out, the guest opens flip/canary."""
    (house / "real").mkdir()
    (house / "real" / "canary").write_text("inside")
    (house / "flip").symlink_to("real")
    stop = threading.Event()

    def swap() -> None:
        targets = ("real", "..")
        turn = 0
        while not stop.is_set():
            turn += 1
            (house / "next").symlink_to(targets[turn % 2])
            (house / "next").rename(house / "flip")

    swapper = threading.Thread(target=swap)
    swapper.start()
    guest = granted(house)
    seen = set()
    try:
        for _ in range(3000):
            errno, fd = guest.open("flip/canary")
            if errno == 0:
                seen.add(guest.read(fd)[1])
                guest.call("fd_close", fd)
            assert errno in (0, Errno.EPERM, Errno.EAGAIN)
            assert guest.named("path_unlink_file", "flip/absent") in (Errno.ENOENT, Errno.EPERM, Errno.EAGAIN)
    finally:
        stop.set()
        swapper.join()
    assert seen <= {b"inside"}
    guest.state.close()


def test_a_grant_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaxtonError) as failed:
        granted(tmp_path / "gone")
    assert failed.value.code == Code.AGENT_FAILED
    assert failed.value.details["path"] == str(tmp_path / "gone")


def test_scratch_is_emptied_without_following_links_however_deep(house: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    guest = with_scratch(scratch, 40_000_000)
    fd = 3
    try:
        for _ in range(1500):
            assert guest.named("path_create_directory", "d", fd) == 0
            inner = guest.opened("d", DIRECTORY, fd=fd)
            guest.call("fd_close", guest.opened("f", CREAT, WRITE, fd=inner))
            if fd != 3:
                guest.call("fd_close", fd)
            fd = inner
        os.symlink(house.parent, scratch / "leads_out")
    finally:
        guest.state.close()  # in any case: pytest's own removal cannot cope with this depth
    assert not scratch.exists()
    assert (house.parent / "canary").read_text() == CANARY
    guest.state.close()
