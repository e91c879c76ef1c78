"""Records of other nodes become rows and memory of this one.

Owns that, for every kind but agents: those are brought up by the reconciler. Must never be handed a record that does
not hold. Everything of one call happens in one turn of the loop: what this node itself says comes before or after.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from caxton.protocol.peers import Record
from caxton.router.access.accounts import NO_QUOTA
from caxton.router.cluster import bodies
from caxton.router.cluster.records import Records
from caxton.router.core import Core
from caxton.store import Changes

log: Final = logging.getLogger(__name__)


class Applying:
    """Of one node. A body that this release cannot read stays in the registry as it came."""

    def __init__(self, records: Records, core: Core) -> None:
        self._records = records
        self._core = core

    def apply(self, changed: list[Record]) -> Changes:
        """Memory says from now on what these say; gives the changes that make it durable, with the records."""
        changes = Changes(registry=list(changed))
        for record in changed:
            try:
                bodies.add_row(changes, record, self._records.registry.get)
                self._learn(record)
            except msgspec.ValidationError as error:
                log.error("%s %s: this release cannot read the record: %s", record.kind, record.name, error)
        self._records.took(changed)
        return changes

    def _learn(self, record: Record) -> None:
        if record.kind == bodies.SECRET:
            self._core.secrets.learn(record.name, bodies.secret(record))
        elif record.kind == bodies.NAMESPACE:
            account = self._core.accounts.named(record.name)
            account.apply(bodies.namespace(record).quota or NO_QUOTA)
            self._core.accounts.measure(account)
        elif record.kind == bodies.CAPABILITY:
            self._core.talking.capabilities.learn(bodies.capability(record))
        elif record.kind == bodies.SUBSCRIPTION:
            self._core.talking.addressing.topics.learn(*bodies.subscription(record))
