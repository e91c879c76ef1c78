"""The terminal of `caxton top`: the whole screen, keys, sizes, and the way back.

Owns the terminal's state. Must never leave it other than it was, however the verb ends.
"""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

from caxton.cli.interrupts import postponed, terminable
from caxton.cli.top_figures import FINAL, Frame
from caxton.cli.top_show import KEYS, Sight, ordered, room_for, screen
from caxton.protocol.errors import CaxtonError, Code

Ask = Callable[[], Frame]
_ENTER: Final = b"\x1b[?1049h\x1b[?25l"
_LEAVE: Final = b"\x1b[0m\x1b[?25h\x1b[?1049l"
_KEY: Final = re.compile(rb"\x1b[\[O][0-9;]*[A-Za-z~]|\x1b|[^\x1b]")
_UNFINISHED: Final = re.compile(rb"\x1b([\[O][0-9;]*)?\Z")
_MOVES: Final = {b"A": -1, b"B": 1}
_PAGES: Final = {b"5~": -1, b"6~": 1}
_FAR: Final = 1_000_000_000
_ESCAPE_SECONDS: Final = 0.05
_ENTER_KEYS: Final = (b"\r", b"\n")
_ERASE_KEYS: Final = (b"\x7f", b"\x08")
_MAX_FILTER: Final = 128


class Poller:
    """Asks in a thread of its own: a node that does not answer does not keep keys from working.

    `tell` is called after each answer, from that thread. It ends with the program: a question that is under way
    when the user quits is not waited for.
    """

    def __init__(self, ask: Ask, seconds: float, tell: Callable[[], None]) -> None:
        self._ask, self._seconds, self._tell = ask, seconds, tell
        self.frame: Frame | None = None
        self.error: CaxtonError | None = None
        self.answers = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="top")

    def start(self, frame: Frame) -> None:
        """`frame`: what is known already."""
        self.frame = frame
        self._thread.start()

    def stop(self) -> None:
        """No further question."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self.frame, self.error = self._ask(), None
                self.answers += 1
            except CaxtonError as error:
                self.error = error
            except Exception as error:  # JSON of who knows what; a thread that ends would leave old figures as if new
                self.error = CaxtonError(Code.INTERNAL_ERROR, f"the answer is no node's: {error!r}")
            self._tell()


class Live:
    """The loop: what is known is drawn whenever it, the size or the sight changes."""

    def __init__(self, order: str, iterations: int | None, *, colours: bool) -> None:
        self._sight = Sight(order)
        self._iterations = iterations
        self._colours = colours
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._suspended = False

    def run(self, ask: Ask, first: Frame, seconds: float) -> None:
        """Until `q`, the last iteration, or an error that no further try mends, which is raised."""
        poller = Poller(ask, seconds, self.wake)
        poller.start(first)
        try:
            with (
                suppress(OSError),
                terminable(),
                self._signals(),
                self._whole_screen(),
            ):  # OSError: no terminal is left
                while self._step(poller):
                    pass
        finally:
            poller.stop()
        if poller.error is not None and poller.error.code in FINAL:
            raise poller.error

    def wake(self) -> None:
        """Has the loop look again; from any thread, and from a signal's handler."""
        with suppress(BlockingIOError):
            os.write(self._wake, b".")

    def _step(self, poller: Poller) -> bool:
        """Draws, waits, acts; whether it goes on."""
        if self._suspended:
            self._suspend()
        assert poller.frame is not None
        self._draw(poller.frame, poller.error)
        done = self._iterations is not None and poller.answers >= self._iterations
        if done or (poller.error is not None and poller.error.code in FINAL):
            return False
        ready, _, _ = select.select([self._in, self._woken], [], [])
        if self._woken in ready:
            os.read(self._woken, 4096)
        if self._in not in ready:
            return True
        typed = self._read()
        return bool(typed) and all(self._press(key, poller.frame) for key in _KEY.findall(typed))

    def _read(self) -> bytes:
        """What was typed; a key that comes in pieces whole."""
        typed = os.read(self._in, 1024)
        while _UNFINISHED.search(typed) and select.select([self._in], [], [], _ESCAPE_SECONDS)[0]:
            more = os.read(self._in, 1024)
            if not more:
                break
            typed += more
        return typed

    def _press(self, key: bytes, frame: Frame) -> bool:
        """Whether to go on after it."""
        if self._sight.typing:
            self._sight = _typed(self._sight, key)
        elif key in (b"q", b"Q"):
            return False
        elif key == b"/":
            self._sight = replace(self._sight, typing=True, top=0)
        elif key == b"\x1b":
            self._sight = replace(self._sight, only="", top=0)
        elif (order := KEYS.get(key.decode("latin-1"))) is not None:
            self._sight = replace(self._sight, order=order, top=0)
        elif key[:1] == b"\x1b":
            self._move(key[2:], frame)
        return True

    def _move(self, key: bytes, frame: Frame) -> None:
        page = max(room_for(frame, self._size()[1], ""), 1)
        far = {b"H": -_FAR, b"1~": -_FAR, b"F": _FAR, b"4~": _FAR}.get(key, 0)
        top = self._sight.top + far + _MOVES.get(key, 0) + page * _PAGES.get(key, 0)
        last = len(ordered(frame, self._sight.order, self._sight.only)) - page
        self._sight = replace(self._sight, top=max(min(top, last), 0))

    def _draw(self, frame: Frame, error: CaxtonError | None) -> None:
        problem = "" if error is None else f"what is shown is old; trying again [{error.code}]: {error.message}"
        width, height = self._size()
        lines = screen(frame, self._sight, width, height, problem, colours=self._colours)
        text = "\x1b[H" + "\r\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J"
        self._write(text.encode("utf-8", "backslashreplace"))

    def _size(self) -> tuple[int, int]:
        """Cells and lines; the last cell of a line stays free, for terminals differ in what happens there."""
        columns, lines = os.get_terminal_size(self._out)
        return max((columns or 80) - 1, 1), lines or 24

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._out, data) :]

    # ---- the terminal and the signals

    @contextmanager
    def _whole_screen(self) -> Iterator[None]:
        self._before = termios.tcgetattr(self._in)
        try:
            self._enter()
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        with postponed():
            tty.setcbreak(self._in)
            self._write(_ENTER)

    def _leave(self) -> None:
        with postponed(), suppress(OSError, termios.error):
            termios.tcsetattr(self._in, termios.TCSAFLUSH, self._before)
            self._write(_LEAVE)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """A new size and Ctrl-Z end the wait."""
        before = {number: signal.signal(number, self._signalled) for number in (signal.SIGWINCH, signal.SIGTSTP)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, number: int, _: object) -> None:
        self._suspended |= number == signal.SIGTSTP
        self.wake()

    def _suspend(self) -> None:
        """Gives the terminal back while the job is stopped."""
        self._suspended = False
        self._leave()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        self._enter()


def _typed(sight: Sight, key: bytes) -> Sight:
    """The filter as it is after one more key."""
    if key in _ENTER_KEYS:
        return replace(sight, typing=False)
    if key == b"\x1b":
        return replace(sight, typing=False, only="")
    if key in _ERASE_KEYS:
        return replace(sight, only=sight.only[:-1])
    if key.isascii() and key.decode().isprintable() and len(sight.only) < _MAX_FILTER:
        return replace(sight, only=sight.only + key.decode())
    return sight
