"""What machine code can do that has broken out of WebAssembly: a hostile artifact in a really spawned worker."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
from pathlib import Path

import pytest

from caxton.protocol.control import Reach
from support.native_payload import MODULE, Call, poisoned
from support.worker_harness import Harness

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the payload is x86-64 machine code")
PAGE = b"\0" * 128
SHELL = b"/bin/sh\0"
AT_FDCWD = -100
FORBIDDEN = {
    "open": Call(2, (b"/etc/passwd\0", 0)),
    "openat": Call(257, (AT_FDCWD, b"/etc/passwd\0", 0, 0)),
    "openat2": Call(437, (AT_FDCWD, b"/etc/passwd\0", PAGE, 24)),
    "stat": Call(4, (b"/etc/passwd\0", PAGE)),
    "readlink": Call(89, (b"/proc/self/exe\0", PAGE, 64)),
    "chdir": Call(80, (b"/\0",)),
    "unlink": Call(87, (b"/tmp/nothing\0",)),
    "mknod": Call(133, (b"/tmp/nothing\0", 0o20666, 259)),
    "socket(inet)": Call(41, (2, 1, 0)),
    "socket(unix)": Call(41, (1, 1, 0)),
    "socket(netlink)": Call(41, (16, 3, 0)),
    "socket(packet)": Call(41, (17, 3, 0)),
    "connect": Call(42, (0, PAGE, 16)),
    "bind": Call(49, (0, PAGE, 16)),
    "sendto an address": Call(44, (0, PAGE, 1, 0, PAGE, 16)),
    "sendmsg": Call(46, (0, PAGE, 0)),
    "execve": Call(59, (SHELL, 0, 0)),
    "execveat": Call(322, (AT_FDCWD, SHELL, 0, 0, 0)),
    "fork": Call(57),
    "vfork": Call(58),
    "clone": Call(56, (0x11, 0, 0, 0, 0)),
    "clone3": Call(435, (PAGE, 64)),
    "ptrace": Call(101, (16, 1, 0, 0)),
    "process_vm_readv": Call(310, (1, PAGE, 1, PAGE, 1, 0)),
    "kill": Call(62, (1, 0)),
    "tgkill of another": Call(234, (1, 1, 0)),
    "pidfd_open": Call(434, (1, 0)),
    "mount": Call(165, (b"none\0", b"/tmp\0", b"tmpfs\0", 0, 0)),
    "unshare": Call(272, (0x10000000,)),
    "setns": Call(308, (0, 0)),
    "chroot": Call(161, (b"/\0",)),
    "setuid": Call(105, (0,)),
    "capset": Call(126, (PAGE, PAGE)),
    "prctl": Call(157, (38, 1, 0, 0, 0)),
    "seccomp": Call(317, (1, 0, PAGE)),
    "bpf": Call(321, (0, PAGE, 64)),
    "perf_event_open": Call(298, (PAGE, 0, -1, -1, 0)),
    "io_uring_setup": Call(425, (1, PAGE)),
    "userfaultfd": Call(323, (0,)),
    "add_key": Call(248, (b"user\0", b"x\0", b"x", 1, -2)),
    "keyctl": Call(250, (0, -3, 0)),
    "memfd_create that may be executed": Call(319, (b"x\0", 0x10)),
    "ioctl": Call(16, (0, 0x5412, PAGE)),
    "setrlimit": Call(160, (4, PAGE)),
    "personality": Call(135, (0x0008,)),
    "x32 call": Call(0x40000000 | 39),
    "an unknown call": Call(1023),
}
PERMITTED = {"getpid": Call(39), "read of nothing": Call(0, (0, PAGE, 0))}


def outcome(call: Call, **settings: object) -> int:
    """What the payload's call gave, or the signal that ended the worker, negative and less than any errno."""
    with Harness(**settings) as worker:
        handle = worker.load(MODULE, fetch=False)
        worker.modules = {sha256: poisoned(data, call) for sha256, data in worker.modules.items()}
        exec_id = worker.execute(handle)
        worker.serve_fetch()
        try:
            result = worker.result(exec_id, 60)
        except (AssertionError, ConnectionError):
            return -10_000 - abs(worker.process.wait(20))
        return result.exit_code or 0


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_forbidden_call_ends_the_worker(name: str) -> None:
    assert outcome(FORBIDDEN[name]) == -10_000 - signal.SIGSYS


@pytest.mark.parametrize("name", PERMITTED)
def test_the_payload_really_runs(name: str) -> None:
    assert outcome(PERMITTED[name]) > -4096


@pytest.mark.parametrize("name", ["execve", "socket(inet)", "fork", "ptrace", "mount", "mknod", "chdir", "setuid"])
def test_a_worker_that_reaches_files_is_no_freer_otherwise(name: str) -> None:
    assert outcome(FORBIDDEN[name], reach=Reach.GRANTED) == -10_000 - signal.SIGSYS


def test_a_worker_that_reaches_files_reaches_only_those(tmp_path: Path) -> None:
    if not has_landlock():
        pytest.skip("this kernel has no Landlock: file permissions and the unit's own view of files hold instead")
    (tmp_path / "granted").mkdir()
    (tmp_path / "granted" / "inside").write_text("x")
    (tmp_path / "outside").write_text("x")
    reach = {"reach": Reach.GRANTED, "granted_directories": [str(tmp_path / "granted")]}

    def opened(path: Path | str) -> int:
        return outcome(Call(257, (AT_FDCWD, f"{path}\0".encode(), 0, 0)), **reach)

    assert opened(tmp_path / "granted" / "inside") >= 0
    for path in (tmp_path / "outside", "/etc/passwd", "/proc/self/mem", "/dev/null", "/"):
        assert opened(path) == -errno.EACCES, path


def has_landlock() -> bool:
    libc = ctypes.CDLL(None)
    libc.syscall.restype = ctypes.c_long
    return bool(libc.syscall(444, None, ctypes.c_size_t(0), 1) > 0)


def test_every_thread_is_behind_the_filter_and_nothing_may_attach_or_dump() -> None:
    with Harness() as worker:
        tasks = sorted(Path(f"/proc/{worker.process.pid}/task").iterdir())
        assert len(tasks) == 2
        for task in tasks:
            shown = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines())
            assert (shown["Seccomp"].strip(), shown["NoNewPrivs"].strip()) == ("2", "1")
        assert resource.prlimit(worker.process.pid, resource.RLIMIT_CORE) == (0, 0)
        if os.geteuid() == 0:  # what cannot be dumped belongs to root; for root itself nothing changes hands
            return
        with pytest.raises(PermissionError):
            Path(f"/proc/{worker.process.pid}/environ").read_bytes()


def test_an_artifact_that_could_still_be_changed_is_never_loaded() -> None:
    with Harness() as worker:
        worker.sealed = False
        handle = worker.load(MODULE, fetch=False)
        exec_id = worker.execute(handle)
        worker.serve_fetch()
        result = worker.result(exec_id)
        assert result.status != "ok"
        assert "could still be changed" in (result.detail or "")
        worker.sealed = True  # and the worker goes on serving
        again = worker.execute(handle)
        worker.serve_fetch()
        assert "could still be changed" not in (worker.result(again).detail or "")
