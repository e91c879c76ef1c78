"""`python -m caxton.executor.worker '<WorkerSettings JSON>'`: checks itself, says Ready, works.

Owns the process's start and exit status: 0 when the router went away, 78 when the self-check failed. Must
never say Ready before everything that it needs is there.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
from pathlib import Path

import msgspec

from caxton.executor.binding.selfcheck import check
from caxton.executor.confinement import FILES, PURE, confine, refuse_new_code, restrict_files
from caxton.executor.settings import WorkerSettings
from caxton.executor.worker.process import Worker
from caxton.protocol.control import Reach, Ready
from caxton.protocol.errors import CaxtonError
from caxton.telemetry.logs import event

EXIT_REFUSED = 78


def main(argument: str) -> int:
    """Runs the worker; the exit status."""
    settings = msgspec.json.decode(argument, type=WorkerSettings)
    worker = Worker(settings)
    try:
        if settings.pulley and not refuse_new_code():
            event("memory can still be made executable: this kernel is older than 6.3")
        check(pulley=settings.pulley)
        allow_descriptors()
        confine_worker(settings, worker)
    except (CaxtonError, OSError) as problem:
        worker.control.send(Ready(os.getpid(), str(problem)))
        return EXIT_REFUSED
    settle_gc()
    worker.control.send(Ready(os.getpid()))
    worker.run()
    return 0


def confine_worker(settings: WorkerSettings, worker: Worker) -> None:
    """Behind this line nothing is imported, opened or started any more; what agents bring comes after it."""
    reach = settings.reach
    scratch = Path(settings.scratch_directory) / str(settings.worker_id)
    if reach is not Reach.NOTHING:
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        restrict_files([scratch, *map(Path, settings.granted_directories if reach is Reach.GRANTED else ())])
    worker.start()
    confine(PURE if reach is Reach.NOTHING else FILES)


def allow_descriptors() -> None:
    """As many open files as this process may have at all: guests with directories hold descriptors."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def settle_gc() -> None:
    """What is here now stays; what executions leave behind is mostly freed by its reference counts."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


if __name__ == "__main__":
    status = main(sys.argv[1])
    sys.stderr.flush()
    os._exit(status)  # an interpreter that ends by itself asks about sockets and files, which a confined one may not
