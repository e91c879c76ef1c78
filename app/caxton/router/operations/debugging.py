"""For whoever looks for a fault: an agent's history, and the facts of this node.

Owns how they are put together. Must never change anything, nor show a secret.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

from caxton.protocol.debugging import NodeFacts, Setting, TransitionView
from caxton.protocol.operations import Listing, Named, Nothing
from caxton.protocol.views import Page
from caxton.router.agents import unknown_agent
from caxton.router.desk import Desk
from caxton.router.operations.stats import stats
from caxton.router.paging import check_limit
from caxton.router.timing.times import rfc3339
from caxton.store import TransitionRow, sqlite_version

_MEMORY: Final = Path("/proc/meminfo")
_KIBI: Final = 1024


async def history(desk: Desk, args: Listing) -> Page:
    """What became of an agent, newest first; also of one that is gone, by name or id, while retention keeps it."""
    name, cursor = args.name or "", args.cursor
    if desk.cluster is not None and desk.registry.get(name) is None and desk.cluster.records.agent(name) is not None:
        raise unknown_agent(name)  # it has left this node, and its history goes on where it is
    kept, limit = desk.store.reader.transitions, check_limit(args.limit)
    found = await desk.read(kept.of, name, limit=limit, cursor=cursor)
    if not found.rows:
        called = await desk.read(kept.called, name)
        if called is not None:
            found = await desk.read(kept.of, called, limit=limit, cursor=cursor)
        elif cursor is None or not (await desk.read(kept.of, name, limit=1)).rows:
            desk.registry.require(name)
    return Page([_transition(row) for row in found.rows], found.next_cursor)


def _transition(row: TransitionRow) -> TransitionView:
    return TransitionView(rfc3339(row.at), row.agent, row.status, row.version, row.agent_id, row.reason)


async def facts(desk: Desk, _: Named) -> NodeFacts:
    """This node. It is asked by an agent's name, so that the node answers on which that lives."""
    figures = await stats(desk, Nothing())
    data = desk.config.paths.data
    disk, memory = await asyncio.gather(asyncio.to_thread(shutil.disk_usage, data), asyncio.to_thread(_memory))
    return NodeFacts(
        node=desk.node,
        at=rfc3339(time.time()),
        started_at=rfc3339(desk.started_at),
        versions={**figures["versions"], **_libraries()},
        host=platform.node(),
        kernel=f"{platform.system()} {platform.release()} {platform.version()}",
        machine=platform.machine(),
        cores=os.cpu_count() or 0,
        load=os.getloadavg(),
        memory_bytes=memory.get("MemTotal", 0),
        memory_available_bytes=memory.get("MemAvailable", 0),
        data_path=str(data),
        disk_bytes=disk.total,
        disk_free_bytes=disk.free,
        config=[Setting(one.key, one.value, one.origin) for one in desk.settings],
        figures=figures,
    )


def _libraries() -> dict[str, str | None]:
    return {"python": platform.python_version(), "wasmtime": version("wasmtime"), "sqlite": sqlite_version()}


def _memory() -> dict[str, int]:
    """Bytes by the kernel's names."""
    found: dict[str, int] = {}
    for line in _MEMORY.read_text().splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()
        if number and number[0].isdigit():
            found[name] = int(number[0]) * _KIBI
    return found
