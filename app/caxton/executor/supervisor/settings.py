"""What the supervisor needs to know of a node.

Owns its start-up values. Must never read a file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from caxton.config import Config

MOST_PATIENCE: Final = 8
"""So many times `ready_seconds` a worker has at most, where those before it were not ready in time."""


@dataclass(frozen=True)
class Settings:
    """Sizes in bytes, times in seconds. `worker_module`: what a worker process runs as `__main__`."""

    socket: Path
    artifacts: Path
    scratch: Path
    stack_bytes: int
    wasm_features: tuple[str, ...]
    temp_storage_limit_bytes: int
    idle_timeout_seconds: float
    shareable_dirs: tuple[str, ...] = ()
    pulley: bool = False
    worker_module: str = "caxton.executor.worker"
    poll_seconds: float = 0.05
    silent_seconds: float = 5.0
    """A worker moves its pulse at least once a second; one that does not for so long serves nobody any more."""
    ready_seconds: float = 30.0
    """A worker that is not ready by then is taken for dead."""


def from_config(config: Config) -> Settings:
    """The supervisor's part of the configuration."""
    runtime, paths = config.runtime, config.paths
    return Settings(
        socket=paths.executor_socket,
        artifacts=paths.artifacts,
        scratch=paths.scratch,
        stack_bytes=runtime.wasm_stack_limit,
        wasm_features=tuple(runtime.wasm_features),
        temp_storage_limit_bytes=runtime.temp_storage_limit,
        idle_timeout_seconds=runtime.agent_idle_timeout,
        shareable_dirs=tuple(runtime.shareable_dirs),
        pulley=runtime.engine == "pulley",
    )


def share_of(settings: Settings, workers: int) -> Settings:
    """`settings` for one of `workers`: what the node allows for all is divided, with one share left over for
    the workers that single agents have for themselves.
    """
    return replace(settings, temp_storage_limit_bytes=settings.temp_storage_limit_bytes // (workers + 1))
