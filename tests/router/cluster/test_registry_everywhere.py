"""What is decided on one node counts on all: keys, revocations, quotas, secrets, capabilities, subscriptions."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from caxton.protocol.keys import UNBOUND
from caxton.protocol.namespaces import NamespaceSet, Quota
from caxton.protocol.operations import KeyCreate, KeyRotate, Named, TokenRevoke
from caxton.protocol.talks import CapabilityBody, CapabilitySet, Provider, Subscribe
from support.linked_desks import Desks, Linked, linked_desks, until
from support.router_modules import CAT


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 120))


async def revoked_at(node: Linked, key_id: str) -> float | None:
    """-1.0: the node does not know the key."""
    row = node.store.reader.api_key(key_id)
    return -1.0 if row is None else row.revoked_at


async def everywhere(cluster: Desks, holds: Any) -> None:
    """Waits until a question has the same good answer on every node that is up."""
    async with asyncio.timeout(20):
        while not all([await holds(node) for node in cluster if node.up]):
            await asyncio.sleep(0.01)


def test_what_is_decided_on_one_node_counts_on_all() -> None:
    async def test() -> None:
        async with linked_desks(3) as cluster:
            one, two, three = cluster
            await _keys(cluster, one, two, three)
            await _tokens(cluster, two)
            await _namespaces(cluster, one, three)
            await _talks(cluster, one, two)
            await _down(cluster, one, two, three)
            await cluster.equal()
            await cluster.all(lambda node: node.pulling.synced.is_set())
            for node in cluster:
                figures = node.pulling.figures()
                assert figures["news"] > 0
                assert figures["refused_ahead"] == figures["failed"] == 0

    run(test())


async def _keys(cluster: Desks, one: Linked, two: Linked, three: Linked) -> None:
    key = await one.ask("key.create", KeyCreate("alice", UNBOUND))

    async def good(node: Linked) -> bool:
        return await revoked_at(node, key["key_id"]) is None

    async def revoked(node: Linked) -> bool:
        return (await revoked_at(node, key["key_id"]) or 0) > 0

    await everywhere(cluster, good)
    await two.ask("key.revoke", Named(key["key_id"]))
    await everywhere(cluster, revoked)
    rotated = await one.ask("key.create", KeyCreate("bob", UNBOUND))
    await cluster.equal()
    cluster.cut(two, one, three)
    await two.ask("key.revoke", Named(rotated["key_id"]))
    await one.ask("key.rotate", KeyRotate(rotated["key_id"], 60.0))  # later, and it says nothing of an end
    cluster.heal()
    await cluster.equal()

    async def ended(node: Linked) -> bool:
        return (await revoked_at(node, rotated["key_id"]) or 0) > 0

    await everywhere(cluster, ended)


async def _tokens(cluster: Desks, two: Linked) -> None:
    await two.ask("token.revoke", TokenRevoke("a-token"))

    async def revoked(node: Linked) -> bool:
        return bool((await node.ask("token.lookup", Named("a-token")))["revoked"])

    await everywhere(cluster, revoked)


async def _namespaces(cluster: Desks, one: Linked, three: Linked) -> None:
    await one.ask("namespace.set", NamespaceSet("team", Quota(agents=3)))
    await cluster.all(lambda node: node.desk.core.accounts.named("team").quota.agents == 3)
    await three.ask("namespace.remove", Named("team"))
    await cluster.all(lambda node: node.desk.core.accounts.named("team").quota.agents is None)
    await cluster.all(lambda node: node.store.reader.namespaces.all() == [])


async def _talks(cluster: Desks, one: Linked, two: Linked) -> None:
    await one.deploy("reader", CAT)
    await one.ask("topic.subscribe", Subscribe("news", "reader"))
    await cluster.all(lambda node: "reader" in node.desk.core.talking.addressing.topics.subscribers("news"))
    body = CapabilityBody(providers=[Provider("reader", 7)])
    await one.ask("capability.set", CapabilitySet("reading", body))
    await cluster.all(lambda node: node.desk.core.talking.capabilities.registered("reading"))
    await one.ask("capability.remove", Named("reading"))
    await one.ask("topic.subscribe", Subscribe("news", "reader", on=False))
    await cluster.all(lambda node: not node.desk.core.talking.capabilities.registered("reading"))
    await cluster.all(lambda node: not node.desk.core.talking.addressing.topics.names())


async def _down(cluster: Desks, one: Linked, two: Linked, three: Linked) -> None:
    """A node that was down has it all when it is back, in rows and in memory."""
    await three.stop()
    key = await one.ask("key.create", KeyCreate("carol", UNBOUND))
    await two.ask("namespace.set", NamespaceSet("later", Quota(agents=1)))
    await three.boot()
    await until(lambda: three.desk.core.accounts.named("later").quota.agents == 1)
    await until(lambda: three.store.reader.api_key(key["key_id"]) is not None)
