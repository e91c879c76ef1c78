"""The cluster as operators see it: who is there, what differs, what waits; drain any node; everybody's ledger.

Owns these answers, also those of a node that is alone: a cluster of one. Must never decide where anything lives.
"""

from __future__ import annotations

from caxton import __version__
from caxton.protocol.access import Caller
from caxton.protocol.cluster import (
    ClusterLedger,
    ClusterView,
    MemberView,
    NodeDrain,
    NodeLedger,
    Path,
    RegistryView,
)
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Drain, Named, Nothing
from caxton.protocol.peers import LINK_VERSION, NodeState
from caxton.protocol.views import DrainView, Page
from caxton.router.access.reach import EVERYTHING, reach_of
from caxton.router.desk import Desk
from caxton.router.operations import gate
from caxton.router.operations import node as ops_node
from caxton.router.operations.cluster_ledger import add_up
from caxton.router.operations.cluster_verdict import problems
from caxton.router.readiness import is_draining
from caxton.router.timing.times import rfc3339


async def status(desk: Desk, _: Nothing) -> ClusterView:
    """The cluster as this node sees it."""
    return _of_one(desk)


async def nodes(desk: Desk, _: Nothing) -> Page:
    """The members of `status`."""
    return Page(list((await status(desk, Nothing())).members))


async def report(desk: Desk, _: Nothing) -> Page:
    """What each cut between this node and another meant, the latest first."""
    return Page([])


async def ledger(desk: Desk, _: Nothing, caller: Caller) -> ClusterLedger:
    """The accounts of every node, as far as the caller reaches."""
    own = await ops_node.ledger(desk, Nothing(), reach_of(caller) or EVERYTHING)
    return add_up([NodeLedger(desk.node, own.node)])


async def drain(desk: Desk, args: NodeDrain, caller: Caller) -> DrainView:
    """Drains a node of the cluster: there, as if it had been asked itself."""
    _require_member(desk, args.node)
    return await gate.drain(desk, Drain(args.wait_seconds))


async def undrain(desk: Desk, args: Named, caller: Caller) -> Nothing:
    """Puts a node of the cluster back to work."""
    _require_member(desk, args.name)
    return await gate.undrain(desk, Nothing())


def _require_member(desk: Desk, node: str) -> None:
    if node != desk.node:
        words = f"no node is called {node[:64]!r}; there is {desk.node}"
        raise CaxtonError(Code.NOT_FOUND, words, path="node", expected=[desk.node])


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
