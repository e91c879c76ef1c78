"""One child process: how it is started, how it ends, when it may start again.

Owns the life of a child. Must never outlive its parent: the kernel kills every child when the parent is gone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_POLL_SECONDS: Final = 0.02
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
FIRST_DELAY: Final = 0.1
LAST_DELAY: Final = 10.0
STABLE_SECONDS: Final = 10.0
"""A child that lived this long is started again at once; one that did not waits twice as long each time."""


@dataclass(frozen=True)
class Spec:
    """What to start. `stop_seconds`: how long it may take to end after SIGTERM, before it is killed."""

    name: str
    argv: tuple[str, ...]
    stop_seconds: float
    reloads: bool
    """Whether SIGHUP makes it read its configuration again; other children are left alone by a reload."""


class Child:
    """A `Spec` that is started, watched, started again. Times on the monotonic clock."""

    def __init__(self, spec: Spec, environ: Mapping[str, str]) -> None:
        self.spec = spec
        self.failures = 0
        self.next_start = 0.0
        self._environ = dict(environ)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts it in a session of its own, so that Ctrl-C reaches the parent only. Parent: single-threaded."""
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            self.spec.argv,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),
        )

    def ended(self) -> int | None:
        """Its exit status if it has ended since it was last asked (negative: the signal); plans the next start."""
        if self._process is None or not _is_zombie(self._process.pid):
            return None
        self.kill_group()  # whatever it left behind in its session
        status = self._process.wait()
        self._process = None
        now = time.monotonic()
        self.failures = 0 if now - self._started >= STABLE_SECONDS else self.failures + 1
        delay = min(FIRST_DELAY * 2 ** max(self.failures - 1, 0), LAST_DELAY)
        self.next_start = now + (delay if self.failures else 0.0)
        return status

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the process itself, if it runs."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)  # Popen.send_signal would reap it behind `ended`'s back

    def kill_group(self) -> None:
        """Kills its whole process group. Only before it is reaped: until then nobody else gets its number."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def stop(self) -> bool:
        """Ends it in order; False when it had to be killed."""
        if self._process is None:
            return True
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + self.spec.stop_seconds
        while not (orderly := _is_zombie(self._process.pid)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self.kill_group()
        self._process.wait()
        self._process = None
        return orderly


def _is_zombie(pid: int) -> bool:
    """Whether our child `pid` has ended; it is left to be reaped. One that is no child any more has ended too."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _die_with(parent: int) -> Callable[[], None]:
    def prepare() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    return prepare
