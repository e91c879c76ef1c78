"""`python -m caxton.executor.worker '<WorkerSettings JSON>'`: checks itself, says Ready, works.

Owns the process's start and exit status: 0 when the router went away, 78 when the self-check failed. Must
never say Ready before everything that it needs is there.
"""

from __future__ import annotations

import gc
import os
import resource
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
    allow_descriptors()
    worker = Worker(settings)
    settle_gc()
    worker.control.send(Ready(os.getpid()))
    worker.run()
    return 0


def allow_descriptors() -> None:
    """As many open files as this process may have at all: guests with directories hold descriptors."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def settle_gc() -> None:
    """What is here now stays; what executions leave behind is mostly freed by its reference counts."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
