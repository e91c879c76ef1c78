"""Numbers of system calls, by architecture.

Owns the table: names as in the manual, a call that an architecture does not have is None. Must never say who may
call what.
"""

from __future__ import annotations

import platform
from typing import Final, NamedTuple

_NUMBERS: Final[dict[str, tuple[int | None, int | None]]] = {
    # name: x86-64, aarch64
    "brk": (12, 214),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "close": (3, 57),
    "dup": (32, 23),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_wait": (232, None),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "fadvise64": (221, 223),
    "fallocate": (285, 47),
    "fcntl": (72, 25),
    "fdatasync": (75, 83),
    "fstat": (5, 80),
    "fsync": (74, 82),
    "ftruncate": (77, 46),
    "futex": (202, 98),
    "getdents64": (217, 61),
    "getpid": (39, 172),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "gettid": (186, 178),
    "linkat": (265, 37),
    "lseek": (8, 62),
    "lstat": (6, None),
    "madvise": (28, 233),
    "membarrier": (324, 283),
    "memfd_create": (319, 279),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "nanosleep": (35, 101),
    "newfstatat": (262, 79),
    "openat": (257, 56),
    "openat2": (437, 437),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "read": (0, 63),
    "readlinkat": (267, 78),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "restart_syscall": (219, 128),
    "rmdir": (84, None),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "seccomp": (317, 277),
    "sendto": (44, 206),
    "sigaltstack": (131, 132),
    "stat": (4, None),
    "statx": (332, 291),
    "symlinkat": (266, 36),
    "tgkill": (234, 131),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "utimensat": (280, 88),
    "write": (1, 64),
}


class Architecture(NamedTuple):
    """What a filter compares: `audit` is the kernel's AUDIT_ARCH_*; `column` of the table."""

    audit: int
    column: int


_ARCHITECTURES: Final = {
    "x86_64": Architecture(0xC000003E, 0),
    "aarch64": Architecture(0xC00000B7, 1),
}


def architecture(machine: str = "") -> Architecture:
    """This machine's (or `machine`'s, as `uname -m` names it). `LookupError` where there is no table for it."""
    name = machine or platform.machine()
    found = _ARCHITECTURES.get(name)
    if found is None:
        raise LookupError(f"no filter is written for {name}; there are {', '.join(sorted(_ARCHITECTURES))}")
    return found


def number(name: str, on: Architecture) -> int | None:
    """The number of a call, None where it does not exist. `KeyError` for a name that is not in the table."""
    return _NUMBERS[name][on.column]
