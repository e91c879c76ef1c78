"""What the supervisor holds of a worker goes with it, not when the collector happens to run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from support.executor_node import ExecutorNode, eventually


def test_every_killed_worker_takes_its_descriptors_along() -> None:
    with ExecutorNode() as node:
        router = node.router()
        (worker,) = router.hello()
        before = descriptors(node.process.pid)
        for _ in range(4):
            os.kill(worker.pid, signal.SIGKILL)
            worker = router.worker()
        # fewer is possible: the probe that awaited the socket may have been one of those before
        eventually(lambda: descriptors(node.process.pid) <= before, "no more descriptors than before", 10)


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
