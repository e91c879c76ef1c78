"""What a node's /metrics says, one sample at a time.

Owns reading the text. Must never know what a metric means.
"""

from __future__ import annotations

import httpx

from support.node import Node


def sample(node: Node, series: str) -> float:
    """The value of a series, its labels included as they are written; 0 when it is not there."""
    lines = httpx.get(f"{node.metrics_url}/metrics", timeout=30).text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{series} ")), 0.0)
