from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from api.nodes import Node, make_node


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """An open node with the tiny router behind it."""
    made = make_node(admin=True)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def guarded() -> Iterator[Node]:
    """A node with authentication."""
    made = make_node(auth=True, admin=True)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def flask_node() -> Iterator[Node]:
    """A node whose hot routes go through Flask too."""
    made = make_node(short_cut=False)
    yield made
    made.stop()


@pytest.fixture
def http(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of `node`, or of the node that the test's `BOTH_WAYS` names."""
    node: Node = request.getfixturevalue(getattr(request, "param", "node"))
    with httpx.Client(base_url=f"{node.url}/api/v1", timeout=20) as client:
        yield client


@pytest.fixture
def admin(node: Node) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{node.admin_url}/api/v1/admin", timeout=20) as client:
        yield client


@pytest.fixture
def echo(http: httpx.Client) -> Iterator[str]:
    """A deployed agent."""
    assert http.post("/agents", json={"name": "echo", "wat": "(module)"}).status_code == 201
    yield "echo"
    http.delete("/agents/echo")
