"""Homes that move on three whole nodes: drained, given back, planned; nothing lost, nothing twice, in order."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from caxton.protocol.cluster_moves import Plan
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import DeadReplay, DeadReplayOne, Invoke, Listing, Named, Remove, Submit
from support import router_agents as agents
from support import snapshot_agents
from support.desk_node import message
from support.forwarding_nodes import Member, Nodes, until
from support.moving_homes import (
    KEEPS,
    PATIENCE,
    balanced,
    drained,
    handled,
    home,
    lives_on,
    load,
    ranked_for,
    recorder,
    send,
    settled,
    token,
    undrained,
)
from support.router_client import RouterClient
from support.serf_agents import SERF

pytestmark = pytest.mark.skipif(SERF is None, reason="serf is not installed")


_SLOW_START = """(module
  (memory (export "memory") 2)
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "handle_message") (param i32 i32) (result i32) (i32.const 0))
  (func (export "agent_init") (result i32) (local $i i32)
    (local.set $i (i32.const 1500000000))
    (loop $l (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1))))) (i32.const 0)))"""
"""Keeps nothing, so that it has replicas; an instance takes a second or more to be made."""


@pytest.fixture(scope="module")
def nodes(request: pytest.FixtureRequest) -> Iterator[Nodes]:
    made, failed = Nodes(CAXTON_RUNTIME__AGENT_STARTUP_TIMEOUT="60s"), request.session.testsfailed
    try:
        yield made.start()
    finally:
        if request.session.testsfailed > failed:
            print(made.logs())
        made.close()


@pytest.fixture
def back(nodes: Nodes) -> Iterator[None]:
    """Whatever was drained works again."""
    yield
    for member in nodes:
        undrained(member)
    nodes.whole()


@pytest.mark.usefixtures("back")
def test_a_drained_node_gives_its_agents_away_under_load_and_gets_them_back(nodes: Nodes) -> None:
    name = recorder(nodes, "drained", "n1", "n2")
    send(nodes["n1"], name, "zz")
    until(lambda: handled(nodes, name) == ["zz"], "it has state")
    with load(nodes, name) as senders:
        until(lambda: min(len(one.sent) for one in senders) > 5, "the load is on")
        view = drained(nodes["n1"])
        assert {"agent": name, "giver": "n1", "taker": "n2"}.items() <= next(
            one for one in view["moved"] if one["agent"] == name
        ).items()
        lives_on(nodes, name, "n2")
        before = [len(one.sent) for one in senders]
        until(lambda: all(len(s.sent) > n + 5 for s, n in zip(senders, before, strict=True)), "it goes on there")
        undrained(nodes["n1"])
        lives_on(nodes, name, "n1")
        before = [len(one.sent) for one in senders]
        until(lambda: all(len(s.sent) > n + 5 for s, n in zip(senders, before, strict=True)), "it goes on here again")
    assert [one.failed for one in senders] == [[]] * 6
    assert settled(nodes, name, senders)[0] == "zz"
    assert view["kept"] == []
    sums, count = balanced(nodes, name), 1 + sum(len(one.sent) for one in senders)
    assert (sums["done"], sums["accepted"] - sums["forwarded"]) == (count, count)


@pytest.mark.usefixtures("back")
def test_a_replica_that_is_still_being_started_costs_nobody_an_answer(nodes: Nodes) -> None:
    name = ranked_for("slow", "n1", "n2")
    nodes.deploy("n3", name, _SLOW_START, instance="per_message")
    with ThreadPoolExecutor() as pool:
        drain = pool.submit(drained, nodes["n1"])
        until(lambda: _begun(nodes["n2"], name), "n2 starts it")
        (item,) = nodes["n3"].call("submit", Submit([message(name)]))
        answer = nodes["n3"].call("invoke", Invoke(message(name), PATIENCE))
        drain.result(PATIENCE)
    assert "error" not in item
    assert "reply" in answer
    until(lambda: nodes["n3"].decided("agent.remove", Remove(name)), "it may be removed")


def _begun(member: Member, name: str) -> bool:
    """Whether this very node has the agent, and it does not run yet."""
    try:
        shown = member.call("agent.get", Named(name))
    except CaxtonError as error:
        if error.code is Code.NOT_READY:  # it is about to come
            return False
        raise
    return (shown["node"], shown["status"]) == (member.name, "deploying")


@pytest.mark.usefixtures("back")
def test_what_was_done_at_the_old_home_is_not_done_again_at_the_new_one(nodes: Nodes) -> None:
    name = recorder(nodes, "dedup", "n1", "n3")
    (message_id,) = send(nodes["n2"], name, "aa")
    until(lambda: handled(nodes, name) == ["aa"], "it is handled")
    drained(nodes["n1"])
    lives_on(nodes, name, "n3")
    shown = nodes["n3"].call("message.get", Named(message_id))
    assert (shown["state"], shown["message_id"]) == ("done", message_id)
    again = message(name, b'"aa"', message_id=message_id, conversation_id="talk")
    for member in nodes:
        (item,) = member.call("submit", Submit([again]))
        assert "error" not in item
    send(nodes["n2"], name, "bb")
    until(lambda: handled(nodes, name) == ["aa", "bb"], "only what is new is handled")


@pytest.mark.usefixtures("back")
def test_memory_timers_versions_attempts_and_dead_letters_go_along(nodes: Nodes) -> None:
    twins = [ranked_for("twin", *order) for order in (("n1", "n2"), ("n3", "n1"))]
    for twin in twins:
        nodes.deploy("n3", twin, snapshot_agents.TIMED_STATE, instance="persistent", state="snapshot")
    before = [_digests(nodes, twin, 4) for twin in twins]
    assert before[0] == before[1]
    name, poisoned = ranked_for("luggage", "n1", "n2"), ranked_for("poisoned", "n1", "n2")
    picky = agents.reactor(
        """(drop (call $set_timer (i64.const 6000000)))
           (if (i32.gt_u (local.get $n) (i32.const 400)) (then unreachable))
           (call $bump) (i32.const 0)""",
        extra='(func (export "handle_timer") (param i32) (result i32) (call $bump) (i32.const 0))',
    )
    config = {**KEEPS, "retry": {"max_deliveries": 1}}
    nodes.deploy("n3", name, picky, **config)
    (good, bad) = (message(name), message(name, b'"' + b"x" * 400 + b'"'))
    nodes["n1"].call("submit", Submit([good, bad]))
    until(lambda: nodes["n1"].ledger().get(name, {}).get("dead") == 1, "one is dead")
    until(lambda: nodes["n1"].ledger().get(name, {}).get("done") == 1, "one is done")
    retry = {"max_deliveries": 2, "delay_seconds": 6.0, "jitter": 0.0}
    nodes.deploy("n3", poisoned, agents.TRAP, **KEEPS, retry=retry)
    (poison,) = send(nodes["n3"], poisoned, "xx")
    until(lambda: _failures(nodes, poisoned) == 1, "it has failed once, and will be tried in vain once more")
    drained(nodes["n1"])
    for moved in (name, twins[0]):
        lives_on(nodes, moved, "n2")
    dead = nodes["n3"].call("dead.list", Listing(name=name))["items"]
    assert [one["message_id"] for one in dead] == [bad.message_id]
    until(lambda: nodes["n2"].ledger().get(name, {}).get("done", 0) >= 1, "the timer fires there")
    assert nodes["n3"].call("dead.replay", DeadReplay(message_ids=[bad.message_id]))["count"] == 1
    until(lambda: nodes["n2"].ledger()[name]["dead"] == 1, "it is dead again, there")
    versions = nodes["n3"].call("agent.versions", Named(name))["items"]
    assert [one["version"] for one in versions] == [1]
    until(lambda: nodes["n2"].ledger()[poisoned]["dead"] == 1, "it is dead as well")
    for twin in twins:
        until(lambda one=twin: _timed(nodes, one), "its timer has come due")
    after = [_digests(nodes, twin, 4) for twin in twins]
    assert after[0] == after[1]
    assert len({*before[0], *after[0]}) == 8
    assert _failures(nodes, poisoned) == 2
    assert [one["number"] for one in nodes["n3"].call("dead.get", Named(poison))["attempts"]] == [2]


def _digests(nodes: Nodes, twin: str, count: int) -> list[str]:
    """Of all its memory and globals, after each of so many messages."""
    return [nodes["n2"].call("invoke", Invoke(message(twin), PATIENCE))["reply"]["content"] for _ in range(count)]


def _timed(nodes: Nodes, twin: str) -> bool:
    handled = nodes["n3"].call("message.list", Listing(name=twin, limit=50))["items"]
    return any(one["sender"].startswith("timer:") and one["state"] == "done" for one in handled)


def _failures(nodes: Nodes, name: str) -> int:
    return len(nodes["n3"].call("agent.executions", Listing(name=name))["items"])


@pytest.mark.usefixtures("back")
def test_dead_letters_replayed_while_their_agent_moves_run_once_where_it_lives_then(nodes: Nodes) -> None:
    name, busy = ranked_for("letters", "n1", "n2"), ranked_for("busy", "n1", "n3")
    closed = agents.recorder(agents.content_offset(name) + 1, opened_by="zz")
    nodes.deploy("n3", name, closed, **KEEPS, retry={"max_deliveries": 1, "on_dead": "hold"})
    nodes.deploy("n3", busy, agents.sleeper(2.0), **KEEPS)
    letters = {one: send(nodes["n3"], name, one, conversation_id=one)[0] for one in map(token, range(12))}
    until(lambda: nodes["n1"].ledger()[name]["dead"] == len(letters), "all are dead")
    send(nodes["n3"], name, "zz")
    until(lambda: handled(nodes, name) == ["zz"], "from now on it handles them")
    send(nodes["n3"], busy, "aa")
    until(lambda: nodes["n1"].ledger().get(busy, {}).get("in_flight") == 1, "the drain will wait for this one")
    asked = list(zip([*nodes] * 4, letters.values(), strict=True))
    with ThreadPoolExecutor(3) as three, ThreadPoolExecutor(1) as one:
        draining = one.submit(drained, nodes["n1"])
        until(lambda: _is_draining(nodes["n3"]), "it is being drained")
        counts = list(three.map(lambda pair: _replayed(*pair), asked[:6]))
        assert {"agent": name, "taker": "n2"}.items() <= next(
            move for move in draining.result()["moved"] if move["agent"] == name
        ).items()
        lives_on(nodes, name, "n2")
        undrained(nodes["n1"])
        counts += three.map(lambda pair: _replayed(*pair), asked[6:])
    assert counts == [1] * len(letters)
    lives_on(nodes, name, "n1")
    until(lambda: len(handled(nodes, name)) > len(letters), "all are handled")
    assert sorted(handled(nodes, name)) == sorted([*letters, "zz"])
    sums = balanced(nodes, name)
    assert (sums["dead"], sums["done"]) == (0, len(letters) + 1)


def _replayed(member: Member, message_id: str) -> int:
    """How many letters that were: every second one is asked for by itself."""
    several = int(message_id[-1], 16) % 2
    with RouterClient(member.socket, PATIENCE) as client:
        while True:
            try:
                if several:
                    return int(client.call("dead.replay", DeadReplay(message_ids=[message_id]))["count"])
                return int(client.call("dead.replay_one", DeadReplayOne(message_id))["count"])
            except CaxtonError as error:
                if error.code is not Code.NOT_READY:
                    raise


def _is_draining(member: Member) -> bool:
    seen = member.call("cluster.status")["members"]
    return any(one["node_id"] == "n1" and one["state"] == "draining" for one in seen)


@pytest.mark.usefixtures("back")
def test_the_plan_says_what_then_happens(nodes: Nodes) -> None:
    moving, staying = recorder(nodes, "planned", "n1", "n2"), recorder(nodes, "stays", "n2", "n1")
    pinned = recorder(nodes, "pinned", "n1", node="n1")
    plan = nodes["n3"].call("cluster.plan", Plan(without=["n1"]))
    assert plan["after"] == ["n2", "n3"]
    planned = {one["agent"]: (one["giver"], one["taker"], one.get("why")) for one in plan["moves"] if one["stateful"]}
    assert planned[moving] == ("n1", "n2", None)
    assert planned[pinned] == ("n1", None, "pinned")
    assert staying not in planned
    view = drained(nodes["n1"])
    done = {one["agent"]: (one["giver"], one["taker"], one.get("why")) for one in view["moved"] + view["kept"]}
    assert done == planned
    assert home(nodes["n1"], pinned) == "n1"
    refused = nodes["n3"].refusal("cluster.plan", Plan(without=["nobody"]))
    assert refused.code is Code.NOT_FOUND
