"""How many connections one address holds to this worker.

Owns the count. Must never count a balancer: it holds the connections of all its clients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from caxton.api.limits.networks import network_of

CONNECTIONS: Final = "connections"
MOST_LATE: Final = 16
"""Handshakes of other nodes that a full address cannot keep out."""


class Connections:
    """At most `most` for each address; `trusts` says whether an address is a balancer's."""

    def __init__(self, most: int, trusts: Callable[[str], bool]) -> None:
        self._most = most
        self._trusts = trusts
        self._open: dict[str, int] = {}
        self._late = 0

    def enter(self, address: str) -> bool:
        """Counts one more, if there may be. Every True needs a `leave`."""
        if not address or self._trusts(address):
            return True
        network = network_of(address)
        count = self._open.get(network, 0)
        if count >= self._most:
            return False
        self._open[network] = count + 1
        return True

    def enter_late(self, address: str) -> bool:
        """One more although its address has its fill, to see who it is; few at once. Needs `leave_late`, `leave`."""
        if self._late >= MOST_LATE:
            return False
        self._late += 1
        network = network_of(address)
        self._open[network] = self._open.get(network, 0) + 1
        return True

    def leave_late(self) -> None:
        """One of them has ended, or is known for a node."""
        self._late -= 1

    @contextmanager
    def uncounted(self, address: str) -> Iterator[None]:
        """Meanwhile a connection that has entered leaves its place to others: it is another node's."""
        self.leave(address)
        try:
            yield
        finally:
            if address and not self._trusts(address):
                network = network_of(address)
                self._open[network] = self._open.get(network, 0) + 1

    def leave(self, address: str) -> None:
        """One of them has ended."""
        if not address or self._trusts(address):
            return
        network = network_of(address)
        count = self._open.get(network, 0)
        if count > 1:
            self._open[network] = count - 1
        else:
            self._open.pop(network, None)
