"""Recordings: which there are, and one of them.

Owns how they are looked up. Must never run one: whoever asks does, at home.
"""

from __future__ import annotations

import asyncio

from caxton.protocol.operations import Listing
from caxton.protocol.recordings import RecordedView, RecordingOf, RecordingView, unpack
from caxton.protocol.views import Page
from caxton.router.access.reach import EVERYTHING, Reach
from caxton.router.desk import Desk
from caxton.router.paging import check_limit, read_cursor, write_cursor
from caxton.router.timing.times import rfc3339


async def names(desk: Desk, args: Listing) -> Page:
    """Executions of an agent that can be replayed, newest first."""
    agent = desk.registry.require(args.name or "")
    found = await desk.recordings.names(agent.name)
    position, limit = read_cursor(args.cursor, int), check_limit(args.limit)
    start = 0 if position is None else int(position[0])
    page = found[start : start + limit]
    more = start + limit < len(found)
    items = [RecordedView(name, rfc3339(kept.at), kept.bytes) for name, kept in page]
    return Page(items, write_cursor(start + limit) if more else None)


async def get(desk: Desk, args: RecordingOf, reach: Reach = EVERYTHING) -> RecordingView:
    """One recording. `module` is left out when the file has gone: old versions are not kept for ever."""
    packed = await desk.recordings.get(args.name)
    spec = (await asyncio.to_thread(unpack, packed)).spec
    reach.require_agent(spec.name)
    path = desk.modules.path(spec.module_sha256)
    module = await asyncio.to_thread(path.read_bytes) if args.module and path.exists() else None
    return RecordingView(args.name, packed, module)
