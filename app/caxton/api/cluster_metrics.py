"""Metrics of the cluster, as this node sees it.

Owns their names (app/docs/metrics.md lists them). Must never keep a number between scrapes. A node that is alone has
none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from caxton.api.families import gauges

_GAUGES: Final = {
    "expected_nodes": "Nodes that are expected",
    "majority": "This node sees a majority of them",
    "registry_records": "Records of the registry, without tombstones",
    "registry_tombstones": "What was removed and is not forgotten yet",
    "registry_differs_seconds": "Since when another node's registry has been a different one; 0: it is not",
    "outbox_oldest_seconds": "How long the oldest message has waited for another node",
    "homes_unreachable": "Agents with durable state whose home cannot be reached",
    "handovers": "Agents that are being moved from or to this node",
}
_COUNTERS: Final = {
    "forwarded": "Messages that another node took out of this one's outbox",
    "suppressed": "Messages that arrived from another node and were known already",
    "relayed": "Calls that went by way of a third node",
    "pull_bytes": "Bytes of records that were pulled from other nodes",
}
_PEER_GAUGES: Final = {
    "reachable": "The node can be reached, directly or through another",
    "direct": "The node can be reached over its own link",
    "rtt_seconds": "Time of the last heartbeat and its answer",
    "clock_offset_seconds": "The node's clock minus this one's",
    "registry_equal": "The node has the same records",
}


def cluster_metrics(prefix: str, figures: Mapping[str, Any]) -> Iterator[Metric]:
    """`figures` as the router's `cluster_figures` gives them; what is null there is left out."""
    for names, family in ((_GAUGES, GaugeMetricFamily), (_COUNTERS, CounterMetricFamily)):
        for name, words in names.items():
            if (value := figures.get(name)) is not None:
                yield family(f"{prefix}_cluster_{name}", words, value=float(value))
    yield gauges(f"{prefix}_cluster_members", "Nodes by what they are", "state", figures["members"])
    waiting = figures["outbox_messages"]
    yield gauges(f"{prefix}_cluster_outbox_messages", "Messages that wait here for a node", "node", waiting)
    for name, words in _PEER_GAUGES.items():
        values = {node: peer[name] for node, peer in figures["peers"].items() if peer[name] is not None}
        yield gauges(f"{prefix}_cluster_peer_{name}", words, "node", values)
    yield _link_bytes(prefix, figures["peers"])


def _link_bytes(prefix: str, peers: Mapping[str, Mapping[str, float]]) -> Metric:
    family = CounterMetricFamily(
        f"{prefix}_cluster_link_bytes", "Bytes over this node's link to another", labels=["node", "direction"]
    )
    for node, peer in sorted(peers.items()):
        family.add_metric([node, "sent"], peer["bytes_sent"])
        family.add_metric([node, "received"], peer["bytes_received"])
    return family
