"""Which processes make a node, and with which command lines.

Owns their names and their order: each needs those before it. Must never start one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from caxton.config import Config
from caxton.serve.children import Spec

SOURCE_ROOT: Final = Path(__file__).parents[2]
GOSSIP_STOP_SECONDS: Final = 5.0
EXECUTOR_STOP_SECONDS: Final = 10.0
ROUTER_STOP_SECONDS: Final = 30.0
MARGIN_SECONDS: Final = 5.0


def specs(config: Config, file: Path | None) -> list[Spec]:
    """The children in the order of their start; they are ended in the reverse order."""
    option = ("--config", str(file.absolute())) if file else ()
    router_stop = max(ROUTER_STOP_SECONDS, config.runtime.agent_shutdown_timeout) + MARGIN_SECONDS
    api_stop = config.networking.graceful_seconds + MARGIN_SECONDS
    gossip = Spec("gossip", _module("caxton", *option, "gossip", "run"), GOSSIP_STOP_SECONDS, reloads=False)
    return [
        *([gossip] if config.coordination.cluster_enabled else []),
        Spec("executor", _module("caxton.executor", *option), EXECUTOR_STOP_SECONDS, reloads=False),
        Spec("router", _module("caxton.router", *option), router_stop, reloads=True),
        Spec("admin", _module("caxton.api", "--admin", *option), api_stop, reloads=True),
        Spec("api", _module("caxton.api", *option), api_stop, reloads=True),
    ]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The children's environment: ours, and where the package is, so that a source tree works uninstalled."""
    known = [part for part in environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    parts = [str(SOURCE_ROOT), *(part for part in known if part != str(SOURCE_ROOT))]
    return {**environ, "PYTHONPATH": os.pathsep.join(parts), "PYTHONUNBUFFERED": "1"}


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    # -P: the current directory is no place to import from.
    return (sys.executable, "-P", "-m", name, *arguments)
