"""A home that is gone: its agents wait, are adopted, or start afresh; and the old home comes back."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caxton.cluster.registry import is_moment
from caxton.cluster.registry.clock import stamp
from caxton.protocol.cluster_moves import Adopt
from caxton.protocol.errors import Code
from caxton.protocol.messages import Delivery
from caxton.protocol.operations import Invoke, Listing, Submit
from caxton.protocol.peers import AgentRecord, Record
from caxton.router.cluster.archive import read_archive
from caxton.store import Reader
from support.desk_node import message
from support.forwarding_nodes import Member, Nodes, until
from support.moving_homes import PATIENCE, handled, home, lives_on, recorder, send
from support.router_client import RouterClient
from support.router_modules import CAT
from support.serf_agents import SERF

pytestmark = pytest.mark.skipif(SERF is None, reason="serf is not installed")


@pytest.fixture(scope="module")
def nodes(request: pytest.FixtureRequest) -> Iterator[Nodes]:
    failed = request.session.testsfailed
    made = Nodes(CAXTON_COORDINATION__ON_OWNER_LOSS="restart")
    try:
        yield made.start()
    finally:
        if request.session.testsfailed > failed:
            print(made.logs())
        made.close()


def lose(member: Member) -> None:
    """The machine is gone, all processes at once."""
    assert member.node.process is not None
    for pid in (member.node.process.pid, *member.node.descendants()):
        os.kill(pid, signal.SIGKILL)
    member.node.process.wait(10)
    member.forget()


def is_out(nodes: Nodes, lost: str, by: str) -> bool:
    seen = nodes[by].call("cluster.status")
    return all(one["path"] == "none" for one in seen["members"] if one["node_id"] == lost) and seen["majority"]


def archives(member: Member, name: str) -> list[Path]:
    return sorted((member.node.directory / "data" / "archive").glob(f"{name}-*.agent"))


def copied(member: Member, to: Path) -> Path:
    """The database as a backup takes it: consistent, from a node that runs."""
    with (
        closing(sqlite3.connect(f"file:{member.node.directory / 'data' / 'local.db'}?mode=ro", uri=True)) as live,
        closing(sqlite3.connect(to)) as copy,
    ):
        live.backup(copy)
    return to


def record(member: Member, name: str) -> Record:
    reader = Reader(member.node.directory / "data" / "local.db")
    try:
        return next(one for one in reader.registry() if (one.kind, one.name) == ("agent", name))
    finally:
        reader.close()


def said(member: Member, name: str) -> AgentRecord:
    return msgspec.msgpack.decode(record(member, name).body or b"", type=AgentRecord)


def here(member: Member) -> set[str]:
    """Agents that are on this very node."""
    reader = Reader(member.node.directory / "data" / "local.db")
    try:
        return {row.name for row in reader.agents()}
    finally:
        reader.close()


def say(member: Member, agent: AgentRecord) -> None:
    """The node, which is down, has said so last, later than anybody."""
    values = stamp(time.time()), member.name, msgspec.msgpack.encode(agent), agent.name
    with closing(sqlite3.connect(member.node.directory / "data" / "local.db")) as connection, connection:
        connection.execute(
            "UPDATE registry SET hlc = ?, writer = ?, body = ? WHERE kind = 'agent' AND name = ?", values
        )


@pytest.mark.timeout(360)
def test_agents_of_a_lost_home_wait_or_are_adopted_and_the_old_home_archives_what_it_has(
    nodes: Nodes, tmp_path: Path
) -> None:
    waits = recorder(nodes, "waits", "n1", "n2", on_owner_loss="wait")
    saved = recorder(nodes, "saved", "n1", "n2", on_owner_loss="wait")
    clean = recorder(nodes, "clean", "n1", "n2", on_owner_loss="wait")
    anew = recorder(nodes, "anew", "n1", "n2")
    for name in (waits, saved, clean, anew):
        send(nodes["n1"], name, "aa", "ab")
        until(lambda one=name: handled(nodes, one) == ["aa", "ab"], "it has state")
    backup = copied(nodes["n1"], tmp_path / "backup.db")
    send(nodes["n1"], saved, "ac")
    until(lambda: handled(nodes, saved) == ["aa", "ab", "ac"], "it has gone on since the backup")
    refused = nodes["n2"].refusal("cluster.adopt", Adopt(saved, clean=True))
    assert refused.code is Code.CONFLICT, "its home is there"
    assert nodes["n2"].refusal("cluster.adopt", Adopt(saved)).code is Code.INVALID_REQUEST

    lose(nodes["n1"])
    until(lambda: is_out(nodes, "n1", "n2") and is_out(nodes, "n1", "n3"), "it is out", PATIENCE)
    for name in (waits, saved, clean, anew):
        send(nodes["n3"], name, "ba")
    lives_on_both(nodes, anew, "n2")
    until(lambda: handled_by(nodes["n2"], anew) == ["ba"], "it has begun afresh")
    assert nodes["n3"].refusal("cluster.adopt", Adopt(saved, str(tmp_path / "none.db"))).code is Code.BACKUP_INVALID
    adopted = nodes["n3"].call("cluster.adopt", Adopt(saved, str(backup)))
    assert (adopted["node"], adopted["giver"]) == ("n3", "n1")
    assert nodes["n2"].call("cluster.adopt", Adopt(clean, clean=True))["node"] == "n2"
    until(lambda: handled_by(nodes["n3"], saved) == ["aa", "ab", "ba"], "it goes on from the backup")
    until(lambda: handled_by(nodes["n2"], clean) == ["ba"], "it has begun anew")
    assert home(nodes["n3"], waits) is None, "it waits for its home"

    say(nodes["n1"], said(nodes["n1"], saved))  # in the minority that it was
    say(nodes["n1"], msgspec.structs.replace(said(nodes["n1"], waits), epoch=1))  # as an older release counts
    nodes.launch("n1")
    nodes.whole()
    until(lambda: handled(nodes, waits) == ["aa", "ab", "ba"], "what waited has arrived", PATIENCE)
    lives_on(nodes, waits, "n1")
    for name in (saved, clean, anew):
        until(lambda one=name: archives(nodes["n1"], one), f"the old home has archived {name}", PATIENCE)
    until(lambda: home(nodes["n1"], saved) in ("n2", "n3", "n1"), "and knows where it is")
    for member in nodes:
        until(lambda one=member: said(one, saved).epoch >= adopted["epoch"], "what an old home says is passed over")
        until(lambda one=member: is_moment(said(one, waits).epoch), "the epochs of an older release do not last")
    heading, pages = read_archive(archives(nodes["n1"], saved)[0])
    (keys,) = [page for page in pages if page.table == "key_value"]
    assert heading.agent == saved
    assert keys.rows[0][keys.columns.index("value")] == b"aaabac"
    send(nodes["n1"], saved, "ca")
    until(lambda: handled(nodes, saved) == ["aa", "ab", "ba", "ca"], "only the new home's state goes on")

    (archive,) = archives(nodes["n1"], clean)
    lose(nodes["n2"])
    until(lambda: is_out(nodes, "n2", "n1") and is_out(nodes, "n2", "n3"), "it is out", PATIENCE)
    assert nodes["n3"].refusal("cluster.adopt", Adopt(anew, str(archive))).code is Code.BACKUP_INVALID
    assert nodes["n3"].call("cluster.adopt", Adopt(clean, str(archive)))["giver"] == "n2"
    until(lambda: handled_by(nodes["n3"], clean) == ["aa", "ab"], "it goes on from what its first home archived")
    nodes.launch("n2")
    nodes.whole()
    until(lambda: archives(nodes["n2"], clean), "its second home has archived what it had", PATIENCE)
    send(nodes["n1"], clean, "ca")
    until(lambda: handled(nodes, clean) == ["aa", "ab", "ca"], "wherever it lives now")


def handled_by(member: Member, name: str) -> list[str]:
    page = member.call("agent.state", Listing(name=name))["items"]
    text = page[0]["value"] if page else ""
    return [text[at : at + 2] for at in range(0, len(text), 2)]


def lives_on_both(nodes: Nodes, name: str, node: str) -> None:
    for member in (nodes["n2"], nodes["n3"]):
        until(lambda one=member: home(one, name) == node, f"{member.name} knows that {name} is on {node}", PATIENCE)


def test_a_node_that_starts_alone_runs_nothing_that_could_have_been_adopted(nodes: Nodes) -> None:
    name = recorder(nodes, "alone", "n1", "n2")
    send(nodes["n1"], name, "aa")
    until(lambda: handled(nodes, name) == ["aa"], "it has state")
    nodes.deploy("n1", "goes-on", CAT, replicas="all")
    nodes.deploy("n1", "stops", CAT, replicas="all", partition_mode="stop")
    until(lambda: {"goes-on", "stops"} <= here(nodes["n1"]), "their replicas are here")
    for member in nodes:
        lose(member)
    nodes.launch("n1")
    send(nodes["n1"], name, "ab")
    for keyless in ("goes-on", "stops"):
        nodes["n1"].call("submit", Submit([message(keyless, b"ab")]))
    until(lambda: nodes["n1"].ledger()["goes-on"]["done"] == 1, "it runs in a minority", PATIENCE)
    time.sleep(4.0)  # nothing can be awaited: it is to do nothing
    assert nodes["n1"].ledger()[name]["pending"] == 1
    assert nodes["n1"].ledger()["stops"]["pending"] == 1, "it waits, because its own configuration says so"
    nodes.launch("n2")
    until(lambda: nodes["n1"].ledger()["stops"]["pending"] == 0, "with the majority it goes on", PATIENCE)
    until(lambda: nodes["n1"].ledger()[name]["pending"] == 0, "with one more it knows", PATIENCE)
    nodes.launch("n3")
    nodes.whole()
    assert handled(nodes, name) == ["aa", "ab"]


def test_who_waits_for_what_a_lost_home_has_gets_the_outcome_from_the_new_one(nodes: Nodes) -> None:
    """The new home does not know the message yet when it is asked; that is no reason to say that nobody does."""
    name = recorder(nodes, "awaited", "n1", "n3", on_owner_loss="wait")
    nodes["n1"].call("node.pause")
    with ThreadPoolExecutor() as pool:
        nodes["n1"].signal(signal.SIGSTOP)
        try:
            until(lambda: is_out(nodes, "n1", "n2"), "it is out of sight", PATIENCE)
            asked = pool.submit(invoked, nodes["n2"], name)
            until(lambda: counted(nodes["n2"], name, "pending") == 1, "n2 keeps the message", PATIENCE)
        finally:
            nodes["n1"].signal(signal.SIGCONT)
        until(lambda: counted(nodes["n2"], name, "forwarded") == 1, "n1 has it, n2 waits for its outcome", PATIENCE)
        lose(nodes["n1"])
        until(lambda: is_out(nodes, "n1", "n2") and is_out(nodes, "n1", "n3"), "it is out", PATIENCE)
        assert nodes["n3"].call("cluster.adopt", Adopt(name, clean=True))["node"] == "n3"
        lives_on_both(nodes, name, "n3")
        assert not asked.done()
        nodes.launch("n1")
        assert "reply" in asked.result(2 * PATIENCE)
    assert handled_by(nodes["n3"], name) == ["aa"]
    nodes["n1"].call("node.resume")
    nodes.whole()


def counted(member: Member, name: str, state: str) -> int:
    return int(member.ledger().get(name, {}).get(state, 0))


def invoked(member: Member, name: str) -> dict[str, Any]:
    """The answer to a durable invocation, whenever it comes."""
    with RouterClient(member.socket, 4 * PATIENCE) as client:
        asked = Invoke(message(name, b'"aa"'), 3 * PATIENCE, Delivery.DURABLE)
        answer: dict[str, Any] = client.call("invoke", asked)
        return answer
