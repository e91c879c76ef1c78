"""What the router tells systemd while it lives: that its loop turns, and how the node is, in one line.

Owns these words. Must never fail the router: nobody has to listen.
"""

from __future__ import annotations

import asyncio

from caxton.router import readiness
from caxton.router.desk import Desk
from caxton.telemetry import notify


async def tell(desk: Desk) -> None:
    """Beats for as long as the event loop turns; returns at once without a service manager."""
    vitals = notify.Vitals()
    while notify.wanted():
        vitals.beat(status(desk), well=True)
        await asyncio.sleep(vitals.pause)


def status(desk: Desk) -> str:
    """The node in one line: ready or why not, and what it has to do."""
    now = readiness.readiness(desk)
    head = "ready" if now.ready else f"not ready: {', '.join(now.reasons)}"
    figures = desk.core.stats()
    return f"{head}; {len(desk.registry)} agents, {figures['queued']} messages, {figures['in_flight']} under way"
