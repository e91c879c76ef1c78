"""Forgetting: what is old, what is too much, module files that nobody needs; and watching the disk.

Owns when it happens. Must never hold the writer up for long: the store works in slices.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from caxton.router.deployments import needed_modules
from caxton.router.desk import Desk
from caxton.router.readiness import disk_is_low
from caxton.store import Retention, Swept

SWEEP_SECONDS: Final = 60.0
DISK_SECONDS: Final = 2.0
PAUSE_SECONDS: Final = 0.05
"""Between two slices, so that messages get the writer in between."""

log = logging.getLogger(__name__)


def policy(desk: Desk) -> Retention:
    """The node's `[messaging]` as the store wants it."""
    messaging = desk.config.messaging
    return Retention(
        retention=messaging.retention, retention_bytes=messaging.retention_bytes, dedup_window=messaging.dedup_window
    )


async def sweep(desk: Desk) -> int:
    """One whole round; answers how many rows and files were forgotten."""
    count = 0
    while True:
        swept = await _slice(desk)
        count += swept.messages + swept.contents + swept.jobs + swept.logs + swept.executions
        if swept.error is not None:
            log.error("retention failed: %s", swept.error)
        if swept.error is not None or not swept.more:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    return count + await desk.modules.collect(needed_modules(desk))


async def _slice(desk: Desk) -> Swept:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Swept] = loop.create_future()

    def set_result(swept: Swept) -> None:
        if not future.done():
            future.set_result(swept)

    def swept(result: Swept) -> None:  # on the writer's thread
        loop.call_soon_threadsafe(set_result, result)

    desk.store.writer.sweep(policy(desk), time.time(), swept)
    return await future


async def sweep_for_ever(desk: Desk) -> None:
    """A round a minute."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await sweep(desk)
        except OSError:
            log.exception("retention failed; it tries again in %d s", SWEEP_SECONDS)


async def watch_disk(desk: Desk) -> None:
    """Keeps `desk.low_disk` true to the disk; says so when it changes."""
    while True:
        low = await asyncio.to_thread(disk_is_low, desk)
        if low != desk.low_disk:
            desk.low_disk = low
            desk.events.publish("node.low_disk" if low else "node.disk_recovered", {"node": desk.node})
            log.warning(
                "the disk below the data directory is %s", "low: nothing new is accepted" if low else "fine again"
            )
        await asyncio.sleep(DISK_SECONDS)
