"""What is decided on one of three real nodes holds on all: agents run where they are placed, keys and quotas count.

Steps of one story, in their order.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caxton.cluster.placement import rank
from caxton.cluster.registry.clock import stamp
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.keys import UNBOUND
from caxton.protocol.namespaces import NamespaceSet, Quota
from caxton.protocol.operations import Events, Invoke, Item, KeyCreate, Listing, Named, Remove, Stop, TokenRevoke
from caxton.protocol.peers import AgentRecord
from caxton.protocol.secrets import SecretSet
from caxton.protocol.talks import Subscribe
from caxton.protocol.versions import ConfigChange, Rollback, Update
from caxton.store import Reader
from support import broken_host
from support.broken_host import BrokenHost
from support.desk_node import message
from support.forwarding_nodes import NAMES, PATIENCE, Member, Nodes, named_for, until
from support.router_client import RouterClient
from support.router_modules import CAT, ECHO, KEYS, wasm

pytestmark = [
    pytest.mark.skipif(shutil.which("serf") is None, reason="serf is not installed: make host"),
    pytest.mark.timeout(300),  # three whole nodes, some of which are started a second time
]
OTHER = CAT.replace('(memory (export "memory") 2)', '(memory (export "memory") 3)')
THIRD = CAT.replace('(memory (export "memory") 2)', '(memory (export "memory") 4)')


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> BrokenHost:
    """Of the third node."""
    home = tmp_path_factory.mktemp("host")
    return BrokenHost(broken_host.build(home), home / "broken")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, host: BrokenHost) -> Iterator[Nodes]:
    home = tmp_path_factory.mktemp("authority")
    key = home / "secrets_key"
    key.write_text(base64.b64encode(os.urandom(32)).decode())
    key.chmod(0o600)
    made = Nodes(CAXTON_SECURITY__SECRETS_KEY_FILE=str(key))
    made["n3"].node.environ |= host.environ
    try:
        yield made.start()
    except BaseException:
        print(made.logs())
        raise
    finally:
        made.close()


def database(member: Member) -> Path:
    found = list(member.node.directory.rglob("local.db"))
    assert len(found) == 1
    return found[0]


def here(member: Member, name: str) -> tuple[str, int] | None:
    """Status and version of the agent on this very node; None: it is not there."""
    reader = Reader(database(member))
    try:
        return next(((row.status.value, row.version) for row in reader.agents() if row.name == name), None)
    finally:
        reader.close()


def everywhere(nodes: Nodes, holds: Callable[[Member], Any], what: str) -> None:
    for member in nodes:
        until(lambda one=member: holds(one), f"{member.name}: {what}", PATIENCE)


def says(member: Member, name: str, content: bytes) -> Any:
    return member.call("invoke", Invoke(message(name, content), 20.0))["reply"]["content"]


def has_module(member: Member, module: str) -> bool:
    return (database(member).parent / "modules" / sha256(wasm(module)).hexdigest()).is_file()


def end(*members: Member) -> None:
    """Whole nodes are gone, each in order, all at the same time."""
    processes = [member.node.process for member in members if member.node.process is not None]
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        process.wait(PATIENCE)
    for member in members:
        member.forget()


def test_replicas_on_all_nodes(nodes: Nodes) -> None:
    nodes.deploy("n1", "cat", CAT, replicas="all")
    everywhere(nodes, lambda member: here(member, "cat") == ("running", 1), "the replica runs")
    for member in nodes:
        assert says(member, "cat", b'"here"') == "here"
    assert len({member.call("agent.get", Named("cat"))["agent_id"] for member in nodes}) == 1


def test_another_version_and_back(nodes: Nodes) -> None:
    nodes["n2"].call("agent.update", Update("cat", ConfigChange(), wasm(OTHER), wait_seconds=PATIENCE))
    everywhere(nodes, lambda member: here(member, "cat") == ("running", 2), "the new version runs")
    nodes["n3"].call("agent.rollback", Rollback("cat"))
    everywhere(nodes, lambda member: here(member, "cat") == ("running", 1), "the old version runs")


def test_stopped_and_started(nodes: Nodes) -> None:
    nodes["n2"].call("agent.stop", Stop("cat"))
    everywhere(nodes, lambda member: here(member, "cat") == ("stopped", 1), "it is stopped")
    nodes["n1"].call("agent.start", Named("cat"))
    everywhere(nodes, lambda member: here(member, "cat") == ("running", 1), "it runs again")


def test_what_keeps_something_has_one_home_and_others_have_its_module(nodes: Nodes) -> None:
    for module in (ECHO, KEYS):
        with pytest.raises(CaxtonError) as refused:
            nodes.deploy("n1", "many", module, replicas=2)
        assert (refused.value.code, refused.value.details["path"]) == (Code.INVALID_REQUEST, "replicas")
    with pytest.raises(CaxtonError) as refused:
        nodes.deploy("n1", named_for("n1", "pinned"), CAT, node="n9")
    assert (refused.value.code, refused.value.details["path"]) == (Code.INVALID_REQUEST, "node")
    name = named_for("n2", "keeper")
    nodes.deploy("n1", name, KEYS)
    everywhere(nodes, lambda member: has_module(member, KEYS), "the module is there, should the home be lost")
    assert [here(member, name) is not None for member in nodes] == [False, True, False]


def test_keys_tokens_quotas_secrets_and_subscriptions(nodes: Nodes) -> None:
    one, two, three = nodes
    key = one.call("key.create", KeyCreate("alice", UNBOUND))["key_id"]
    everywhere(nodes, lambda member: _key(member, key) is not None, "the key is known")
    two.call("key.revoke", Named(key))
    everywhere(nodes, lambda member: (_key(member, key) or {}).get("revoked_at"), "the key is revoked")
    three.call("token.revoke", TokenRevoke("a-token"))
    everywhere(nodes, lambda member: member.call("token.lookup", Named("a-token"))["revoked"], "the token is revoked")
    one.call("namespace.set", NamespaceSet("team", Quota(agents=3)))
    everywhere(nodes, lambda member: _quota(member, "team") == 3, "the quota holds")
    two.call("namespace.remove", Named("team"))
    everywhere(nodes, lambda member: _quota(member, "team") is None, "the quota is gone")
    two.call("secret.set", SecretSet("token", b"what nobody guesses"))
    everywhere(nodes, lambda member: _secrets(member) == [("token", True)], "the secret is there, and readable")
    three.call("secret.remove", Named("token"))
    everywhere(nodes, lambda member: _secrets(member) == [], "the secret is gone")
    three.call("topic.subscribe", Subscribe("news", "cat"))
    everywhere(nodes, lambda member: _count(member, "news") == 1, "the subscription is known")
    one.call("topic.subscribe", Subscribe("news", "cat", on=False))
    everywhere(nodes, lambda member: _count(member, "news") == 0, "the subscription has ended")


def test_what_a_clock_far_ahead_writes_is_refused_and_told_until_its_time_has_come(
    nodes: Nodes, host: BrokenHost
) -> None:
    one, three = nodes["n1"], nodes["n3"]
    with RouterClient(one.socket, PATIENCE) as listener:
        listener.send("events", Events(["node.clock_ahead"]))
        host.clock(75)
        event = listener.receive()
    assert isinstance(event, Item)
    told = msgspec.json.decode(event.item)["data"]
    assert told["node"] == "n3"
    assert 60 < told["seconds"] < 90
    until(lambda: ("clock", "n3") in _problems(one), "the status names it", PATIENCE)
    examined = msgspec.json.decode(one.node.cli("doctor", "--check", "cluster", "--output", "json").stdout)["checks"]
    found = {(check["name"], check["status"]) for check in examined if "n3" in check["detail"]}
    assert {("cluster", "fail"), ("clocks of the cluster", "warn")} <= found
    key = until(lambda: three.decided("key.create", KeyCreate("early", UNBOUND)), "a key is made", PATIENCE)["key_id"]
    host.clock(0)
    until(lambda: "sent records of n3" in one.node.log, "its record is refused, and that is told", PATIENCE)
    assert _key(one, key) is None
    everywhere(nodes, lambda member: _key(member, key), "its time has come")
    until(lambda: ("clock", "n3") not in _problems(one), "all is well", PATIENCE)


def _problems(member: Member) -> list[tuple[str, str | None]]:
    return [(one["problem"], one.get("node")) for one in member.call("cluster.status")["problems"]]


def _key(member: Member, key_id: str) -> dict[str, Any] | None:
    try:
        return dict(member.call("key.lookup", Named(key_id)))
    except CaxtonError as error:
        if error.code is Code.KEY_NOT_FOUND:
            return None
        raise


def _quota(member: Member, name: str) -> Any:
    try:
        return member.call("namespace.get", Named(name))["quota"].get("agents")
    except CaxtonError as error:
        if error.code is Code.NOT_FOUND:
            return None
        raise


def _secrets(member: Member) -> list[tuple[str, bool]]:
    return [(one["name"], one["readable"]) for one in member.call("secret.list", Listing())["items"]]


def _count(member: Member, topic: str) -> int:
    return int(member.call("topic.get", Named(topic))["count"])


def test_one_replica_is_on_the_next_node_when_its_own_is_gone(nodes: Nodes) -> None:
    first, second, _ = rank("single", NAMES)
    nodes.deploy("n1", "single", CAT)
    assert here(nodes[first], "single") == ("running", 1)
    everywhere(nodes, lambda member: has_module(member, CAT), "the module is there")
    kept = named_for(first, "kept")
    nodes.deploy("n1", kept, CAT, replicas="all")
    everywhere(nodes, lambda member: here(member, kept) == ("running", 1), "its replica runs")
    end(nodes[first])
    until(lambda: here(nodes[second], "single") == ("running", 1), "the next node runs it", PATIENCE)
    nodes[second].call("agent.remove", Remove("cat"))  # what the node that is gone does not see
    left = next(member for member in nodes if member.name not in (first, second))
    for module in (OTHER, THIRD):
        update = Update(kept, ConfigChange(), wasm(module), wait_seconds=PATIENCE)
        until(lambda asked=update: left.decided("agent.update", asked), "another version", PATIENCE)
    key = until(lambda: left.decided("key.create", KeyCreate("bob", UNBOUND)), "a key is made", PATIENCE)["key_id"]
    _say_of_the_future(nodes[first])
    nodes[first].node.launch()
    nodes.whole()
    until(lambda: here(nodes[first], "cat") is None, "what was removed meanwhile has gone", PATIENCE)
    until(lambda: here(nodes[first], "single") == ("running", 1), "it is back where it belongs", PATIENCE)
    until(lambda: here(nodes[second], "single") is None, "and nowhere else", PATIENCE)
    assert _key(nodes[first], key) is not None
    until(lambda: _versions(nodes[first], kept) == [1, 2, 3], "what it can go back to is there", PATIENCE)
    until(lambda: here(nodes[first], kept) == ("running", 3), "it runs what the others run", PATIENCE)
    until(lambda: nodes[first].decided("agent.rollback", Rollback(kept, version=2)), "it goes back", PATIENCE)
    everywhere(nodes, lambda member: here(member, kept) == ("running", 2), "to what this node had never run")
    everywhere(nodes, lambda member: _versions(member, kept) == [1, 2, 3], "and nothing is lost")


def _versions(member: Member, name: str) -> list[int]:
    reader = Reader(database(member))
    try:
        return [row.version for row in reader.versions(name)]
    finally:
        reader.close()


def _say_of_the_future(member: Member) -> None:
    """The node, which is down, has a record of an agent that only a newer release can run."""
    with closing(sqlite3.connect(database(member))) as connection, connection:
        body = connection.execute("SELECT body FROM registry WHERE kind = 'agent' AND name = 'single'").fetchone()[0]
        known = msgspec.msgpack.decode(body, type=AgentRecord)
        config = msgspec.json.encode({"name": "newer", "gravity": "reversed"})
        newer = msgspec.structs.replace(known, name="newer", agent_id="id", config=config, replicas="all")
        values = ("agent", "newer", stamp(time.time()), member.name, msgspec.msgpack.encode(newer))
        connection.execute("INSERT INTO registry VALUES (?, ?, ?, ?, ?)", values)


def test_what_this_release_cannot_read_is_kept_and_not_run(nodes: Nodes) -> None:
    everywhere(nodes, lambda member: "newer" in _records(member), "the record is there")
    nodes.deploy("n1", "after", CAT, replicas="all")
    everywhere(nodes, lambda member: here(member, "after") == ("running", 1), "other agents come up")
    for member in nodes:
        assert here(member, "newer") is None
        assert msgspec.msgpack.decode(_records(member)["newer"])["config"].find(b"gravity") > 0


def _records(member: Member) -> dict[str, bytes]:
    """The living records of agents."""
    reader = Reader(database(member))
    try:
        return {one.name: one.body for one in reader.registry() if one.kind == "agent" and one.body is not None}
    finally:
        reader.close()


def test_a_node_that_returns_after_a_week_brings_nothing_back(nodes: Nodes) -> None:
    """Nobody has the tombstone of `after` any more."""
    one, two, three = nodes
    end(three)
    until(lambda: two.decided("agent.remove", Remove("after")), "it is removed", PATIENCE)
    for member in (one, two):
        until(lambda one=member: here(one, "after") is None, "it has gone", PATIENCE)
        until(lambda one=member: "after" not in _records(one), "its record has gone", PATIENCE)
    end(one, two)
    for member in (one, two):
        with closing(sqlite3.connect(database(member))) as connection, connection:
            gone = connection.execute("SELECT writer, hlc FROM registry WHERE name = 'after'").fetchone()
            connection.execute("DELETE FROM registry WHERE name = 'after'")
            connection.execute("UPDATE registry_writer SET collected = ? WHERE writer = ?", (gone[1], gone[0]))
            assert connection.execute("SELECT count(*) FROM registry_writer WHERE collected > 0").fetchone()[0] == 1
    assert here(three, "after") == ("running", 1)
    for member in nodes:
        member.node.launch()
    nodes.whole()
    until(lambda: here(three, "after") is None, "the returned node has ended it", PATIENCE)
    for member in nodes:
        assert "after" not in _records(member)
        assert here(member, "after") is None
    everywhere(nodes, lambda member: member.call("ledger")["node"]["imbalance"] == 0, "the ledger balances")
