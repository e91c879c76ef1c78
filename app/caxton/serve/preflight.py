"""What must hold before a node starts: directories, the lock, free ports, enough descriptors.

Owns the refusals at start, each with the way out. Must never touch what another node uses.
"""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from caxton.config import Config, Loaded, split_address
from caxton.config.sections import value_of
from caxton.protocol.errors import CaxtonError, Code

LOCK_FILE: Final = "serve.lock"
PATIENCE_SECONDS: Final = 3.0
"""How long the leftovers of a node that has just been killed may hold on to ports."""
_SPARE_DESCRIPTORS: Final = 200


def make_directories(config: Config) -> None:
    """Creates the node's directories, 0750; those of the executor are nobody else's, 0700."""
    paths = config.paths
    for path in (paths.data, paths.modules, paths.run, paths.executor_run):
        _make(path, 0o750)
    for path in (paths.artifacts, paths.scratch):
        _make(path, 0o700)


@contextmanager
def only_node(data: Path) -> Iterator[None]:
    """Holds the lock of `serve` on a data directory; `CONFLICT` with the holder's pid."""
    descriptor = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        if not _locked(descriptor):
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise CaxtonError(
                Code.CONFLICT,
                f"a node runs in {data} already (pid {holder}); end it (kill {holder}), or give this one another "
                "directory: CAXTON_COORDINATION__LOCAL_STATE_PATH=OTHER/local.db",
                path=str(data),
                pid=holder,
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)


def require_free_ports(config: Config) -> None:
    """`CONFLICT` naming the key and the address that another process listens on."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    keys = [f"networking.{name}" for name in ("bind_address", "metrics_address", "admin_address")]
    if config.coordination.cluster_enabled:
        keys += ["coordination.bind_addr", "coordination.gossip_rpc_address"]
    for key in keys:
        address = str(value_of(config, key))
        problem = _port_problem(address)
        while problem and time.monotonic() < deadline:
            time.sleep(0.1)
            problem = _port_problem(address)
        if problem:
            raise CaxtonError(
                Code.CONFLICT,
                f"{key}: cannot listen on {address}: {problem}. Find who does: "
                f"ss -ltnp 'sport = :{split_address(address)[1]}', or choose another: "
                f"CAXTON_{key.upper().replace('.', '__')}=HOST:PORT",
                key=key,
                address=address,
            )


def raise_descriptor_limit(config: Config) -> str | None:
    """Raises the soft limit of open files to what the connections need; a warning when the hard limit forbids it."""
    needed = config.networking.max_connections + _SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed if unlimited else min(needed, hard), hard))
    if unlimited or hard >= needed:
        return None
    return (
        f"networking.max_connections: {config.networking.max_connections} needs {needed} open files, "
        f"the limit here is {hard}: ulimit -Hn"
    )


def unenforced(loaded: Loaded) -> list[str]:
    """Limits that only a cgroup enforces, as sentences: those that somebody asked for."""
    asked = [
        key
        for key in ("runtime.cpu_quota", "runtime.memory_limit")
        if not loaded.origins[key].startswith(("default", "built-in"))
    ]
    return [f"{key}: not enforced by `caxton serve`; the systemd units do, with a slice" for key in asked]


def _make(path: Path, mode: int) -> None:
    try:
        if not path.is_dir():
            path.mkdir(mode=mode, parents=True)
            path.chmod(mode)  # whatever the umask is
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(13, "it belongs to somebody else")
    except OSError as error:
        raise CaxtonError(
            Code.CONFIG_INVALID,
            f"cannot use the directory {path}: {error.strerror}. Create it for this user "
            f"(install -d -o $USER {path}), or choose "
            "another: CAXTON_COORDINATION__LOCAL_STATE_PATH=OTHER/local.db",
            path=str(path),
        ) from None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _port_problem(address: str) -> str | None:
    host, port = split_address(address)
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(target)
            trial.listen(1)
    except OSError as error:
        return error.strerror or str(error)
    return None
