"""Memory pressure: above its threshold the longest-idle instances are ended.

Owns when that happens. Must never end an instance that is at work, nor count what only a guess could give: the
workers say what they have resident.
"""

from __future__ import annotations

import asyncio
import logging

from caxton.config.sections import Runtime
from caxton.router.core import Core
from caxton.router.desk import Desk

log = logging.getLogger(__name__)


async def watch(desk: Desk) -> None:
    """Looks once every `[runtime] gc_interval`."""
    while True:
        await asyncio.sleep(desk.config.runtime.gc_interval)
        ended = reclaim(desk.core, desk.config.runtime)
        if ended:
            log.info("memory pressure: ended %d idle instances", ended)


def reclaim(core: Core, runtime: Runtime) -> int:
    """Ends idle instances until their memories make up for the excess; answers how many."""
    resident = sum(worker["rss_bytes"] for worker in core.stats()["workers"])
    excess = resident - int(runtime.memory_limit * runtime.memory_pressure_threshold)
    ended = core.end_idle(excess) if excess > 0 and runtime.agent_memory_reclaim else 0
    core.meters.instances.looks[_finding(excess, ended, runtime)] += 1
    return ended


def _finding(excess: int, ended: int, runtime: Runtime) -> str:
    """One of `instance_meters.LOOKS`."""
    if excess <= 0:
        return "low"
    if not runtime.agent_memory_reclaim:
        return "off"
    return "reclaimed" if ended else "all_busy"
