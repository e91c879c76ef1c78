"""Three booted machines are one cluster: deployed once, called anywhere; one drained, one gone, nothing lost.

The tests are steps of one story and run in their order.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from checks import site
from checks.client import Client
from checks.pressure import load
from checks.token import token
from checks.waiting import until
from lab.labs import Lab
from support.wat import ECHO, TALLY

testinfra_hosts = ["ansible://caxton_balancers"]
NODES = {"node1": "10.42.2.11", "node2": "10.42.2.12", "node3": "10.42.2.13"}
HAPROXY = "10.42.2.21"
LAB = Lab("cluster")
INVOKE = json.dumps({"content": 1, "delivery": "durable"})
EVERYWHERE = "everywhere"
CAXTON = ("env", "HOME=/root", "caxton")
"""Root's key is in root's home."""
KEEPING = [f"keeping-{number}" for number in range(6)]


def node(name: str) -> Client:
    return site.directly(NODES[name], bearer=token())


def caxton(host: str, *words: str) -> tuple[int, Any]:
    """Exit status and JSON of a verb in a machine, as root there."""
    done = LAB.run(host, *CAXTON, *words, "--output", "json")
    return done.returncode, json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else None


def view(host: str) -> dict[str, Any]:
    found: dict[str, Any] = caxton(host, "cluster", "status")[1]
    return found


def is_whole(host: str) -> bool:
    return LAB.run(host, *CAXTON, "cluster", "status", "-q").returncode == 0


def answers(name: str, agent: str) -> bool:
    try:
        return node(name).post(f"/api/v1/agents/{agent}/invoke", {"content": 1}).status == 200
    except OSError:
        return False


def balanced() -> bool:
    status, books = caxton("node1", "ledger", "--cluster")
    return status == 0 and books["balanced"] and len(books["nodes"]) == len(NODES)


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    """Every test finds the cluster whole, and leaves it so."""
    yield
    for name in NODES:
        LAB.start(name)
        until(lambda name=name: is_whole(name), f"{name} sees no whole cluster again")


def test_every_node_sees_every_other() -> None:
    for host in NODES:
        until(lambda host=host: is_whole(host), f"{host} sees no whole cluster")
        members = {member["node_id"]: member["path"] for member in view(host)["members"]}
        assert members == dict.fromkeys(NODES, "direct") | {host: "self"}


def test_what_is_deployed_once_is_called_through_every_node() -> None:
    if node("node1").get(f"/api/v1/agents/{EVERYWHERE}").status == 404:
        node("node1").deploy(EVERYWHERE, ECHO, instance="per_message", replicas="all")
    for name in KEEPING:
        node("node2").ensure(name, TALLY)
    for host in NODES:
        for agent in (EVERYWHERE, *KEEPING):
            until(lambda host=host, agent=agent: answers(host, agent), f"{agent} does not answer through {host}")
    homes = {member["node_id"]: member["homes"] for member in view("node1")["members"]}
    assert sum(homes.values()) >= len(KEEPING)
    assert balanced()


def test_a_drained_node_costs_no_request_and_no_state() -> None:
    before = {name: node("node1").invoke(name, None) for name in KEEPING}
    with load(HAPROXY, f"/api/v1/agents/{KEEPING[0]}/invoke", body=INVOKE, rate=15) as total:
        plan = caxton("node3", "plan", "drain", "node2")[1]
        assert {move["giver"] for move in plan["moves"]} <= {"node2"}
        assert caxton("node3", "cluster", "drain", "node2")[0] == 0
        assert not is_whole("node3")
        assert {one["node_id"]: one["homes"] for one in view("node3")["members"]}["node2"] == 0
        assert LAB.run("node3", *CAXTON, "cluster", "undrain", "node2").returncode == 0
    assert total.ok > 50
    assert total.failed == 0, total
    for name in KEEPING[1:]:
        assert node("node1").invoke(name, None) == before[name] + 1
    until(balanced, "the ledgers do not add up")


def test_the_key_of_gossip_is_exchanged_while_they_work() -> None:
    (before,) = gossip_keys("node1")
    (site.state() / "encrypt_key").write_text(f"{secrets.token_hex(16)}\n")
    with load(HAPROXY, f"/api/v1/agents/{EVERYWHERE}/invoke", body=INVOKE, rate=5) as total:
        site.playbook("rotate_secrets")
    assert total.ok > 50
    assert total.failed == 0, total
    (after,) = gossip_keys("node3")
    assert after["fingerprint"] != before["fingerprint"]
    for host in NODES:
        until(lambda host=host: is_whole(host), f"{host} sees no whole cluster")


def gossip_keys(host: str) -> list[dict[str, Any]]:
    """On all nodes, as one of them is told."""
    found = caxton(host, "gossip", "keys", "list")[1]
    assert {key["nodes"] for key in found["keys"]} == {found["nodes"]} == {len(NODES)}
    return list(found["keys"])


def test_a_machine_that_is_gone_is_answered_for_by_the_others() -> None:
    LAB.kill("node3")
    try:
        until(lambda: answers("node1", EVERYWHERE) and answers("node2", EVERYWHERE), "nobody answers for it")
        until(lambda: not is_whole("node1"), "node1 does not miss it")
        status, books = caxton("node1", "ledger", "--cluster")
        assert (status, books["missing"]) == (1, ["node3"])
        assert view("node1")["majority"]
    finally:
        LAB.start("node3")
    until(lambda: is_whole("node1"), "node3 does not come back")
    for agent in KEEPING:
        until(lambda agent=agent: answers("node3", agent), f"{agent} does not answer")
    until(balanced, "the ledgers do not add up")
    (report,) = [one for one in caxton("node1", "cluster", "report")[1] if one["node"] == "node3"][:1]
    assert report["until"] is not None
