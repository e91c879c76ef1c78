"""Every function that a module may import, with its signature (spec/abi.md, "Host functions").

Owns the table by which a deployment is refused. Must never implement any of them.
"""

from __future__ import annotations

from typing import Final

HOST_MODULE: Final = "caxton"
WASI_MODULE: Final = "wasi_snapshot_preview1"

HOST_FUNCTIONS: Final[dict[str, str]] = {
    "send_message": "ii->i",
    "reply": "ii->i",
    "broadcast_message": "iiii->i",
    "subscribe_messages": "ii->i",
    "store_data": "iiii->i",
    "load_data": "iiii->i",
    "delete_data": "ii->i",
    "set_timer": "I->i",
    "cancel_timer": "i->i",
    "current_timestamp": "->I",
    "random_u32": "->i",
    "get_secret": "iiii->i",  # nosec B105 # a function's type
    "http_request": "iiii->i",
    "console_log": "ii->",
    "console_error": "ii->",
    "get_config": "iiii->i",
    "request": "iiii->i",
    "read_reply": "ii->i",
    "sleep_micros": "I->i",
}
"""Name → parameters `->` results; `i` is i32, `I` is i64."""

WASI_FUNCTIONS: Final[dict[str, str]] = {
    "args_get": "ii->i",
    "args_sizes_get": "ii->i",
    "environ_get": "ii->i",
    "environ_sizes_get": "ii->i",
    "clock_res_get": "ii->i",
    "clock_time_get": "iIi->i",
    "fd_advise": "iIIi->i",
    "fd_allocate": "iII->i",
    "fd_close": "i->i",
    "fd_datasync": "i->i",
    "fd_fdstat_get": "ii->i",
    "fd_fdstat_set_flags": "ii->i",
    "fd_fdstat_set_rights": "iII->i",
    "fd_filestat_get": "ii->i",
    "fd_filestat_set_size": "iI->i",
    "fd_filestat_set_times": "iIIi->i",
    "fd_pread": "iiiIi->i",
    "fd_prestat_get": "ii->i",
    "fd_prestat_dir_name": "iii->i",
    "fd_pwrite": "iiiIi->i",
    "fd_read": "iiii->i",
    "fd_readdir": "iiiIi->i",
    "fd_renumber": "ii->i",
    "fd_seek": "iIii->i",
    "fd_sync": "i->i",
    "fd_tell": "ii->i",
    "fd_write": "iiii->i",
    "path_create_directory": "iii->i",
    "path_filestat_get": "iiiii->i",
    "path_filestat_set_times": "iiiiIIi->i",
    "path_link": "iiiiiii->i",
    "path_open": "iiiiiIIii->i",
    "path_readlink": "iiiiii->i",
    "path_remove_directory": "iii->i",
    "path_rename": "iiiiii->i",
    "path_symlink": "iiiii->i",
    "path_unlink_file": "iii->i",
    "poll_oneoff": "iiii->i",
    "proc_exit": "i->",
    "proc_raise": "i->i",
    "sched_yield": "->i",
    "random_get": "ii->i",
    "sock_accept": "iii->i",
    "sock_recv": "iiiiii->i",
    "sock_send": "iiiii->i",
    "sock_shutdown": "ii->i",
}

OFFERED: Final[dict[str, dict[str, str]]] = {HOST_MODULE: HOST_FUNCTIONS, WASI_MODULE: WASI_FUNCTIONS}
