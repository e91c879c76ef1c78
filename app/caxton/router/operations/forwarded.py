"""What other nodes pass on to this one: operations of their callers, messages out of their outboxes.

Owns the checks of who asks. Must never be reached over anything but a link.
"""

from __future__ import annotations

from typing import Any

from caxton.protocol.access import Caller
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import Outcome
from caxton.protocol.peers import Awaited, Deliver, Forward
from caxton.protocol.views import ItemView
from caxton.router.connection import Sink
from caxton.router.desk import Desk
from caxton.router.operations.peers import clustered


async def forward(desk: Desk, args: Forward, sink: Sink) -> Any:
    """An operation on behalf of its caller; answered here or refused, never passed on."""
    cluster = clustered(desk)
    if args.op not in cluster.forwarding.arrived or args.op.startswith("peer."):
        raise CaxtonError(Code.INVALID_REQUEST, f"{args.op[:64]!r} is not passed on", path="op")
    return await cluster.forwarding.answer(args, sink)


async def deliver(desk: Desk, args: Deliver, _: Caller) -> list[ItemView]:
    """Messages out of another node's outbox; durable when answered."""
    if desk.draining:
        raise CaxtonError(Code.DRAINING, "the node is stopping; try again", retry_after_seconds=2)
    return await clustered(desk).arrivals.deliver(args.posted, args.origin)


async def outcome(desk: Desk, args: Awaited, _: Caller) -> Outcome:
    """How a message ended that this node has."""
    return await clustered(desk).arrivals.outcome(args)
