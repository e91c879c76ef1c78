"""Putting up the walls of a process, in the one order in which they hold.

Owns process attributes, limits, Landlock and the filter of every thread. Must never return where the kernel has
refused the filter: who calls it goes on only behind it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final

from caxton.executor.confinement import landlock
from caxton.executor.confinement.bpf import assemble
from caxton.executor.confinement.calls import architecture, number
from caxton.executor.confinement.profiles import Profile, rules
from caxton.protocol.errors import CaxtonError, Code

_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_MDWE: Final = 65
_MDWE_REFUSE_EXEC_GAIN: Final = 1
_SET_MODE_FILTER: Final = 1
_FLAG_TSYNC: Final = 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def restrict_files(beneath: Iterable[Path]) -> bool:
    """The first step, before any other thread runs: see `landlock.restrict`."""
    _no_new_privileges()
    return landlock.restrict(beneath)


def refuse_new_code() -> bool:
    """W^X for good: memory is never executable that was once writable. False where the kernel is too old (6.3)."""
    return bool(_libc.prctl(_PR_SET_MDWE, _MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0)


def confine(profile: Profile) -> None:
    """The last step: from here on every thread may make only the calls of `profile`; any other ends the process.

    `NOT_READY` where there is no filter for this machine or its kernel refuses one.
    """
    _no_new_privileges()
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # others of this user cannot attach, nor read its memory
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    _quiet_tracebacks()
    try:
        here = architecture()
        program = assemble(here.audit, rules(profile, here))
        call = number("seccomp", here)
        made = _Program(len(program) // 8, program)
        _checked(_libc.syscall(call, _SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(made)))
    except (LookupError, OSError) as refused:
        raise CaxtonError(
            Code.NOT_READY,
            f"untrusted code runs only behind a seccomp filter, and this machine refuses one: {refused}",
        ) from refused


def _checked(result: int) -> None:
    if result > 0:  # TSYNC: the thread that could not follow
        raise OSError(0, f"thread {result} has another filter")
    if result < 0:
        number_ = ctypes.get_errno()
        raise OSError(number_, os.strerror(number_))


def _no_new_privileges() -> None:
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise CaxtonError(Code.NOT_READY, "the kernel refuses no_new_privs")


def _quiet_tracebacks() -> None:
    """A traceback names its frames without their source: reading that would be opening a file."""
    sys.excepthook = _print
    threading.excepthook = lambda told: _print(told.exc_type, told.exc_value, told.exc_traceback)
    sys.unraisablehook = lambda told: _print(told.exc_type, told.exc_value, told.exc_traceback)


def _print(kind: type[BaseException], error: BaseException | None, at: TracebackType | None) -> None:
    lines = []
    while at is not None:
        code = at.tb_frame.f_code
        lines.append(f"  {code.co_filename}:{at.tb_lineno} in {code.co_qualname}\n")
        at = at.tb_next
    os.write(2, f"{''.join(lines)}{kind.__name__}: {error}\n".encode(errors="replace"))
