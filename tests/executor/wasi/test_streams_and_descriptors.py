"""Standard streams, the descriptor table, and what libc asks about descriptors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import caxton
from caxton.executor.guest import GuestExit, StopGuest
from caxton.executor.wasi import FUNCTIONS, IMPORT_MODULE, functions_for, new_state
from caxton.executor.wasi.abi import FDSTAT, WRITE_RIGHTS, Errno, Filetype, Rights
from caxton.executor.wasi.descriptors import MAX_DESCRIPTORS
from caxton.executor.wasi.state import scratch_names
from caxton.protocol.agents import DirGrant
from caxton.protocol.errors import CaxtonError, Code
from support.wasi_calls import CREAT, DATA, DIRECTORY, READ, RESULT, SECOND_PATH, WRITE, Guest, granted


def plain(**more: object) -> Guest:
    return Guest(new_state(args=["t"], env={}, **more))  # type: ignore[arg-type]  # keywords of new_state as they come


def fdstat(guest: Guest, fd: int) -> tuple[int, int, int, int]:
    assert guest.call("fd_fdstat_get", fd, DATA) == 0
    kind, flags, base, inheriting = FDSTAT.unpack(guest.memory.read(DATA, FDSTAT.size))
    return kind, flags, base, inheriting


def test_the_table_is_all_of_preview_1() -> None:
    assert IMPORT_MODULE == "wasi_snapshot_preview1"
    assert len(FUNCTIONS) == 46
    assert set(functions_for(False)) == set(functions_for(True)) == set(FUNCTIONS)
    for has_files in (True, False):
        for name, function in functions_for(has_files).items():
            assert function.returns == ("" if name == "proc_exit" else "i")
            touches_files = name.startswith(("fd_", "path_"))
            assert function.deferred == ((touches_files and has_files) or name in ("poll_oneoff", "random_get"))


def test_the_package_needs_no_engine() -> None:
    check = "import sys, caxton.executor.wasi; sys.exit('wasmtime' in sys.modules or 'cffi' in sys.modules)"
    source_root = Path(caxton.__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", check], cwd=source_root, check=False).returncode == 0


def test_input_has_an_end_and_output_is_collected() -> None:
    guest = plain(stdin=b"hello", output_bytes=10, log_bytes=4)
    assert guest.read(0, 3) == (0, b"hel")
    assert guest.read(0, 3) == (0, b"lo")
    assert guest.read(0, 3) == (0, b"")
    assert guest.write(0, b"x")[0] == Errno.EBADF
    assert guest.read(1)[0] == Errno.EBADF
    assert guest.write(1, b"0123456789") == (0, 10)
    assert guest.write(2, b"abcdef") == (0, 6)
    assert guest.write(2, b"gh") == (0, 2)
    assert (bytes(guest.state.stdout), bytes(guest.state.stderr), guest.state.log_dropped) == (
        b"0123456789",
        b"abcd",
        4,
    )
    with pytest.raises(StopGuest) as stopped:
        guest.write(1, b"x")
    assert stopped.value.code == Code.OUTPUT_LIMIT
    guest.state.renew(b"again")
    assert guest.read(0) == (0, b"again")
    assert not guest.state.stdout
    assert not guest.state.stderr
    assert guest.state.log_dropped == 0


def test_streams_are_no_files() -> None:
    guest = plain(stdin=b"x")
    for fd in (0, 1, 2):
        assert guest.call("fd_seek", fd, 0, 0, RESULT) == Errno.ESPIPE
        assert guest.call("fd_tell", fd, RESULT) == Errno.ESPIPE
        assert guest.call("fd_pread", fd, *guest.vector(1), 0, RESULT) == Errno.ESPIPE
        assert fdstat(guest, fd)[0] == Filetype.UNKNOWN
        assert guest.call("fd_filestat_get", fd, DATA) == 0
        assert guest.call("fd_readdir", fd, DATA, 100, 0, RESULT) == Errno.ENOTDIR
        assert guest.named("path_unlink_file", "x", fd) == Errno.ENOTDIR
        assert guest.call("fd_prestat_get", fd, DATA) == Errno.EBADF
    assert guest.call("fd_prestat_get", 3, DATA) == Errno.EBADF
    assert guest.call("fd_close", 1) == 0
    assert guest.write(1, b"x")[0] == Errno.EBADF


def test_vectors_are_checked_as_a_whole_before_anything_moves() -> None:
    guest = plain(stdin=b"hello")
    guest.memory.write(128, (DATA).to_bytes(4, "little") + b"\x02\0\0\0" + b"\xff\xff\xff\xff" + b"\x02\0\0\0")
    assert guest.call("fd_read", 0, 128, 2, RESULT) == Errno.EFAULT
    assert guest.call("fd_write", 1, 128, 2, RESULT) == Errno.EFAULT
    assert guest.call("fd_read", 0, 128, 1, -2) == Errno.EFAULT
    assert guest.call("fd_write", 1, 128, 1 << 20, RESULT) == Errno.EINVAL
    assert guest.call("fd_write", 1, -8, 1, RESULT) == Errno.EFAULT
    assert guest.state.stdout == b""
    assert guest.call("fd_read", 0, 128, 1, RESULT) == 0
    assert guest.memory.read(DATA, 2) == b"he"


def test_rights_tell_libc_what_works(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    guest = granted(tmp_path)
    kind, _, base, inheriting = fdstat(guest, 3)
    assert kind == Filetype.DIRECTORY
    assert base & Rights.PATH_OPEN
    assert base & Rights.PATH_CREATE_FILE
    assert not base & (Rights.FD_SEEK | Rights.FD_READ)
    assert inheriting & (Rights.FD_READ | Rights.FD_WRITE) == Rights.FD_READ | Rights.FD_WRITE
    kind, _, base, _ = fdstat(guest, guest.opened("file", 0, READ))
    assert kind == Filetype.REGULAR_FILE
    assert base & Rights.FD_READ
    assert base & Rights.FD_SEEK
    assert not base & WRITE_RIGHTS
    base = fdstat(guest, guest.opened("file", 0, WRITE))[2]
    assert base & Rights.FD_WRITE
    assert not base & Rights.FD_READ
    fd = guest.opened("file", 0, READ | WRITE)
    base = fdstat(guest, fd)[2]
    assert guest.call("fd_fdstat_set_rights", fd, base & ~Rights.FD_WRITE, 0) == 0
    assert guest.write(fd, b"y")[0] == Errno.EBADF
    assert guest.call("fd_fdstat_set_rights", fd, base, 0) == Errno.ENOTCAPABLE
    guest.state.close()


def test_directories_open_whatever_rights_are_passed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    guest = granted(tmp_path)
    fd = guest.opened("d", DIRECTORY, 0)
    assert guest.open("f", CREAT, WRITE, fd=fd)[0] == 0
    assert guest.open("d", DIRECTORY, -1)[0] == 0
    assert guest.open("d", 0, READ | WRITE)[0] == Errno.EISDIR
    assert guest.open("d", CREAT, READ)[0] == Errno.EISDIR
    assert guest.read(fd)[0] == Errno.EISDIR
    guest.state.close()


def test_read_only_grants_report_their_rights_but_let_a_write_be_refused_at_open(tmp_path: Path) -> None:
    guest = granted(tmp_path, read_only=True)
    _, _, base, inheriting = fdstat(guest, 3)
    assert not base & Rights.PATH_CREATE_FILE
    assert inheriting & Rights.FD_WRITE
    assert guest.call("fd_fdstat_set_rights", 3, base | Rights.PATH_CREATE_FILE, 0) == Errno.ENOTCAPABLE
    guest.state.close()


def test_grants_are_reported_with_their_names(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    grant = DirGrant(host=str(tmp_path / "d"), guest="/data")
    guest = Guest(new_state(args=[], env={}, dirs=[grant], scratch=tmp_path / "s", scratch_bytes=1000))
    for fd, name in ((3, b"/data"), (4, b"/tmp"), (5, b".")):
        assert guest.call("fd_prestat_get", fd, DATA) == 0
        assert guest.memory.read(DATA, 8) == b"\0\0\0\0" + len(name).to_bytes(4, "little")
        assert guest.call("fd_prestat_dir_name", fd, DATA, len(name)) == 0
        assert guest.memory.read(DATA, len(name)) == name
        assert guest.call("fd_prestat_dir_name", fd, DATA, len(name) - 1) == Errno.ENAMETOOLONG
    assert guest.call("fd_prestat_get", 6, DATA) == Errno.EBADF
    guest.call("fd_close", guest.opened("here", CREAT, WRITE, fd=5))
    assert guest.stat("here", fd=4)[0] == 0
    assert guest.two("path_rename", "here", "there", 4, 5) == 0
    guest.state.close()


@pytest.mark.parametrize(
    ("taken", "names"),
    [
        (set(), ["/tmp", "."]),
        ({"/tmp"}, ["."]),
        ({"/"}, ["/tmp"]),
        ({"/tmp", "/"}, ["/scratch"]),
    ],
)
def test_a_grant_of_the_same_name_wins_over_scratch(taken: set[str], names: list[str]) -> None:
    assert scratch_names(taken) == names


def test_descriptors_are_capped_and_numbers_reused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    guest = granted(tmp_path)
    guest.state.table.limit = 20
    before = len(os.listdir("/proc/self/fd"))
    fds = [guest.opened("f") for _ in range(16)]
    assert fds == list(range(4, 20))
    assert guest.open("f")[0] == Errno.EMFILE
    assert len(os.listdir("/proc/self/fd")) == before + 16
    assert guest.call("fd_close", 7) == 0
    assert guest.call("fd_close", 7) == Errno.EBADF
    assert guest.opened("f") == 7
    guest.state.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1
    assert MAX_DESCRIPTORS == 1024


def test_renumber_moves_closes_and_spares_grants(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    guest = granted(tmp_path)
    first, second = guest.opened("a"), guest.opened("b")
    before = len(os.listdir("/proc/self/fd"))
    assert guest.call("fd_renumber", first, second) == 0
    assert len(os.listdir("/proc/self/fd")) == before - 1
    assert guest.read(second) == (0, b"a")
    assert guest.read(first)[0] == Errno.EBADF
    assert guest.call("fd_renumber", second, 900) == 0
    assert guest.call("fd_renumber", 900, 900) == 0
    assert guest.call("fd_renumber", 900, MAX_DESCRIPTORS) == Errno.EBADF
    assert guest.call("fd_renumber", 900, -1) == Errno.EBADF
    assert guest.call("fd_renumber", second, 900) == Errno.EBADF
    assert guest.call("fd_renumber", 3, 900) == Errno.ENOTSUP
    assert guest.call("fd_renumber", 900, 3) == Errno.ENOTSUP
    assert guest.call("fd_renumber", 1, 4) == 0
    assert guest.call("fd_renumber", 900, 1) == 0
    assert guest.write(4, b"to stdout") == (0, 9)
    assert guest.state.stdout == b"to stdout"
    guest.state.close()


def test_seek_tell_and_append(tmp_path: Path) -> None:
    guest = granted(tmp_path)
    fd = guest.opened("f", CREAT, READ | WRITE)
    guest.write(fd, b"0123456789")
    for offset, whence, expected in ((2, 0, 2), (3, 1, 5), (-1, 2, 9)):
        assert guest.call("fd_seek", fd, offset, whence, RESULT) == 0
        assert guest.result(8) == expected
    assert guest.call("fd_seek", fd, -1, 0, RESULT) == Errno.EINVAL
    assert guest.call("fd_seek", fd, 0, 3, RESULT) == Errno.EINVAL
    assert guest.call("fd_pread", fd, *guest.vector(1), -1, RESULT) == Errno.EINVAL
    assert guest.call("fd_fdstat_set_flags", fd, 1) == 0
    assert fdstat(guest, fd)[1] == 1
    guest.call("fd_seek", fd, 0, 0, RESULT)
    guest.write(fd, b"end")
    assert (tmp_path / "f").read_bytes() == b"0123456789end"
    assert guest.call("fd_fdstat_set_flags", fd, 0) == 0
    guest.call("fd_seek", fd, 0, 0, RESULT)
    guest.write(fd, b"X")
    assert (tmp_path / "f").read_bytes() == b"X123456789end"
    assert guest.call("fd_fdstat_set_flags", fd, 16) == Errno.EINVAL
    guest.state.close()


def test_times_are_set_on_files_links_and_directories(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "l").symlink_to("f")
    guest = granted(tmp_path)
    assert guest.call("path_filestat_set_times", 3, 1, *guest.path("l"), 5_000_000_007, 6_000_000_008, 5) == 0
    assert ((tmp_path / "f").stat().st_atime_ns, (tmp_path / "f").stat().st_mtime_ns) == (
        5_000_000_007,
        6_000_000_008,
    )
    assert guest.call("path_filestat_set_times", 3, 0, *guest.path("l"), 0, 7_000_000_000, 4) == 0
    assert (tmp_path / "l").lstat().st_mtime_ns == 7_000_000_000
    assert (tmp_path / "f").stat().st_mtime_ns == 6_000_000_008
    assert guest.call("fd_filestat_set_times", 3, 0, 9_000_000_000, 4) == 0
    assert tmp_path.stat().st_mtime_ns == 9_000_000_000
    assert guest.call("fd_filestat_set_times", 3, 0, 0, 12) == Errno.EINVAL
    assert guest.call("fd_filestat_set_times", 3, 0, 0, 16) == Errno.EINVAL
    assert guest.call("fd_filestat_set_times", 3, 0, 0, 8) == 0
    assert tmp_path.stat().st_mtime > 1_700_000_000
    guest.state.close()


def test_listing_a_large_directory_in_pieces(tmp_path: Path) -> None:
    expected = {f"entry-{number}" for number in range(3000)}
    for name in expected:
        (tmp_path / name).touch()
    guest = granted(tmp_path, read_only=True)
    for room in (60, 500, 8192):
        found = guest.names(3, room)
        assert len(found) == 3002
        assert set(found) == expected | {".", ".."}
    assert guest.call("fd_readdir", 3, DATA, 100, 10_000, RESULT) == Errno.EINVAL
    assert guest.call("fd_readdir", 3, DATA, 100, -1, RESULT) == Errno.EINVAL
    assert guest.call("fd_readdir", 3, DATA, 100, 1500, RESULT) == 0
    guest.state.close()


def test_listing_while_deleting_misses_nothing(tmp_path: Path) -> None:
    for number in range(500):
        (tmp_path / f"entry-{number}").touch()
    guest = granted(tmp_path)
    cookie, seen = 0, set()
    while True:
        assert guest.call("fd_readdir", 3, DATA, 100, cookie, RESULT) == 0
        raw = guest.memory.read(DATA, guest.result())
        length = int.from_bytes(raw[16:20], "little")
        if not raw:
            break
        name = raw[24 : 24 + length].decode()
        cookie = int.from_bytes(raw[:8], "little")
        if not name.startswith("."):
            seen.add(name)
            assert guest.named("path_unlink_file", name) == 0
    assert len(seen) == 500
    assert os.listdir(tmp_path) == []
    guest.state.close()


def test_exit_arguments_and_refusals() -> None:
    guest = plain()
    with pytest.raises(GuestExit) as ended:
        guest.call("proc_exit", 7)
    assert ended.value.exit_code == 7
    assert guest.call("proc_raise", 9) == Errno.ENOTSUP
    assert guest.call("sock_accept", 0, 0, RESULT) == Errno.ENOTSUP
    assert guest.call("sock_shutdown", 99, 0) == Errno.EBADF
    assert guest.call("sched_yield") == 0
    assert guest.call("args_get", RESULT, SECOND_PATH) == 0
    assert guest.memory.read(SECOND_PATH, 2) == b"t\0"
    assert guest.call("args_get", -4, SECOND_PATH) == Errno.EFAULT
    assert guest.call("environ_sizes_get", RESULT, RESULT + 4) == 0
    assert guest.result(8) == 0
    with pytest.raises(CaxtonError) as failed:
        new_state(args=["a\0b"], env={})
    assert failed.value.code == Code.INVALID_REQUEST
