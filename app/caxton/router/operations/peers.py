"""What other nodes ask of this one for the links themselves: to open one, heartbeats, a call to be passed on.

Owns who may open a link. Must never act on a call that it relays.
"""

from __future__ import annotations

from typing import Final

import msgspec

from caxton.protocol.access import Caller, node_caller
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import LINK_OPERATIONS, Nothing
from caxton.protocol.peers import OLDEST_LINK_VERSION, Beat, PeerOpen, Relay
from caxton.router.cluster.assembly import admits
from caxton.router.cluster.service import Cluster
from caxton.router.connection import Sink
from caxton.router.desk import Desk

RELAY: Final = "peer.relay"


async def open_link(desk: Desk, args: PeerOpen, sink: Sink) -> Nothing:
    """The API worker has seen the certificate of `node_id`; the connection is that node's from now on.

    `FORBIDDEN` for a name that is no member's: other certificates of the same authority open no link.
    """
    cluster = clustered(desk)
    if args.node_id == cluster.node_id or not admits(cluster, desk.config, args.node_id):
        raise CaxtonError(
            Code.FORBIDDEN,
            f"{args.node_id}: no member of this cluster and none of its seeds; only those open links",
            node=args.node_id,
        )
    if args.link_version < OLDEST_LINK_VERSION:
        raise CaxtonError(
            Code.FORBIDDEN,
            f"{args.node_id} speaks version {args.link_version} of links, which is too old; upgrade it",
            found=args.link_version,
            expected=f"at least {OLDEST_LINK_VERSION}",
        )
    sink.becomes_a_link(node_caller(args.node_id))
    return Nothing()


async def beat(desk: Desk, args: Beat, caller: Caller) -> Beat:
    """A heartbeat, answered by ours."""
    if args.node_id != caller.node:
        raise CaxtonError(Code.FORBIDDEN, f"{args.node_id}: this is the link of {caller.node}", path="node_id")
    return clustered(desk).beats.heard(args)


async def relay(desk: Desk, args: Relay, caller: Caller) -> msgspec.Raw:
    """Asks a third node on behalf of one that cannot reach it; once, and never what would be relayed again."""
    if args.op not in LINK_OPERATIONS or args.op == RELAY:
        raise CaxtonError(Code.INVALID_REQUEST, f"{args.op[:64]!r} is not relayed", path="op")
    links = clustered(desk).links
    return msgspec.Raw(await links.direct(args.node, args.op, args.args, timeout=args.timeout_seconds))


def clustered(desk: Desk) -> Cluster:
    """The node's cluster; `NOT_FOUND` on a node that is alone."""
    if desk.cluster is None:
        raise CaxtonError(Code.NOT_FOUND, "this node is no member of a cluster ([coordination] cluster_enabled)")
    return desk.cluster
