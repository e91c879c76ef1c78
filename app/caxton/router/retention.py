"""Forgetting: what is old, what is too much, module files that nobody needs, recordings.

Owns when it happens. Must never hold the writer up for long: the store works in slices.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from caxton.router.deployments import needed_modules
from caxton.router.desk import Desk
from caxton.store import Retention, Swept

SWEEP_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.05
"""Between two slices, so that messages get the writer in between."""

log = logging.getLogger(__name__)


def policy(desk: Desk) -> Retention:
    """The node's `[messaging]` as the store wants it."""
    messaging = desk.config.messaging
    return Retention(
        retention=messaging.retention, retention_bytes=messaging.retention_bytes, dedup_window=messaging.dedup_window
    )


def of_audit(desk: Desk) -> tuple[float, int]:
    """Days and bytes that the audit may keep."""
    return float(desk.config.security.audit_retention_days), desk.config.security.audit_max_bytes


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
    count += await desk.recordings.expire(time.time() - desk.config.messaging.retention)
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
