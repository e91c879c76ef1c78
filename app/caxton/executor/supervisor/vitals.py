"""What the supervisor tells systemd: ready once a worker has proved that it can run here, alive while all answer.

Owns the start-up check and the sign of life. Must never serve a router.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from caxton.executor.artifacts import ArtifactCache
from caxton.executor.supervisor.settings import MOST_PATIENCE, Settings
from caxton.executor.supervisor.worker import Worker
from caxton.protocol.errors import CaxtonError, Code
from caxton.telemetry import notify


class Vital(Protocol):
    """What can be asked how it is."""

    def is_well(self, now: float) -> bool:
        """Whether everything that should answer does."""

    def describe(self) -> str:
        """One line for people."""


async def self_check(settings: Settings, cache: ArtifactCache) -> None:
    """Starts one worker, which checks its binding to wasmtime before it says that it is ready, and ends it.

    `NOT_READY` when it does not get there: a unit that forbids what workers need shows at its start then. On a busy
    host it takes long; who began again would take longer, so that the service manager's patience is to end first.
    """
    passed = asyncio.Event()
    worker = Worker(0, "", "self-check", settings, cache, lambda _: passed.set())
    ended = asyncio.ensure_future(worker.watch())
    waiting = asyncio.ensure_future(passed.wait())
    try:
        patience = MOST_PATIENCE * settings.ready_seconds
        await asyncio.wait({ended, waiting}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        worker.kill("killed")
        down = await ended
    if not passed.is_set():
        raise CaxtonError(
            Code.NOT_READY,
            f"no worker can run here: its self-check did not pass (status {down.status}); its reason is logged above",
            status=down.status,
        )


async def tell(server: Vital) -> None:
    """Beats for as long as the loop turns and the workers answer; returns at once without a service manager."""
    vitals = notify.Vitals()
    while notify.wanted():
        vitals.beat(server.describe(), well=server.is_well(time.monotonic()))
        await asyncio.sleep(vitals.pause)
