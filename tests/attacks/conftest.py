from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from support import wat
from support.node import Node, running_node


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """A node with the agent `echo`, and no proxy that it trusts."""
    with running_node(messaging={"max_deliveries": 1}) as made:
        made.deploy("echo", wat.ECHO)
        yield made
        made.kill_everything()


@pytest.fixture
def http(node: Node) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=node.url + "/api/v1", timeout=60) as client:
        yield client
