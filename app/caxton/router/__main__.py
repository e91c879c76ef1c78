"""`python -m caxton.router --config FILE`: the router process.

Owns arguments, the data directory's lock and the exit code. Must never import wasm or HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from caxton import config as configuration
from caxton.config import Loaded
from caxton.protocol.errors import CaxtonError, Code
from caxton.router.process import EXIT_OK, serve
from caxton.router.schema_wait import until_current
from caxton.store import Store, datalock
from caxton.telemetry import set_up_logging

EXIT_REFUSED: Final = 1
SWITCH_SECONDS: Final = 0.0005
_PAUSE_SECONDS: Final = 0.05
LOCK_SECONDS: Final = 5.0
"""An upgrade, or a router on its way out, has done its work when it still holds the lock."""


def main(arguments: list[str] | None = None) -> int:
    """Runs a router until it is told to stop. 0 = orderly end, 1 = refused to start, 70 = a commit failed."""
    parser = argparse.ArgumentParser(prog="caxton.router", description="The router of a Caxton node.")
    parser.add_argument("--config", type=Path, default=None, help="the node's TOML file")
    options = parser.parse_args(arguments)
    os.umask(0o027)
    try:
        return run(lambda: configuration.load(options.config, os.environ))
    except CaxtonError as error:
        print(f"caxton router: {error.code}: {error.message}", file=sys.stderr)
        return EXIT_REFUSED


def run(load: Callable[[], Loaded]) -> int:
    """Waits for a schema that fits, holds the data directory, opens the store, serves, closes; the exit code."""
    # The writer's thread builds rows under the interpreter's lock; with the usual 5 ms the loop would wait that
    # long after every system call (measured: 1.7 times as many messages accepted a second).
    sys.setswitchinterval(SWITCH_SECONDS)
    loaded = load()
    config = loaded.config
    set_up_logging(config.observability, "router")
    if not asyncio.run(until_current(config)):
        return EXIT_OK
    with ExitStack() as stack:
        _hold(stack, config.paths.data)
        datalock.require_no_maintenance(config.paths.data)
        store = Store.open(
            config.paths.database,
            journal_mode=config.coordination.journal_mode,
            synchronous=config.coordination.synchronous,
            commit_window=config.messaging.commit_window,
        )
        try:
            return asyncio.run(serve(loaded, store, load))
        finally:
            store.close()


def _hold(stack: ExitStack, data: Path) -> None:
    """Takes the data directory's lock, when whoever has it lets go of it in time."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            stack.enter_context(datalock.hold(data))
            return
        except CaxtonError as error:
            if error.code is not Code.CONFLICT or time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
