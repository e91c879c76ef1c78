"""What is wrong with the host of a node: its clock, its disk. `broken_host.c` makes the processes believe it.

Owns the library's build and the file that says what is wrong. Must never change the real clock.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

_SOURCE = Path(__file__).with_name("broken_host.c")


def build(directory: Path) -> Path:
    """The library, built by the compiler that is here."""
    library = directory / "broken_host.so"
    compiler = ["gcc"] if shutil.which("gcc") else [sys.executable, "-m", "ziglang", "cc"]
    options = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run([*compiler, *options], check=True, capture_output=True)
    return library


class BrokenHost:
    """Nothing is wrong at first. `environ` is what its processes are started with."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self._clock = self._sync = 0
        file.write_bytes(bytes(16))
        self.environ = {"LD_PRELOAD": str(library), "CAXTON_BROKEN_HOST": str(file)}

    def clock(self, seconds: int) -> None:
        """The wall clock is so much ahead, from now on."""
        self._clock = seconds
        self._write()

    def slow_disk(self, milliseconds: int) -> None:
        """Each fsync takes so much longer, from now on."""
        self._sync = milliseconds
        self._write()

    def _write(self) -> None:
        with self._file.open("r+b") as file:  # in place: it is mapped
            file.write(struct.pack("<qq", self._clock, self._sync))
