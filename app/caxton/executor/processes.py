"""Starting children of the supervisor, waiting for them, and reading what they use.

Owns how a child process of the executor begins: a fresh interpreter (never a fork of this one), its own
session, no environment, only the descriptors that it is given, and death with its parent. Must never know
what a child does.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import runpy
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

_SOURCE_ROOT: Final = str(Path(__file__).resolve().parents[2])
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_MDWE: Final = 65
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
# -I ignores PYTHONPATH and the working directory, so the source root is named explicitly
_BEGIN: Final = (
    "import sys; sys.path.insert(0, {root!r}); "
    "from caxton.executor.processes import begin; begin({module!r}, {parent}, {new_code})"
)


class Ended(NamedTuple):
    """How a child ended. `status` as `os.waitstatus_to_exitcode`: negative = signal. Peak memory in bytes."""

    status: int
    cpu_seconds: float
    peak_bytes: int


def start(
    module: str,
    arguments: Sequence[str],
    descriptors: Sequence[int],
    stdout: int | None = None,
    stderr: int | None = None,
    *,
    new_code: bool = True,
) -> int:
    """Runs `python -m module arguments…` with `descriptors` under their own numbers; returns its pid.

    Without `new_code` no memory of it becomes executable that was writable, from its first import on.
    Standard output and error are those of the caller unless given; standard input is empty.
    """
    code = _BEGIN.format(root=_SOURCE_ROOT, module=module, parent=os.getpid(), new_code=new_code)
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    ]
    for number, target in ((1, stdout), (2, stderr)):
        if target is not None:
            actions.append((os.POSIX_SPAWN_DUP2, target, number))
    # dup2 to itself clears close-on-exec: every other descriptor of ours has it set and stays here
    actions.extend((os.POSIX_SPAWN_DUP2, fd, fd) for fd in descriptors)
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-c", code, *arguments],
        {},
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP),
    )


def begin(module: str, parent: int, new_code: bool) -> None:
    """The child's first step: dies with its parent, then becomes `module`."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)
    if not new_code:
        libc.prctl(_PR_SET_MDWE, 1, 0, 0, 0)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


async def wait(pid: int) -> Ended:
    """Waits for the end of a child and reaps it. Cancelling leaves the child alone and unreaped."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    handle = os.pidfd_open(pid)
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    _, status, usage = os.wait4(pid, 0)
    return Ended(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signals a child that has not been reaped; one that just ended is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def rss_bytes(pid: int) -> int:
    """Resident memory of a process, from /proc/PID/statm (some 10 µs); 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0


def cpu_seconds(pid: int) -> float:
    """User and system CPU time of a process so far; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, IndexError):
        return 0.0
