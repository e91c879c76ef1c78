from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from api.checks import BASE, settle

from support import wat
from support.credentials import GUARDED, KEY_HEADER, make_key
from support.node import Node, running_node

_numbers = itertools.count(1)
Deploy = Callable[..., str]


@contextmanager
def brief_node(**settings: Any) -> Iterator[Node]:
    """A running node that is killed at the end: how a node ends in order is for tests/serve to show."""
    with running_node(**settings) as made:
        yield made
        made.kill_everything()


@contextmanager
def furnished(**settings: Any) -> Iterator[Node]:
    """A `brief_node` with the agent `echo`."""
    with brief_node(**settings) as made:
        made.deploy("echo", wat.ECHO)
        yield made


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """An open node where a message that fails is dead at once."""
    with furnished(messaging={"max_deliveries": 1}) as made:
        yield made


@pytest.fixture(scope="session")
def flask_node() -> Iterator[Node]:
    """A node whose hot routes go through Flask too."""
    with furnished(environ={"CAXTON_API_SHORT_CUT": "off"}) as made:
        yield made


@pytest.fixture(scope="session")
def guarded() -> Iterator[Node]:
    """A node with authentication; its client has a key of subject alice."""
    with brief_node(security=GUARDED) as made:
        made.client.headers[KEY_HEADER] = make_key(made, "alice")["key"]
        made.deploy("echo", wat.ECHO)
        yield made


@pytest.fixture(scope="session")
def small() -> Iterator[Node]:
    """A node with room for little: 5 messages in a mailbox, 20 in all, 3 agents."""
    with furnished(messaging={"mailbox_size": 5, "queue_size": 20}, runtime={"max_agents": 3}) as made:
        yield made


@pytest.fixture
def http(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of `node`, or of the node that the test's `BOTH_WAYS` names."""
    node: Node = request.getfixturevalue(getattr(request, "param", "node"))
    with httpx.Client(base_url=node.url + BASE, timeout=60, verify=False) as client:
        yield client


@pytest.fixture
def admin(node: Node) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{node.admin_url}{BASE}/admin", timeout=20, verify=False) as client:
        yield client


@pytest.fixture
def deploy(http: httpx.Client) -> Iterator[Deploy]:
    """Deploys an agent under a name of its own and gives the name; it is removed afterwards."""
    names: list[str] = []

    def made(text: str, **config: Any) -> str:
        name = f"a{next(_numbers)}"
        answer = http.post("/agents", json={"name": name, "wat": text, **config})
        names.append(name)
        assert answer.status_code in (201, 202), answer.text
        settle(http, f"/agents/{name}", "running", "status")  # a busy machine compiles for longer than a second
        return name

    yield made
    for name in names:
        http.delete(f"/agents/{name}", params={"purge": "true"})


@pytest.fixture
def paused(admin: httpx.Client) -> Iterator[Callable[[], object]]:
    """`node` starts no execution; what it gives ends that before the test does."""
    assert admin.post("/pause").status_code == 200
    yield lambda: admin.post("/resume")
    assert admin.post("/resume").status_code == 200
