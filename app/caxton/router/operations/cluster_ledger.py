"""The accounts of all nodes as one.

Owns what they must add up to. Must never count anything itself.
"""

from __future__ import annotations

from caxton.protocol.cluster import ClusterLedger, NodeLedger
from caxton.router.operations.node import total

NAME = "cluster"


def add_up(accounts: list[NodeLedger]) -> ClusterLedger:
    """`balanced` needs every node's account: what a node that is away accepted, nobody else knows."""
    rows = [account.ledger for account in accounts if account.ledger is not None]
    missing = sorted(account.node for account in accounts if account.ledger is None)
    everything = total(NAME, rows)
    return ClusterLedger(
        nodes=sorted(accounts, key=lambda account: account.node),
        missing=missing,
        total=everything,
        distinct=everything.accepted - everything.forwarded,
        balanced=not missing and all(row.imbalance == 0 for row in rows),
    )
