"""Quotas of namespaces: an attack on each. What was accepted is not lost, and another namespace notices nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.namespaces import NamespaceSet, Quota
from caxton.protocol.operations import DeadPurge, Invoke, Listing, Named, Remove, Submit
from support import router_agents as agents
from support.desk_node import RouterNode, deploy, invoke, message, refusal, until
from support.router_client import RouterClient
from support.router_modules import SILENT

MANY = 40


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode(messaging={"max_deliveries": 1}) as made:
        yield made


@pytest.fixture
def client(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as made:
        yield made
    with node.client() as made:  # the router may be another one now
        assert made.call("ledger")["node"]["imbalance"] == 0


def limit(client: RouterClient, namespace: str, **quota: Any) -> Any:
    return client.call("namespace.set", NamespaceSet(namespace, Quota(**quota)))["usage"]


def usage(client: RouterClient, namespace: str) -> Any:
    return client.call("namespace.get", Named(namespace))["usage"]


def codes(client: RouterClient, receiver: str, count: int, content: bytes = b"{}") -> list[str | None]:
    """What became of that many messages in one batch: None = accepted."""
    items = client.call("submit", Submit([message(receiver, content) for _ in range(count)]))
    return [item.get("error", {}).get("code") for item in items]


def counters(client: RouterClient, name: str) -> Any:
    return client.call("agent.get", Named(name))["counters"]


def test_agents(client: RouterClient) -> None:
    limit(client, "small", agents=1)
    deploy(client, "small/one", SILENT)
    with pytest.raises(CaxtonError) as caught:
        deploy(client, "small/two", SILENT)
    assert caught.value.code is Code.RESOURCE_LIMIT_EXCEEDED
    assert caught.value.details["quota"] == "agents"
    deploy(client, "large/one", SILENT)
    deploy(client, "large/two", SILENT)
    assert usage(client, "small")["refused"]["agents"] == 1
    client.call("agent.remove", Remove("small/one"))
    deploy(client, "small/two", SILENT)


def test_messages_of_clients(client: RouterClient) -> None:
    for name in ("flood/count", "calm/count"):
        deploy(client, name, agents.COUNTER)
    limit(client, "flood", messages_per_second=5.0)
    found = codes(client, "flood/count", MANY)
    assert set(found) == {None, Code.RATE_LIMITED}
    assert codes(client, "calm/count", MANY) == [None] * MANY
    refused = refusal(client, "invoke", Invoke(message("flood/count"), 5.0))
    assert (refused.code, refused.details["retry_after_seconds"]) == (Code.RATE_LIMITED, 1)
    accepted = found.count(None)
    until(lambda: counters(client, "flood/count")["done"] >= accepted)
    assert counters(client, "calm/count")["accepted"] == MANY


def test_messages_of_agents_wait_and_none_is_lost(client: RouterClient) -> None:
    deploy(client, "chatty/sends", agents.sender("chatty/count", MANY))
    deploy(client, "chatty/count", agents.COUNTER)
    deploy(client, "quiet/echo", agents.ECHO)
    limit(client, "chatty", messages_per_second=20.0)
    assert codes(client, "chatty/sends", 1) == [None]
    until(lambda: usage(client, "chatty")["held"])
    assert codes(client, "chatty/count", 1) == [Code.RATE_LIMITED]
    assert invoke(client, "quiet/echo")["performative"] == "inform"
    until(lambda: counters(client, "chatty/count")["done"] == MANY)
    assert usage(client, "chatty")["messages"] == MANY + 1


def test_who_pays_is_who_sends(client: RouterClient) -> None:
    """An agent of another namespace that may send everywhere uses up its own messages, not the receiver's."""
    deploy(client, "victim/count", agents.COUNTER)
    deploy(client, "villain/sends", agents.sender("victim/count", MANY))
    limit(client, "victim", messages_per_second=5.0)
    assert codes(client, "villain/sends", 1) == [None]
    until(lambda: counters(client, "victim/count")["done"] == MANY)
    assert usage(client, "victim")["messages"] == 0
    assert codes(client, "victim/count", 2) == [None, None]


