"""The walls of the compiler child, put up from inside before it reads a byte of the module.

Owns resource limits and isolation. What each gives:

* RLIMIT_CPU: the kernel ends the child (SIGXCPU) at its CPU budget; nothing inside can stop a compilation.
* RLIMIT_AS: allocation fails at the budget and wasmtime aborts. Compiling reserves no address space beyond
  what it uses (yosys: 1.49 GB of address space, 1.39 GB resident), so this bounds memory itself.
* RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_CORE: it can fill no disk, hold few files, leave no core.
* a user and a network namespace, where the kernel permits: no network at all, no capability outside, even
  when the node runs as root. Where it does not permit, what holds is the service's own confinement
  (`PrivateNetwork=`) and that the child has no socket and no environment.
* once the compiler is loaded, a filter of system calls (`caxton.executor.confinement`), put up by the caller: it can
  open nothing, start nothing, connect to nothing.
* no new privileges; first choice of the OOM killer; lowest priority but one.

Must never be called in a process that has other work.
"""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

from caxton.executor.compiler.model import Order

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_NO_NEW_PRIVS: Final = 38
MAX_OPEN_FILES: Final = 32
NICE: Final = 10


def confine(order: Order) -> None:
    """Puts up every wall. Irrevocable."""
    os.nice(NICE)
    _prefer_for_oom()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWNET)  # permitted without the other only to root
    for which, limit in (
        (resource.RLIMIT_CPU, order.cpu_seconds),
        (resource.RLIMIT_AS, order.address_space_bytes),
        (resource.RLIMIT_FSIZE, order.artifact_bytes),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _lower(which, limit)


def _lower(which: int, limit: int) -> None:
    _, hard = resource.getrlimit(which)
    allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    # at the soft CPU limit SIGXCPU comes, which tells a limit from a crash; the hard one is the backstop
    slack = 5 if which == resource.RLIMIT_CPU and (hard == resource.RLIM_INFINITY or hard >= allowed + 5) else 0
    resource.setrlimit(which, (allowed, allowed + slack))


def _prefer_for_oom() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")
    except OSError:
        pass  # only a preference
