"""Where a node keeps its files.

Owns the layout of directories. Must never create one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_INSTALLED: Final = Path("/opt/caxton")
_INSTALLED_DATA: Final = _INSTALLED / "data"
"""Data anywhere else belongs to a node of its own, also below the backups, where the restore drill has its."""
SYSTEM_RUN: Final = Path("/run/caxton")
SYSTEM_EXECUTOR_RUN: Final = Path("/run/caxton-executor")


@dataclass(frozen=True)
class Paths:
    """Every file and directory of a node, absolute; `executor_*`, `artifacts`, `scratch` belong to the executor."""

    data: Path
    database: Path
    modules: Path
    audit: Path
    gossip: Path
    run: Path
    router_socket: Path
    executor_run: Path
    executor_socket: Path
    artifacts: Path
    scratch: Path
    logs: Path


def make_paths(local_state_path: str, run_dir: str | None, executor_run_dir: str | None) -> Paths:
    """The layout that follows from the database's path and the two directories that the environment may name."""
    database = Path(os.path.abspath(local_state_path))
    data = database.parent
    installed = data.is_relative_to(_INSTALLED_DATA)
    run = _absolute(run_dir) or (SYSTEM_RUN if installed else data / "run")
    executor_run = _absolute(executor_run_dir) or (SYSTEM_EXECUTOR_RUN if installed else run)
    return Paths(
        data=data,
        database=database,
        modules=data / "modules",
        audit=data / "audit",
        gossip=data / "gossip",
        run=run,
        router_socket=run / "router.sock",
        executor_run=executor_run,
        executor_socket=executor_run / "executor.sock",
        artifacts=Path("/var/cache/caxton-executor")
        if executor_run == SYSTEM_EXECUTOR_RUN
        else executor_run / "artifacts",
        scratch=executor_run / "scratch",
        logs=_INSTALLED / "logs" if installed else data / "logs",
    )


def _absolute(directory: str | None) -> Path | None:
    return Path(os.path.abspath(directory)) if directory else None
