"""`python -m caxton.executor --config FILE`: the executor's supervisor.

Owns the command line and the exit status: 0 after SIGTERM, 1 with one line of explanation. Must never show
a traceback for a bad configuration.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from caxton.config import PUBLIC, load
from caxton.executor.supervisor.server import serve
from caxton.executor.supervisor.settings import from_config
from caxton.protocol.errors import CaxtonError
from caxton.telemetry.logs import set_up_logging


def main() -> int:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m caxton.executor", description="Caxton's executor: runs WebAssembly."
    )
    parser.add_argument("--config", type=Path, help="configuration file (default: the usual places)")
    arguments = parser.parse_args()
    try:
        config = load(arguments.config, os.environ, needed=PUBLIC).config
        set_up_logging(config.observability, "executor")
        asyncio.run(serve(from_config(config)))
    except (CaxtonError, OSError) as error:
        print(f"caxton executor: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
