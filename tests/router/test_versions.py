"""Versions of an agent: updates without a gap, refusals that change nothing, rollbacks that compile nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Named, Stop
from support.desk_node import RouterNode, deploy, invoke, refusal, until
from support.router_client import RouterClient
from support.router_modules import BAD_INIT, CONSTANT, COUNTER, KEYS, TRAP, wasm
from support.versions import answering, rollback, update


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode(runtime={"executor_workers": 1, "agent_startup_timeout": "2s"}) as started:
        yield started


@pytest.fixture
def client(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as connected:
        yield connected


def test_an_update_serves_the_new_module_from_its_answer_on(client: RouterClient) -> None:
    first = deploy(client, "one", answering(1))
    view = update(client, "one", answering(2))
    assert (view["version"], view["status"]) == (2, "running")
    assert view["etag"] != first["etag"]
    assert view["resources"]["incarnation"] > first["resources"]["incarnation"]
    assert [invoke(client, "one")["content"] for _ in range(3)] == [2, 2, 2]
