"""Which settings of the units follow from the configuration.

Owns the arithmetic: from cores, bytes, connections and directories to what a unit is given. Must never know
how a unit file is written.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from caxton.config import Config, split_address
from caxton.protocol.errors import CaxtonError, Code

API: Final = "caxton.service"
SOCKET: Final = "caxton.socket"
ADMIN: Final = "caxton-admin.service"
ROUTER: Final = "caxton-router.service"
EXECUTOR: Final = "caxton-executor.service"
GOSSIP: Final = "caxton-gossip.service"
BACKUP: Final = "caxton-backup.service"
DRILL: Final = "caxton-restore-drill.service"

NEEDED: Final = frozenset(
    {
        "runtime.cpu_quota",
        "runtime.memory_limit",
        "runtime.executor_workers",
        "runtime.shareable_dirs",
        "runtime.engine",
        "networking.bind_address",
        "networking.max_connections",
        "networking.workers",
        "coordination.local_state_path",
        "observability.log_file",
        "backup.directory",
    }
)
"""The keys that these settings are made of."""

BACKLOG: Final = 2_048
"""As gunicorn asks for; the kernel's net.core.somaxconn bounds it."""
_SPARE_FILES: Final = 1_024
_SUPERVISOR_TASKS: Final = 64
"""The supervisor itself with its reading threads, and the compiler, which is one process at a time."""
_WORKER_TASKS: Final = 4
"""A worker has two threads."""
_OWN_WORKERS: Final = 80
"""Workers that single agents have for themselves, after they forced one to be killed, and the least for groups."""
_API_TASKS: Final = 8
_UNITS_WITH_DATA: Final = (ROUTER, BACKUP, DRILL)
_UNITS_WITH_BACKUPS: Final = (BACKUP, DRILL)
_UNITS_WITH_LOG: Final = (API, ADMIN, ROUTER, EXECUTOR, BACKUP, DRILL)
_OPENED: Final = tuple(Path("/opt/caxton") / name for name in ("data", "logs", "backups"))
"""What the units open for writing as they are shipped."""


_GOSSIP: Final = Path("/opt/caxton/data/gossip")


@dataclass(frozen=True)
class UnitSettings:
    """What the units are given. Sizes in bytes; `listen` as `ListenStream=` takes it, `writable` by unit."""

    cpu_cores: float
    memory_bytes: int
    executor_tasks: int
    shared: tuple[str, ...]
    no_new_code: bool
    api_files: int
    api_tasks: int
    listen: str
    free_bind: bool
    backlog: int = BACKLOG
    writable: dict[str, tuple[str, ...]] = field(default_factory=dict)
    gossip: str | None = None
    """serf's directory, where it is not the one that the unit has as it is shipped."""


def unit_settings(config: Config, resolve: Callable[[str], str] | None = None) -> UnitSettings:
    """The settings that follow from `config`. `CONFIG_INVALID` for what no unit file can say.

    `resolve` makes an address of a host name: a socket unit takes addresses only.
    """
    runtime, net = config.runtime, config.networking
    listen, free_bind = _listen(net.bind_address, resolve or _resolve)
    return UnitSettings(
        cpu_cores=runtime.cpu_quota,
        memory_bytes=runtime.memory_limit,
        # twice the standing workers: each of them may be on its way out while another takes its place; and four
        # times as many for groups of agents that share workers on demand
        executor_tasks=_SUPERVISOR_TASKS + _WORKER_TASKS * (6 * runtime.executor_workers + _OWN_WORKERS),
        no_new_code=runtime.engine == "pulley",
        shared=tuple(sorted(_printable("runtime.shareable_dirs", path) for path in runtime.shareable_dirs)),
        api_files=net.max_connections + _SPARE_FILES,
        api_tasks=_API_TASKS * (1 + 2 * net.workers),  # a reload has the old workers and the new ones
        listen=listen,
        free_bind=free_bind,
        writable=_writable(config),
        gossip=_gossip(config),
    )


def _listen(address: str, resolve: Callable[[str], str]) -> tuple[str, bool]:
    """The address with a literal host, and whether the host may not have it yet when the socket is opened."""
    host, port = split_address(address)
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        found = ipaddress.ip_address(resolve(host))
    if found.version == 6 and found.scope_id:
        raise CaxtonError(
            Code.CONFIG_INVALID,
            f"networking.bind_address: {address}: a socket unit takes no zone; write [::]:{port}, and let the "
            "firewall choose the interface",
            path="networking.bind_address",
            found=address,
        )
    text = f"[{found}]:{port}" if found.version == 6 else f"{found}:{port}"
    return text, not (found.is_unspecified or found.is_loopback)


def _resolve(host: str) -> str:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CaxtonError(
            Code.CONFIG_INVALID,
            f"networking.bind_address: {host} has no address here ({error.strerror}); write an IP address: "
            "caxton.socket listens before names can be looked up",
            path="networking.bind_address",
            found=host,
        ) from None
    return str(found[0][4][0])


def _writable(config: Config) -> dict[str, tuple[str, ...]]:
    """Directories outside of those that the units open anyway, by unit."""
    wanted: list[tuple[str, Path, tuple[str, ...]]] = [
        ("coordination.local_state_path", config.paths.data, _UNITS_WITH_DATA),
        ("backup.directory", Path(config.backup.directory).absolute(), _UNITS_WITH_BACKUPS),
    ]
    if config.observability.log_file is not None:
        wanted.append(
            ("observability.log_file", Path(config.observability.log_file).absolute().parent, _UNITS_WITH_LOG)
        )
    found: dict[str, set[str]] = {}
    for key, path, units in wanted:
        if not any(path.is_relative_to(opened) for opened in _OPENED):
            for unit in units:
                found.setdefault(unit, set()).add(_printable(key, str(path)))
    return {unit: tuple(sorted(paths)) for unit, paths in found.items()}


def _gossip(config: Config) -> str | None:
    found = config.paths.gossip
    return None if found == _GOSSIP else _printable("coordination.local_state_path", str(found))


def _printable(key: str, path: str) -> str:
    """Who may write the configuration is not who may write units: a line break would be a line of a unit."""
    if not path.isprintable():
        raise CaxtonError(
            Code.CONFIG_INVALID, f"{key}: {path!a} holds a control character; rename it", path=key, found=path
        )
    return path
