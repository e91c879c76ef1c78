"""What an operator lets the node do: pause and resume, drain and undrain; and the probe that works all the same.

Owns how these decisions outlive the router. Must never touch a message itself.
"""

from __future__ import annotations

import asyncio
from typing import Any

from caxton.protocol.operations import Drain, Nothing
from caxton.protocol.peers import NodeState
from caxton.protocol.views import DrainView, ProbeView
from caxton.router import marks, scheduler
from caxton.router.cluster import announce
from caxton.router.desk import Desk

MAX_WAIT_SECONDS = 3_600.0


def apply_marks(desk: Desk) -> None:
    """What was decided before this router began; to be called before anything can be started."""
    if marks.PAUSED in desk.marks:
        desk.core.hold(scheduler.PAUSED)
    if marks.DRAINED in desk.marks:
        desk.drained = True
        desk.core.hold(scheduler.DRAINED)


async def probe(desk: Desk, _: Nothing) -> ProbeView:
    """One real execution outside of mailboxes and ledger; also while the node is drained or paused."""
    return await desk.core.probe.run()


async def pause(desk: Desk, _: Nothing) -> Nothing:
    """Starts no execution until `resume`, also after a restart; messages are accepted on."""
    desk.marks.set(marks.PAUSED)
    desk.core.hold(scheduler.PAUSED)
    desk.events.publish("node.paused", {"node": desk.node})
    return Nothing()


async def resume(desk: Desk, _: Nothing) -> Nothing:
    """Ends a pause."""
    desk.marks.clear(marks.PAUSED)
    desk.core.release(scheduler.PAUSED)
    desk.events.publish("node.resumed", {"node": desk.node})
    return Nothing()


async def drain(desk: Desk, args: Drain) -> DrainView:
    """Takes no new work from now on, also after a restart; answers when nothing runs any more.

    What still runs after the wait goes back to its mailbox. It happens whether or not the caller waits for it.
    """
    seconds = min(max(0.0, args.wait_seconds), MAX_WAIT_SECONDS)
    desk.marks.set(marks.DRAINED)
    if not desk.drained:
        desk.drained = True
        desk.events.publish("node.draining", {"node": desk.node})
    return await asyncio.shield(desk.spawn(_empty(desk, seconds)))


async def _empty(desk: Desk, seconds: float) -> DrainView:
    if desk.cluster is not None:
        announce.say(desk.cluster, NodeState.DRAINING)  # from now on the others take over what has no home
    running = await desk.core.emptying.empty(seconds, lambda: desk.drained)
    told: dict[str, Any] = {"node": desk.node, "taken_back": len(running)}
    view = DrainView(desk.drained, running)
    if desk.cluster is not None:
        homes = await desk.cluster.rebalance.empty(lambda: desk.drained)
        moved, kept = [one for one in homes if one.why is None], [one for one in homes if one.why is not None]
        told |= {"moved": len(moved), "kept": len(kept)}
        outbox = await desk.cluster.rebalance.outbox_emptied(seconds)
        view = DrainView(desk.drained, running, moved, kept, outbox)
    if desk.drained:
        desk.events.publish("node.drained", told)
    return view


async def undrain(desk: Desk, _: Nothing) -> Nothing:
    """Takes work again; a drain that still waits ends."""
    desk.marks.clear(marks.DRAINED)
    desk.drained = False
    desk.core.emptying.undo()
    desk.events.publish("node.undrained", {"node": desk.node})
    return Nothing()
