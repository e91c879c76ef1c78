"""Homes that move: what the old home asks of the new one, the plan before a change, an agent that is adopted.

Owns the check of who asks. Must never decide a step.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from caxton.cluster.plan import moves
from caxton.protocol.access import Caller
from caxton.protocol.cluster_moves import Adopt, Adopted, MoveView, Plan, PlanView
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.handover import HandoverAnswer, HandoverCall, HandoverFinish, HandoverKnown, HandoverPage
from caxton.protocol.operations import Nothing
from caxton.protocol.peers import Forward, Record
from caxton.protocol.views import Ledger
from caxton.router.cluster.handover_in import Arriving
from caxton.router.desk import Desk
from caxton.router.operations import node as ops_node
from caxton.router.operations.peers import clustered

COUNT_SECONDS: Final = 5.0
_ledger: Final = msgspec.json.Decoder(Ledger).decode


async def begin(desk: Desk, args: HandoverCall, caller: Caller) -> HandoverAnswer:
    """A new attempt to bring an agent here."""
    return await _arriving(desk, args.origin, caller).begin(args)


async def page(desk: Desk, args: HandoverPage) -> HandoverAnswer:
    """Rows of its state."""
    return await clustered(desk).arriving.page(args)


async def known(desk: Desk, args: HandoverKnown) -> HandoverAnswer:
    """Messages of an agent that have ended elsewhere."""
    return await clustered(desk).arriving.known(args)


async def finish(desk: Desk, args: HandoverFinish, caller: Caller) -> HandoverAnswer:
    """That was everything."""
    return await _arriving(desk, args.origin, caller).finish(args)


async def commit(desk: Desk, args: HandoverCall, caller: Caller) -> HandoverAnswer:
    """The old home has stopped."""
    return await _arriving(desk, args.origin, caller).commit(args)


async def abort(desk: Desk, args: HandoverCall, caller: Caller) -> HandoverAnswer:
    """The old home keeps it."""
    return await _arriving(desk, args.origin, caller).abort(args)


async def emptied(desk: Desk, args: HandoverCall, caller: Caller) -> HandoverAnswer:
    """Nothing waits for the agent at the old home any more."""
    return await _arriving(desk, args.origin, caller).emptied(args)


async def adopted(desk: Desk, args: Record) -> HandoverAnswer:
    """Another node has adopted an agent; durable when answered."""
    return await clustered(desk).adopting.heard(args)


def _arriving(desk: Desk, origin: str, caller: Caller) -> Arriving:
    if origin != caller.node and caller.node is not None and origin not in clustered(desk).members.reachable:
        raise CaxtonError(Code.FORBIDDEN, f"{origin}: this is the link of {caller.node}", path="origin")
    return clustered(desk).arriving


# ---- operators -------------------------------------------------------------------------------------


async def adopt(desk: Desk, args: Adopt) -> Adopted:
    """An agent whose home is gone lives here from now on."""
    return await asyncio.shield(desk.spawn(clustered(desk).adopting.adopt(args)))


async def plan(desk: Desk, args: Plan, caller: Caller) -> PlanView:
    """What would move if the members changed like this, and what waits there now."""
    cluster = clustered(desk)
    before = sorted(cluster.members.active)
    _require_nodes(args, {*cluster.members.states, *cluster.members.out})
    after = sorted({*before, *args.added} - set(args.without))
    found = moves(cluster.records.agents(), before, after)
    givers = {move.giver for move in found if move.giver is not None}
    counts, unknown = await _counts(desk, givers, caller)
    stateful = {one.name for one in cluster.records.agents() if one.home is not None}
    views = [
        MoveView(
            move.agent,
            move.giver,
            move.taker,
            move.agent in stateful,
            *counts.get((move.giver or "", move.agent), (0, 0)),
            None if move.why is None else move.why.value,
        )
        for move in found
    ]
    return PlanView(before, after, cluster.members.majority, views, unknown)


def _require_nodes(args: Plan, known: set[str]) -> None:
    for node in args.without:
        if node not in known:
            raise CaxtonError(
                Code.NOT_FOUND, f"no node is called {node[:64]!r}", path="without", expected=sorted(known)
            )


async def _counts(
    desk: Desk, nodes: set[str], caller: Caller
) -> tuple[dict[tuple[str, str], tuple[int, int]], list[str]]:
    """Waiting and in flight, by node and agent; and the nodes that did not say."""

    async def one(node: str) -> Ledger | None:
        if node == desk.node:
            return await ops_node.ledger(desk, Nothing())
        forward = Forward("ledger", msgspec.msgpack.encode(Nothing()), caller, origin=desk.node)
        try:
            return _ledger(await clustered(desk).links.call(node, "peer.forward", forward, timeout=COUNT_SECONDS))
        except CaxtonError:
            return None

    names = sorted(nodes)
    answers = dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))
    found = {
        (node, row.name): (row.pending, row.in_flight)
        for node, answer in answers.items()
        if answer is not None
        for row in answer.agents
    }
    return found, [node for node, answer in answers.items() if answer is None]
