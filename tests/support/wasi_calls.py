"""A guest that calls WASI functions by name, with its strings and results in a bytearray."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from caxton.executor.wasi import FUNCTIONS, Wait, WasiState, new_state
from caxton.executor.wasi.abi import DIRENT, FILESTAT, Rights
from caxton.protocol.agents import DirGrant
from support.wasi_guest import Bytes

RESULT = 64
FIRST_PATH = 4096
SECOND_PATH = 16384
VECTOR = 128
DATA = 65536
READ, WRITE = Rights.FD_READ, Rights.FD_WRITE
CREAT, DIRECTORY, EXCL, TRUNC = 1, 2, 4, 8


class Guest:
    """Wraps a state; descriptor 3 is the first grant. Path arguments are written to memory on the way."""

    def __init__(self, state: WasiState) -> None:
        self.state = state
        self.memory = Bytes()

    def call(self, name: str, *arguments: int) -> int:
        answer = FUNCTIONS[name].call(self.state, self.memory, *arguments)
        assert not isinstance(answer, Wait)
        return answer

    def result(self, size: int = 4) -> int:
        return int.from_bytes(self.memory.read(RESULT, size), "little")

    def path(self, path: str | bytes, place: int = FIRST_PATH) -> tuple[int, int]:
        raw = path.encode() if isinstance(path, str) else path
        self.memory.write(place, raw)
        return place, len(raw)

    def vector(self, length: int) -> tuple[int, int]:
        self.memory.write(VECTOR, struct.pack("<II", DATA, length))
        return VECTOR, 1

    def open(
        self, path: str | bytes, oflags: int = 0, rights: int = READ, fd: int = 3, follow: int = 1, flags: int = 0
    ) -> tuple[int, int]:
        errno = self.call("path_open", fd, follow, *self.path(path), oflags, rights, 0, flags, RESULT)
        return errno, self.result() if errno == 0 else -1

    def opened(self, path: str, oflags: int = 0, rights: int = READ, **more: int) -> int:
        errno, fd = self.open(path, oflags, rights, **more)
        assert errno == 0, errno
        return fd

    def write(self, fd: int, data: bytes) -> tuple[int, int]:
        self.memory.write(DATA, data)
        errno = self.call("fd_write", fd, *self.vector(len(data)), RESULT)
        return errno, self.result()

    def read(self, fd: int, length: int = 1000) -> tuple[int, bytes]:
        errno = self.call("fd_read", fd, *self.vector(length), RESULT)
        return errno, self.memory.read(DATA, self.result()) if errno == 0 else b""

    def named(self, function: str, path: str | bytes, fd: int = 3) -> int:
        return self.call(function, fd, *self.path(path))

    def two(self, function: str, old: str, new: str, fd: int = 3, new_fd: int = 3) -> int:
        first, second = self.path(old), self.path(new, SECOND_PATH)
        if function == "path_symlink":
            return self.call(function, *first, fd, *second)
        if function == "path_link":
            return self.call(function, fd, 0, *first, new_fd, *second)
        return self.call(function, fd, *first, new_fd, *second)

    def stat(self, path: str, fd: int = 3, follow: int = 1) -> tuple[int, tuple[Any, ...]]:
        errno = self.call("path_filestat_get", fd, follow, *self.path(path), DATA)
        return errno, FILESTAT.unpack(self.memory.read(DATA, FILESTAT.size))

    def names(self, fd: int, room: int = 200) -> list[str]:
        """Reads a directory as libc does: from the cookie of the last whole entry on."""
        cookie, found = 0, []
        while True:
            assert self.call("fd_readdir", fd, DATA, room, cookie, RESULT) == 0
            raw = self.memory.read(DATA, self.result())
            offset = 0
            while offset + DIRENT.size <= len(raw):
                following, _, length, _ = DIRENT.unpack_from(raw, offset)
                if offset + DIRENT.size + length > len(raw):
                    break
                found.append(raw[offset + DIRENT.size : offset + DIRENT.size + length].decode())
                offset += DIRENT.size + length
                cookie = following
            if len(raw) < room:
                return found


def granted(host: Path, *, read_only: bool = False, **more: Any) -> Guest:
    """A guest with one directory as descriptor 3."""
    grant = DirGrant(host=str(host), guest="/data", read_only=read_only)
    return Guest(new_state(args=["t"], env={}, dirs=[grant], **more))


def with_scratch(host: Path, size: int, **more: Any) -> Guest:
    """A guest with nothing but scratch: descriptors 3 (`/tmp`) and 4 (`.`)."""
    return Guest(new_state(args=["t"], env={}, scratch=host, scratch_bytes=size, **more))