def test_stored_bytes_of_mail_are_counted_across_a_restart(node: RouterNode, client: RouterClient) -> None:
    content = b'"%s"' % (b"x" * 5_000)
    deploy(client, "hoard/trap", agents.TRAP)
    deploy(client, "spare/trap", agents.TRAP)
    limit(client, "hoard", stored_bytes=20_000)
    found = codes(client, "hoard/trap", 10, content)
    assert found == [None] * 3 + [Code.RESOURCE_LIMIT_EXCEEDED] * 7
    assert codes(client, "spare/trap", 10, content) == [None] * 10
    until(lambda: counters(client, "hoard/trap")["dead"] == 3)
    assert usage(client, "hoard")["stored_bytes"] == 3 * (5_002 + 200)
    node.kill_router()
    node.start_router()
    with node.client() as again:
        until(lambda: again.call("agent.get", Named("hoard/trap"))["status"] == "running")
        assert codes(again, "hoard/trap", 1, content) == [Code.RESOURCE_LIMIT_EXCEEDED]
        assert again.call("dead.purge", DeadPurge(agent="hoard/trap")) == {"count": 3}
        until(lambda: codes(again, "hoard/trap", 1, content) == [None])


def test_stored_bytes_of_what_executions_do(client: RouterClient) -> None:
    for name in ("full/count", "full/box", "room/count"):
        deploy(client, name, agents.COUNTER)
    deploy(client, "full/sends", agents.sender("full/box"))
    limit(client, "full", stored_bytes=0)
    for name in ("full/count", "full/sends"):
        failed = invoke(client, name)
        assert (failed["performative"], failed["content"]["code"]) == ("failure", Code.RESOURCE_LIMIT_EXCEEDED), name
    assert client.call("agent.state", Listing(name="full/count"))["items"] == []
    assert counters(client, "full/box").get("accepted", 0) == 0
    assert invoke(client, "room/count")["performative"] != "failure"
    assert codes(client, "full/count", 1) == [Code.RESOURCE_LIMIT_EXCEEDED]
    client.call("namespace.remove", Named("full"))
    assert codes(client, "full/count", 1) == [None]


def test_cpu_time_makes_messages_wait(client: RouterClient) -> None:
    deploy(client, "burns/spin", agents.SPIN, limits={"cpu_time_seconds": 0.2})
    deploy(client, "burns/count", agents.COUNTER)
    deploy(client, "cool/echo", agents.ECHO)
    limit(client, "burns", cpu_seconds_per_minute=0.1)
    assert codes(client, "burns/spin", 1) == [None]
    until(lambda: usage(client, "burns")["held"])
    assert usage(client, "burns")["cpu_seconds"] >= 0.1
    waiting = message("burns/count")
    assert "error" not in client.call("submit", Submit([waiting]))[0]
    assert invoke(client, "cool/echo")["performative"] == "inform"
    assert client.call("message.get", Named(waiting.message_id))["state"] == "pending"
    assert not limit(client, "burns", cpu_seconds_per_minute=60.0)["held"]
    until(lambda: client.call("message.get", Named(waiting.message_id))["state"] == "done")


def test_quotas_outlive_the_router_and_a_wrong_name_is_refused(node: RouterNode, client: RouterClient) -> None:
    limit(client, "lasting", agents=3, stored_bytes=1_000)
    node.kill_router()
    node.start_router()
    with node.client() as again:
        view = again.call("namespace.get", Named("lasting"))
        assert view["quota"] == {"agents": 3, "stored_bytes": 1_000}
        assert refusal(again, "namespace.set", NamespaceSet("Not One", Quota())).code is Code.INVALID_REQUEST
        again.call("namespace.remove", Named("lasting"))
        assert refusal(again, "namespace.get", Named("lasting")).code is Code.NOT_FOUND
