"""Real nodes behind each engine, TLS from end to end: events, deployments, failures, a node that stops under load."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.sync.client import connect

from support.authority import Authority
from support.balancers import Balancer, balancing
from support.node import Node, running_node
from support.wat import ECHO

from .test_options import tls_to_nodes


@pytest.fixture(scope="module")
def real(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Balancer, dict[str, Node]]]:
    authority = Authority(tmp_path_factory.mktemp("nodes"))
    trusted = {"auth_enabled": False, "trusted_proxies": ["127.0.0.1"]}
    with ExitStack() as stack:
        nodes = {}
        for name in ("node1", "node2"):
            pair = authority.issue(name)
            tls = {"tls_enabled": True, "tls_cert_path": pair.certificate, "tls_key_path": pair.key}
            made = running_node(trust=authority.context(), security=trusted, networking=tls)
            nodes[name] = stack.enter_context(made)
        ports = {name: node.port for name, node in nodes.items()}
        variables = {"caxton_lb_affinity": "uri", **tls_to_nodes(authority.certificate)}
        yield stack.enter_context(balancing(engine, ports, **variables)), nodes


def test_events_arrive_while_they_happen(real: tuple[Balancer, dict[str, Node]]) -> None:
    balancer, nodes = real
    opened, arrived = threading.Event(), threading.Event()

    def listen() -> None:
        accept = {"Accept": "text/event-stream"}
        with balancer.client() as client, client.stream("GET", "/api/v1/events", headers=accept) as stream:
            for line in stream.iter_lines():
                opened.set()  # by a comment at once: nothing has happened yet
                if line == "event: agent.deployed":
                    arrived.set()
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    assert opened.wait(20)
    for node in nodes.values():  # the stream is one of them
        node.deploy("live", ECHO)
    assert arrived.wait(20)
    thread.join(20)


def test_events_arrive_over_a_websocket(real: tuple[Balancer, dict[str, Node]]) -> None:
    """Opened as by the console's page, whose origin has the balancer's port."""
    balancer, nodes = real
    place: Any = f"127.0.0.1:{balancer.https}"
    with connect(f"wss://{place}/ws", ssl=balancer.context(), origin=f"https://{place}") as client:  # type: ignore[arg-type]
        client.send('{"type":"auth"}')
        assert json.loads(client.recv(timeout=20))["type"] == "welcome"
        client.send('{"type":"subscribe","events":["agent.deployed"]}')
        assert json.loads(client.recv(timeout=20))["type"] == "subscribed"
        for node in nodes.values():  # the connection is to one of them
            node.deploy("watched", ECHO)
        assert json.loads(client.recv(timeout=60))["event"]["data"]["name"] == "watched"


def test_a_module_of_some_megabytes_is_deployed(real: tuple[Balancer, dict[str, Node]]) -> None:
    """More than either engine holds in memory."""
    balancer, _ = real
    data = '(data (i32.const 65536) "' + "a" * 900_000 + '")'
    wat = ECHO.replace('(memory (export "memory") 20)', '(memory (export "memory") 20) ' + data)
    with balancer.client() as client:
        answer = client.post("/api/v1/agents", json={"name": "large", "wat": wat}, timeout=90)
    assert answer.status_code in (201, 202), answer.text


def test_an_agents_failure_is_told_as_it_is(real: tuple[Balancer, dict[str, Node]]) -> None:
    balancer, nodes = real
    for node in nodes.values():
        node.deploy("trap", ECHO.replace("(call $reply (local.get 0) (local.get 1))", "unreachable"))
    with balancer.client() as client:
        answer = client.post("/api/v1/agents/trap/invoke", json={"content": 1})
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "AGENT_FAILED"
        assert client.get("/api/v1/agents/unknown").json()["error"]["code"] == "AGENT_NOT_FOUND"
    assert set(balancer.states().values()) == {"UP"}


def test_a_node_that_is_stopped_under_load(
    engine: str, real: tuple[Balancer, dict[str, Node]], during_load: Callable[..., dict[str, Any]]
) -> None:
    """`caxton serve` told to end, without a drain before: what it refuses while it stops is all that may be lost."""
    balancer, nodes = real
    for node in nodes.values():
        node.deploy("echo", ECHO)
    body = json.dumps({"content": 1}).encode()
    plan = balancer.plan(
        "/api/v1/agents/echo/invoke",
        method="POST",
        body=body,
        headers=(("Content-Type", "application/json"),),
        rate=30,
        seconds=8,
    )
    with balancer.client() as client:
        assert client.post("/api/v1/agents/echo/invoke", json={"content": 1}).status_code == 200
    report = during_load(plan, nodes["node1"].stop)
    nodes["node1"].start()
    balancer.until_state("node1", "UP")
    assert report["ok"] > 200, report
    assert set(report["kinds"]) <= {"status_503"}, report
    assert report["failed"] <= 30, report
