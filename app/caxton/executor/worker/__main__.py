"""`python -m caxton.executor.worker '<WorkerSettings JSON>'`: checks itself, says Ready, works.

Owns the process's start and exit status: 0 when the router went away, 78 when the self-check failed.
"""

from __future__ import annotations

import gc
import os
import sys

import msgspec

from caxton.executor.binding.selfcheck import check
from caxton.executor.settings import WorkerSettings
from caxton.executor.worker.process import Worker
from caxton.protocol.control import Ready
from caxton.protocol.errors import CaxtonError

EXIT_REFUSED = 78


def main(argument: str) -> int:
    """Runs the worker; the exit status."""
    settings = msgspec.json.decode(argument, type=WorkerSettings)
    try:
        check()
    except CaxtonError as problem:
        worker = Worker(settings)
        worker.control.send(Ready(os.getpid(), problem.message))
        return EXIT_REFUSED
    worker = Worker(settings)
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    worker.control.send(Ready(os.getpid()))
    worker.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
