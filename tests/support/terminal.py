"""A terminal: a program on a real pty, and what its user sees.

Knows the few sequences that the command line's screens use; any other one is a failure.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

from support.served_node import SOURCE

_PART = re.compile(
    rb"\x1b\[\?(?P<mode>\d+[hl])|\x1b\[(?P<sgr>[0-9;]*)m|\x1b\[(?P<op>[HKJ])|(?P<end>\r*\n)|[^\x1b\r\n]+"
)
_INCOMPLETE = re.compile(rb"\x1b(\[[?0-9;]*)?\Z")
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


class Terminal:
    """`caxton …` on a pty of its own. `raw` is everything that it wrote."""

    def __init__(self, *arguments: str, env: dict[str, str], columns: int = 100, lines: int = 24) -> None:
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "HOME": "/nonexistent", "TERM": "xterm"}
        self.columns, self.rows = columns, lines
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-m", "caxton", *arguments], {**environ, **env})
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.master)
        self.raw = b""
        self.status: int | None = None

    def resize(self, columns: int, lines: int) -> None:
        """The kernel tells the program by SIGWINCH."""
        self.columns, self.rows = columns, lines
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        """As typed."""
        os.write(self.master, keys.encode())

    def signal(self, number: signal.Signals) -> None:
        """From elsewhere."""
        os.kill(self.pid, number)

    def until(self, condition: Callable[[list[str]], Any], what: str, seconds: float = 60.0) -> list[str]:
        """Reads on until the lines on the screen are as awaited; the lines."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            lines = self.lines()
            if condition(lines):
                return lines
            if not self._read(0.1) and self.ended():
                break
        raise AssertionError(f"never on the screen: {what}; there is {self.raw[-4000:]!r}")

    def ended(self) -> bool:
        """Whether the program has."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is not None

    def wait(self, seconds: float = 60.0) -> int:
        """Its exit status."""
        end = time.monotonic() + seconds
        while not self.ended():
            assert time.monotonic() < end, self.raw[-2000:]
            self._read(0.05)
        while self._read(0.05):
            pass
        assert self.status is not None
        return self.status

    def restored(self) -> bool:
        """Whether the terminal is as it was: its settings, the screen, the cursor."""
        shown = self.raw.rfind(b"\x1b[?25h") > self.raw.rfind(b"\x1b[?25l")
        return (
            termios.tcgetattr(self.master) == self.before and shown and self.raw.rfind(LEAVE) > self.raw.rfind(ENTER)
        )

    def close(self) -> None:
        """Ends the program if it still runs."""
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)

    def lines(self) -> list[str]:
        """What the screen shows: the last frame that is whole."""
        data = _INCOMPLETE.sub(b"", self.raw)
        done = data.rfind(b"\x1b[J")
        if done < 0:
            return []
        text = data[data.rfind(b"\x1b[H", 0, done) : done]
        found, at = [""], 0
        while at < len(text):
            part = _PART.match(text, at)
            assert part is not None, text[at : at + 40]
            at = part.end()
            if part["end"] is not None:
                found.append("")
            elif part.lastgroup is None:
                found[-1] += part[0].decode()
        return found

    def _read(self, seconds: float) -> bool:
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.master, 65_536)
        except OSError:  # the program has ended
            return False
        self.raw += data
        return bool(data)
