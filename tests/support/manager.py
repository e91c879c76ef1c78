"""A service manager's ear: the datagram socket that $NOTIFY_SOCKET names."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Manager:
    """`heard` is everything said so far, in order."""

    path: Path
    socket: socket.socket
    patience: float
    heard: list[str] = field(default_factory=list)

    def hear(self) -> str:
        """The next thing said."""
        said = self.socket.recv(4096).decode()
        self.heard.append(said)
        return said

    def forget(self) -> None:
        """Throws away what was said and not heard yet."""
        self.socket.setblocking(False)
        with suppress(BlockingIOError):
            while self.hear():
                pass
        self.socket.settimeout(self.patience)

    def hear_until(self, condition: Callable[[str], bool]) -> str:
        """The next thing said that fulfils the condition; fails when it is not said in `patience` seconds."""
        deadline = time.monotonic() + self.patience
        while not condition(said := self.hear()):
            assert time.monotonic() < deadline, self.heard[-20:]
        return said


@contextmanager
def listening(patience: float = 30.0) -> Iterator[Manager]:
    """A service manager that listens, with `patience` in seconds."""
    directory = Path(tempfile.mkdtemp(prefix="cx", dir="/tmp"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(directory / "notify"))
        ear.settimeout(patience)
        yield Manager(directory / "notify", ear, patience)
    shutil.rmtree(directory, ignore_errors=True)
