"""Arguments, environment, exit, yielding, and what is refused: signals and sockets.

Owns what a guest knows of its own process. Must never know more than the state says.
"""

from __future__ import annotations

from typing import NoReturn

from caxton.executor.guest import GuestExit, GuestMemory
from caxton.executor.wasi.abi import U32, Errno, Refused
from caxton.executor.wasi.state import WasiState


def _write_strings(memory: GuestMemory, strings: list[bytes], pointers: int, buffer: int) -> None:
    """The strings one after the other at `buffer`, and where each begins at `pointers`."""
    addresses = []
    for string in strings:
        addresses.append(U32.pack(buffer & 0xFFFF_FFFF))
        buffer += len(string)
    packed = b"".join(strings)
    memory.check(pointers, U32.size * len(addresses))
    memory.write(buffer - len(packed), packed)
    memory.write(pointers, b"".join(addresses))


def _write_sizes(memory: GuestMemory, strings: list[bytes], count: int, size: int) -> None:
    memory.write(count, U32.pack(len(strings)))
    memory.write(size, U32.pack(sum(map(len, strings))))


def args_get(state: WasiState, memory: GuestMemory, pointers: int, buffer: int) -> None:
    """The arguments."""
    _write_strings(memory, state.args, pointers, buffer)


def args_sizes_get(state: WasiState, memory: GuestMemory, count: int, size: int) -> None:
    """How many arguments, and their bytes."""
    _write_sizes(memory, state.args, count, size)


def environ_get(state: WasiState, memory: GuestMemory, pointers: int, buffer: int) -> None:
    """The environment as `NAME=value`."""
    _write_strings(memory, state.env, pointers, buffer)


def environ_sizes_get(state: WasiState, memory: GuestMemory, count: int, size: int) -> None:
    """How many variables, and their bytes."""
    _write_sizes(memory, state.env, count, size)


def proc_exit(state: WasiState, memory: GuestMemory, code: int) -> NoReturn:
    """Ends the program."""
    raise GuestExit(code)


def proc_raise(state: WasiState, memory: GuestMemory, signal: int) -> NoReturn:
    """There are no signals."""
    raise Refused(Errno.ENOTSUP)


def sched_yield(state: WasiState, memory: GuestMemory) -> None:
    """Nothing to do: the scheduler takes turns by itself."""


def _refuse_socket(state: WasiState, fd: int) -> NoReturn:
    state.table.get(fd)
    raise Refused(Errno.ENOTSUP)


def sock_accept(state: WasiState, memory: GuestMemory, fd: int, flags: int, result: int) -> NoReturn:
    """Refused."""
    _refuse_socket(state, fd)


def sock_recv(
    state: WasiState, memory: GuestMemory, fd: int, iovs: int, count: int, flags: int, length: int, out_flags: int
) -> NoReturn:
    """Refused."""
    _refuse_socket(state, fd)


def sock_send(
    state: WasiState, memory: GuestMemory, fd: int, iovs: int, count: int, flags: int, length: int
) -> NoReturn:
    """Refused."""
    _refuse_socket(state, fd)


def sock_shutdown(state: WasiState, memory: GuestMemory, fd: int, how: int) -> NoReturn:
    """Refused."""
    _refuse_socket(state, fd)
