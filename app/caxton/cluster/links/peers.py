"""All links of this node: who can be asked something, directly or by way of another.

Owns one link for each other member. Must never decide who is a member: it is told.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Final

import msgspec

from caxton.cluster.links.failures import unreachable
from caxton.cluster.links.figures import LinkFigures
from caxton.cluster.links.link import Link
from caxton.cluster.links.streams import streamed
from caxton.protocol.peers import Relay

DEFAULT_SECONDS: Final = 30.0
RELAY_MARGIN_SECONDS: Final = 1.0
_pack = msgspec.msgpack.Encoder().encode


class Peers:
    """`context` gives the TLS of a new connection; `relays`: the nodes that reach a node, nearest first.

    `changed` is called when a link comes up or goes down.
    """

    def __init__(
        self,
        context: Callable[[], ssl.SSLContext],
        relays: Callable[[str], Sequence[str]] = lambda _: (),
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._context, self._relays, self._changed = context, relays, changed
        self._links: dict[str, Link] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.relayed = 0
        """Calls that others passed on for this node, those that are no members any more included."""

    def meet(self, addresses: Mapping[str, str]) -> None:
        """The other members, and where their API is: a link to each of them, and to nobody else."""
        for node in self._links.keys() - addresses.keys():
            task = asyncio.get_running_loop().create_task(self._links.pop(node).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        for node, address in addresses.items():
            link = self._links.get(node)
            if link is None:
                self._links[node] = Link(node, address, self._context, self._changed)
            elif link.address != address:
                link.address = address
                link.hurry()

    async def call(self, node: str, op: str, args: msgspec.Struct, *, timeout: float = DEFAULT_SECONDS) -> bytes:
        """The JSON of the answer; the `CaxtonError` that it is instead.

        `NOT_READY` with `details.node` when the node cannot be reached, directly or by a relay; with
        `details.not_sent` it certainly has not begun, else it may or may not have been done.
        """
        packed = _pack(args)
        link = self._links.get(node)
        if link is not None and link.is_up:
            return await link.call(op, packed, timeout)
        for relay in self._relays(node):
            between = self._links.get(relay)
            if between is not None and between.is_up:
                self.relayed += 1
                passed_on = _pack(Relay(node, op, packed, timeout))
                return await between.call("peer.relay", passed_on, timeout + RELAY_MARGIN_SECONDS)
        return await self.direct(node, op, packed, timeout=timeout)

    async def direct(self, node: str, op: str, args: bytes, *, timeout: float = DEFAULT_SECONDS) -> bytes:
        """As `call`, with msgpack of the arguments, and never by way of a third."""
        link = self._links.get(node)
        if link is None:
            raise unreachable(node)
        return await link.call(op, args, timeout)

    def stream(self, node: str, op: str, args: msgspec.Struct) -> AsyncGenerator[bytes, None]:
        """The JSON of each item, as fast as it is taken here; over a connection of its own, which calls do not share.

        Raises as `call` does. To be closed (`aclosing`) when no more is wanted.
        """
        link = self._links.get(node)
        if link is None:
            raise unreachable(node)
        return streamed(link.asked(op, _pack(args)))

    def up(self) -> frozenset[str]:
        """The nodes to which there is a link now."""
        return frozenset(node for node, link in self._links.items() if link.is_up)

    def hurry(self, node: str) -> None:
        """Something was heard of the node: a link that is not there is tried at once."""
        if (link := self._links.get(node)) is not None and not link.is_up:
            link.hurry()

    def cut(self, node: str) -> None:
        """The node does not answer on its link: it is made anew."""
        if (link := self._links.get(node)) is not None:
            link.cut()

    def figures_of(self, node: str) -> LinkFigures | None:
        """The live figures of one peer."""
        link = self._links.get(node)
        return link.figures if link is not None else None

    def figures(self) -> dict[str, LinkFigures]:
        """What each link has counted, by the node at its other end."""
        for link in self._links.values():
            link.figures.in_flight = link.in_flight
        return {node: link.figures for node, link in sorted(self._links.items())}

    async def close(self) -> None:
        """Ends all links; calls under way fail."""
        links, self._links = list(self._links.values()), {}
        await asyncio.gather(*(link.close() for link in links), *self._closing, return_exceptions=True)
