"""The table of all 46 functions of `wasi_snapshot_preview1`.

Owns names, signatures, and which functions must leave the fiber. Must never contain a function's body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from caxton.executor.guest import GuestMemory, OutOfBounds
from caxton.executor.wasi import clocks, directories, files, links, metadata, opening, poll, process
from caxton.executor.wasi.abi import U32_MAX, U64_MAX, Errno, Refused, from_host
from caxton.executor.wasi.state import Wait, WasiState

IMPORT_MODULE: Final = "wasi_snapshot_preview1"

Body = Callable[..., Wait | None]
Call = Callable[..., int | Wait]


class Function(NamedTuple):
    """One import. `params`: a letter each, `i` = i32, `I` = i64; `returns`: `i`, or nothing for proc_exit.

    `call(state, memory, *args)` takes wasm integers signed or unsigned and gives a WASI errno, or a `Wait`
    when `deferred`. It raises nothing but `GuestExit` and `StopGuest`. Plain functions may run on a fiber's
    stack; deferred ones may do file I/O and belong on the main stack.
    """

    name: str
    params: str
    returns: str
    deferred: bool
    call: Call


_MASKS: Final = {"i": U32_MAX, "I": U64_MAX}


def _guarded(body: Body, params: str) -> Call:
    """Makes integers unsigned and turns whatever goes wrong into an errno."""
    masks = tuple(_MASKS[letter] for letter in params)

    def call(state: WasiState, memory: GuestMemory, *arguments: int) -> int | Wait:
        try:
            result = body(state, memory, *[value & mask for value, mask in zip(arguments, masks, strict=True)])
        except Refused as refused:
            return int(refused.errno)
        except OutOfBounds:
            return int(Errno.EFAULT)
        except OSError as error:
            return int(from_host(error.errno))
        return 0 if result is None else result

    return call


_ALWAYS: Final[dict[str, tuple[str, Body]]] = {
    "args_get": ("ii", process.args_get),
    "args_sizes_get": ("ii", process.args_sizes_get),
    "environ_get": ("ii", process.environ_get),
    "environ_sizes_get": ("ii", process.environ_sizes_get),
    "clock_res_get": ("ii", clocks.clock_res_get),
    "clock_time_get": ("iIi", clocks.clock_time_get),
    "proc_exit": ("i", process.proc_exit),
    "proc_raise": ("i", process.proc_raise),
    "sched_yield": ("", process.sched_yield),
    "sock_accept": ("iii", process.sock_accept),
    "sock_recv": ("iiiiii", process.sock_recv),
    "sock_send": ("iiiii", process.sock_send),
    "sock_shutdown": ("ii", process.sock_shutdown),
}
"""Plain in every case."""

_WAITING: Final[dict[str, tuple[str, Body]]] = {
    "poll_oneoff": ("iiii", poll.poll_oneoff),
    "random_get": ("ii", clocks.random_get),
}
"""Deferred in every case."""

_FILES: Final[dict[str, tuple[str, Body]]] = {
    "fd_advise": ("iIIi", files.fd_advise),
    "fd_allocate": ("iII", files.fd_allocate),
    "fd_close": ("i", files.fd_close),
    "fd_datasync": ("i", files.fd_datasync),
    "fd_fdstat_get": ("ii", metadata.fd_fdstat_get),
    "fd_fdstat_set_flags": ("ii", metadata.fd_fdstat_set_flags),
    "fd_fdstat_set_rights": ("iII", metadata.fd_fdstat_set_rights),
    "fd_filestat_get": ("ii", metadata.fd_filestat_get),
    "fd_filestat_set_size": ("iI", files.fd_filestat_set_size),
    "fd_filestat_set_times": ("iIIi", metadata.fd_filestat_set_times),
    "fd_pread": ("iiiIi", files.fd_pread),
    "fd_prestat_dir_name": ("iii", metadata.fd_prestat_dir_name),
    "fd_prestat_get": ("ii", metadata.fd_prestat_get),
    "fd_pwrite": ("iiiIi", files.fd_pwrite),
    "fd_read": ("iiii", files.fd_read),
    "fd_readdir": ("iiiIi", directories.fd_readdir),
    "fd_renumber": ("ii", files.fd_renumber),
    "fd_seek": ("iIii", files.fd_seek),
    "fd_sync": ("i", files.fd_sync),
    "fd_tell": ("ii", files.fd_tell),
    "fd_write": ("iiii", files.fd_write),
    "path_create_directory": ("iii", directories.path_create_directory),
    "path_filestat_get": ("iiiii", metadata.path_filestat_get),
    "path_filestat_set_times": ("iiiiIIi", metadata.path_filestat_set_times),
    "path_link": ("iiiiiii", links.path_link),
    "path_open": ("iiiiiIIii", opening.path_open),
    "path_readlink": ("iiiiii", links.path_readlink),
    "path_remove_directory": ("iii", directories.path_remove_directory),
    "path_rename": ("iiiiii", links.path_rename),
    "path_symlink": ("iiiii", links.path_symlink),
    "path_unlink_file": ("iii", directories.path_unlink_file),
}
"""Deferred for a guest with directories; without any they touch nothing of the host and are plain."""


def _table(has_files: bool) -> dict[str, Function]:
    kinds = ((_ALWAYS, False), (_WAITING, True), (_FILES, has_files))
    return {
        name: Function(name, params, "" if name == "proc_exit" else "i", deferred, _guarded(body, params))
        for functions, deferred in kinds
        for name, (params, body) in functions.items()
    }


FUNCTIONS: Final = _table(has_files=True)
_WITHOUT_FILES: Final = _table(has_files=False)


def functions_for(has_files: bool) -> dict[str, Function]:
    """The complete table for a guest with (`WasiState.has_files`) or without directories."""
    return FUNCTIONS if has_files else _WITHOUT_FILES
