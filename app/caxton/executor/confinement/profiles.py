"""Who may ask the kernel for what.

Owns the three lists of permitted calls. Everything else ends the process. Must never permit what starts a program,
a process or a thread, makes a socket, reaches into another process, or changes what the kernel lets this one do.

* `PURE`: a worker whose agents have no files. Nothing in it takes a path: what it reads and writes are descriptors
  that it was given. `memfd_create` is memory like any other here, since nothing can be executed from it: wasmtime
  shares a module's initial memory between instances by it.
* `FILES`: a worker whose agents have a scratch or granted directory. A filter cannot look at a path, nor into
  `openat2`'s struct, so opening is permitted and Landlock (`walls`) says where; changing modes, owners and
  attributes, devices and mounts are not.
* `COMPILER`: one module in, one artifact out, by descriptors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from caxton.executor.confinement.bpf import Check
from caxton.executor.confinement.calls import Architecture, number

Profile = Mapping[str, Sequence[Check]]
"""Permitted calls by name, each with what must hold of its arguments."""

_F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL = 1, 2, 3, 4
_F_DUPFD_CLOEXEC, _F_ADD_SEALS, _F_GET_SEALS = 1030, 1033, 1034
_MFD_CLOEXEC, _MFD_ALLOW_SEALING, _MFD_NOEXEC_SEAL = 1, 2, 8

_COMPUTING: Profile = {
    "brk": (),
    "clock_gettime": (),
    "clock_nanosleep": (),
    "close": (),
    "exit": (),
    "exit_group": (),
    "futex": (),
    "getpid": (),
    "getrandom": (),
    "getrusage": (),
    "gettid": (),
    "lseek": (),
    "madvise": (),
    "membarrier": (),
    "mmap": (),
    "mprotect": (),
    "mremap": (),
    "munmap": (),
    "nanosleep": (),
    "pread64": (),
    "read": (),
    "restart_syscall": (),
    "rt_sigaction": (),
    "rt_sigprocmask": (),
    "rt_sigreturn": (),
    "sched_yield": (),
    "sigaltstack": (),
    "write": (),
}

COMPILER: Final[Profile] = _COMPUTING

PURE: Final[Profile] = {
    **_COMPUTING,
    "epoll_ctl": (),
    "epoll_pwait": (),
    "epoll_wait": (),
    "fcntl": (Check(1, (_F_GET_SEALS, _F_ADD_SEALS)),),
    "ftruncate": (),
    "memfd_create": (Check(1, (0,), ~(_MFD_CLOEXEC | _MFD_ALLOW_SEALING | _MFD_NOEXEC_SEAL) & 0xFFFFFFFF),),
    "pwrite64": (),
    "recvfrom": (),
    "recvmsg": (),
    "sendto": (Check(4, (0,), wide=True),),  # no address: to who is connected
}

FILES: Final[Profile] = {
    **PURE,
    "dup": (),
    "fadvise64": (),
    "fallocate": (),
    "fcntl": (Check(1, (_F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL, _F_DUPFD_CLOEXEC, _F_GET_SEALS, _F_ADD_SEALS)),),
    "fdatasync": (),
    "fstat": (),
    "fsync": (),
    "getdents64": (),
    "linkat": (),
    "lstat": (),
    "mkdir": (),
    "mkdirat": (),
    "newfstatat": (),
    "openat": (),
    "openat2": (),
    "readlinkat": (),
    "rename": (),
    "renameat": (),
    "renameat2": (),
    "rmdir": (),
    "stat": (),
    "statx": (),
    "symlinkat": (),
    "unlink": (),
    "unlinkat": (),
    "utimensat": (),
}


def rules(profile: Profile, on: Architecture) -> dict[int, Sequence[Check]]:
    """`profile` by number, with the one signal that a process may send itself: abort()."""
    named = {**profile, "tgkill": (Check(0, (os.getpid(),)),)}
    found = {number(name, on): checks for name, checks in named.items()}
    return {at: checks for at, checks in found.items() if at is not None}
