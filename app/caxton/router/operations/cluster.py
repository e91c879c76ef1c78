"""The cluster as operators see it: who is there, what differs, what waits; drain any node; everybody's ledger.

Owns these answers, also those of a node that is alone: a cluster of one. Must never decide where anything lives.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from caxton import __version__
from caxton.protocol.access import Caller
from caxton.protocol.cluster import (
    ClusterLedger,
    ClusterView,
    MemberView,
    NodeDrain,
    NodeLedger,
    Path,
    Ran,
    RegistryView,
)
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Drain, Named, Nothing
from caxton.protocol.peers import LINK_VERSION, Forward, NodeState
from caxton.protocol.views import DrainView, Ledger, Page
from caxton.router.access.reach import EVERYTHING, reach_of
from caxton.router.cluster.picture import picture
from caxton.router.cluster.verdict import problems
from caxton.router.desk import Desk
from caxton.router.operations import gate
from caxton.router.operations import node as ops_node
from caxton.router.operations.cluster_ledger import add_up
from caxton.router.readiness import is_draining
from caxton.router.timing.times import rfc3339

ACCOUNT_SECONDS: Final = 10.0
_ledger: Final = msgspec.json.Decoder(Ledger).decode
_drained: Final = msgspec.json.Decoder(DrainView).decode


async def status(desk: Desk, _: Nothing) -> ClusterView:
    """The cluster as this node sees it."""
    return _of_one(desk) if desk.cluster is None else picture(desk, desk.cluster)


async def nodes(desk: Desk, _: Nothing) -> Page:
    """The members of `status`."""
    return Page(list((await status(desk, Nothing())).members))


async def report(desk: Desk, _: Nothing) -> Page:
    """What each cut between this node and another meant, the latest first."""
    return Page([] if desk.cluster is None else list(desk.cluster.healing.reports()))


async def ran(desk: Desk, args: Named) -> Ran:
    """What ran here while the node that asks could not be reached."""
    return Ran([]) if desk.cluster is None else await desk.cluster.healing.ran(desk, desk.cluster, args.name)


async def ledger(desk: Desk, _: Nothing, caller: Caller) -> ClusterLedger:
    """The accounts of every node, as far as the caller reaches. Who was removed has an account no more."""
    own = await ops_node.ledger(desk, Nothing(), reach_of(caller) or EVERYTHING)
    others = await asyncio.gather(*(_account(desk, node, caller) for node in _others(desk)))
    return add_up([NodeLedger(desk.node, own.node), *others])


async def _account(desk: Desk, node: str, caller: Caller) -> NodeLedger:
    try:
        answer = await _ask(desk, node, "ledger", Nothing(), caller, ACCOUNT_SECONDS)
        return NodeLedger(node, _ledger(answer).node)
    except CaxtonError as error:
        return NodeLedger(node, error=error.body())


async def drain(desk: Desk, args: NodeDrain, caller: Caller) -> DrainView:
    """Drains a node of the cluster: there, as if it had been asked itself."""
    order = Drain(args.wait_seconds)
    if _is_own(desk, args.node):
        return await gate.drain(desk, order)
    seconds = min(max(0.0, args.wait_seconds), gate.MAX_WAIT_SECONDS) + ACCOUNT_SECONDS
    return _drained(await _ask(desk, args.node, "node.drain", order, caller, seconds))


async def undrain(desk: Desk, args: Named, caller: Caller) -> Nothing:
    """Puts a node of the cluster back to work."""
    if _is_own(desk, args.name):
        return await gate.undrain(desk, Nothing())
    await _ask(desk, args.name, "node.undrain", Nothing(), caller, ACCOUNT_SECONDS)
    return Nothing()


async def forget(desk: Desk, args: Named) -> Nothing:
    """A node that is gone counts as one that has left, until it comes back; `CONFLICT` while anybody hears of it."""
    if desk.cluster is None or _is_own(desk, args.name):
        raise CaxtonError(Code.CONFLICT, f"{args.name[:64]!r} is this node: it is there", path="node")
    known = desk.cluster.gossip.members()[args.name]
    if args.name in desk.cluster.members.reachable or known.alive:
        words = f"{args.name} is there, or was until a moment ago; stop it, and wait until serf calls it failed"
        raise CaxtonError(Code.CONFLICT, words, path="node", standing=str(known.standing))
    await desk.cluster.gossip.force_leave(args.name)
    return Nothing()


async def _ask(desk: Desk, node: str, op: str, args: msgspec.Struct, caller: Caller, seconds: float) -> bytes:
    """Has that node do it, on the caller's behalf; its rules and its audit see the caller."""
    assert desk.cluster is not None
    forward = Forward(op, msgspec.msgpack.encode(args), caller, origin=desk.node)
    return await desk.cluster.links.call(node, "peer.forward", forward, timeout=seconds)


def _others(desk: Desk) -> list[str]:
    """Every other node of the cluster, there or not."""
    return [] if desk.cluster is None else sorted(desk.cluster.members.nodes - {desk.node})


def _is_own(desk: Desk, node: str) -> bool:
    """Whether it is this node; `NOT_FOUND` for one that is none."""
    known = [desk.node, *_others(desk)]
    if node not in known:
        words = f"no node is called {node[:64]!r}; there is {', '.join(known)}"
        raise CaxtonError(Code.NOT_FOUND, words, path="node", expected=known)
    return node == desk.node


def _of_one(desk: Desk) -> ClusterView:
    """A node without a cluster: nothing is missing, nothing can differ."""
    itself = MemberView(
        node_id=desk.node,
        address=desk.config.networking.bind_address,
        state=NodeState.DRAINING if is_draining(desk) else NodeState.ACTIVE,
        path=Path.ITSELF,
        software=__version__,
        link_version=LINK_VERSION,
        registry_equal=True,
        clock_offset_seconds=0.0,
        homes=len(desk.registry),
    )
    found = problems([itself], [], expected_nodes=1, majority=True)
    return ClusterView(
        node_id=desk.node,
        alone=True,
        whole=not found,
        problems=found,
        expected_nodes=1,
        majority=True,
        majority_since=rfc3339(desk.started_at),
        partition_mode=desk.config.coordination.partition_mode,
        members=[itself],
        outbox=[],
        registry=RegistryView(),
        handovers=[],
    )
