"""Whoever is bound to a namespace sees, names and changes nothing outside of it: random callers, every operation.

Two properties, each asked of the real router over its socket. No answer holds a mark of somebody else, whatever was
asked. And an answer about something of somebody else's is the answer about something that does not exist: with the
names and ids in the question exchanged for ones that nobody has, it says the same.
"""

from __future__ import annotations

import json
import random
import re
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from caxton.protocol.access import Caller, Role
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import OPERATIONS, DeadPurge, DeadReplay, Deploy, Events, Invoke, Listing, Named
from caxton.router.access.rules import RULES
from support.desk_node import RouterNode, message, refusal
from support.random_arguments import Maker
from support.router_client import RouterClient
from support.router_modules import SILENT, wasm
from support.teams import LISTS, Team

OURS, THEIRS, NOBODYS = "zqred", "zqblue", "zqplain"
FOREIGN = re.compile(f"{THEIRS}|{NOBODYS}")
CALLS = 1_200
SEEDS = (1,)
STREAMS = {"events"}
pytestmark = pytest.mark.timeout(400)
LASTING = {
    *("agent.remove", "agent.stop", "agent.update", "agent.rollback", "capability.remove"),
    *("dead.purge", "dead.replay", "dead.replay_one", "dead.skip"),
}
"""Would leave nothing of our own to ask for; what they do to it is shown elsewhere."""


class World:
    """A node with two teams and what is in no namespace."""

    def __init__(self, node: RouterNode) -> None:
        self.node = node
        self.admin = node.client()
        self.ours = Team(self.admin, OURS)
        self.others = [Team(self.admin, THEIRS), Team(self.admin, NOBODYS, prefix="")]
        self.foreign = {name for team in self.others for name in team.names}
        self.talks = {talk for team in (self.ours, *self.others) for talk in team.talks}
        """Conversations of all: whoever knows the id of one may say something in it."""

    def bound(self, chance: random.Random) -> RouterClient:
        """A client of somebody who is bound to our namespace."""
        client = self.node.client()
        client.caller = caller(chance)
        return client


def changed(world: World, before: list[dict[str, Any]]) -> dict[str, Any]:
    """What is not as it was with the others."""
    now = [team.state() for team in world.others]
    return {
        key: (old[key], new[key]) for old, new in zip(before, now, strict=True) for key in old if old[key] != new[key]
    }


def caller(chance: random.Random) -> Caller:
    role = chance.choice([*Role, Role.ADMIN, Role.ADMIN])
    patterns = [None, ("*",), (f"{OURS}/e*",), (f"{THEIRS}/*", "*/echo"), (f"capability:{THEIRS}/cap2",)]
    agents = chance.choice(patterns) if role is Role.AGENT_CLIENT else None
    return Caller(f"{OURS}-bob", role, OURS, agents, "key:1", "192.0.2.1", "r")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with RouterNode(messaging={"max_deliveries": 1}) as node:
        made = World(node)
        yield made
        made.admin.close()


def arguments(chance: random.Random, op: str, world: World) -> Any:
    """Random arguments; what would take our own world away is about others only."""
    theirs = sorted(world.foreign)
    ours = [*world.ours.agents * 3, *world.ours.names, f"{OURS}/new"]
    mixed = chance.choice([ours, [*theirs, *ours, *ours, f"{THEIRS}/new"]])
    names = theirs if op in LASTING else mixed
    kind = OPERATIONS[op][0]
    while True:
        try:
            made = Maker(chance, names, sorted(world.talks)).struct(kind)
        except msgspec.ValidationError:
            continue
        if isinstance(made, Deploy):
            return msgspec.structs.replace(made, module=wasm(SILENT), wait_seconds=0.2)
        if isinstance(made, DeadPurge):
            return msgspec.structs.replace(made, everything=False)
        return made


def ask(client: RouterClient, op: str, args: Any) -> Any:
    """The answer, or the error, as plain data."""
    try:
        if op == "agent.logs":
            return list(client.stream(op, msgspec.structs.replace(args, follow=False)))
        return client.call(op, args)
    except CaxtonError as error:
        return {"code": error.code, "message": error.message, "details": error.details}


def without(answer: Any, spoken: set[str]) -> str:
    """An answer's text without what was in the question."""
    text = json.dumps(answer)
    for name in sorted(spoken, key=len, reverse=True):
        text = text.replace(json.dumps(name)[1:-1], "")
    return text


def strings(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {text for item in value.items() for part in item for text in strings(part)}
    if isinstance(value, list | tuple):
        return {text for part in value for text in strings(part)}
    return {value, value.rpartition(":")[2]} if isinstance(value, str) else set()


def nobody(name: str) -> str:
    """A name or id like this one, of nothing."""
    if FOREIGN.search(name):
        return FOREIGN.sub("zqnone", name)
    return str(uuid.UUID(int=uuid.UUID(name).int ^ 1)) if re.fullmatch(r"[0-9a-f-]{36}", name) else name


def exchanged(args: Any, world: World) -> Any:
    """The question about things that do not exist, in the place of others'."""

    def change(value: Any) -> Any:
        if isinstance(value, dict):
            return {change(key): change(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [change(one) for one in value]
        return (
            nobody(value) if isinstance(value, str) and (value in world.foreign or FOREIGN.search(value)) else value
        )

    return msgspec.convert(change(msgspec.to_builtins(args, builtin_types=(bytes,))), type(args))


def same(one: Any, other: Any, world: World) -> bool:
    """Whether two answers differ in what was asked for only."""
    marks = {nobody(name): name for name in world.foreign}
    text = json.dumps(other)
    for known in sorted(marks, key=len, reverse=True):
        text = text.replace(known, marks[known])
    shape = re.compile(f"{OURS}|{THEIRS}|{NOBODYS}|zqnone")
    return shape.sub("X", json.dumps(one)) == shape.sub("X", text)


def test_every_operation_has_a_rule_and_no_other_has_one() -> None:
    assert set(RULES) == set(OPERATIONS)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_out_of_reach_answers_as_what_does_not_exist(world: World, seed: int) -> None:
    chance = random.Random(seed)
    operations = sorted(set(OPERATIONS) - STREAMS - {"submit", "invoke"})
    compared: Counter[str] = Counter()
    for number in range(CALLS):
        op = operations[number % len(operations)]
        args = arguments(chance, op, world)
        spoken = strings(msgspec.to_builtins(args, builtin_types=(bytes,)))
        if not spoken & world.foreign or spoken & set(world.ours.names):
            continue
        with world.bound(chance) as client:
            answers = [ask(client, op, one) for one in (args, exchanged(args, world))]
        assert same(*answers, world), (op, args, answers)
        compared[op] += 1
    assert len(compared) > 30


@pytest.mark.parametrize("seed", SEEDS)
def test_no_answer_holds_a_name_of_another_namespace(world: World, seed: int) -> None:
    chance = random.Random(seed)
    before = [team.state() for team in world.others]
    operations = sorted(set(OPERATIONS) - STREAMS)
    answered: Counter[str] = Counter()
    for number in range(CALLS):
        op = operations[number % len(operations)]
        args = arguments(chance, op, world)
        with world.bound(chance) as client:
            answer = ask(client, op, args)
        spoken = strings(msgspec.to_builtins(args, builtin_types=(bytes,)))
        assert not FOREIGN.search(without(answer, spoken | world.talks)), (op, args, answer)
        answered[op] += not (isinstance(answer, dict) and "code" in answer and "details" in answer)
    assert changed(world, before) == {}
    assert sum(bool(count) for count in answered.values()) > 20, answered  # not because all was refused


def test_sending_out_of_reach_answers_as_if_nobody_were_there(world: World) -> None:
    with world.bound(random.Random(0)) as client:
        client.caller = Caller("bob", Role.DEPLOYER, OURS)
        for name in sorted(world.foreign):
            for prefix in ("", "capability:", "topic:"):
                real, made_up = (message(f"{prefix}{one}") for one in (name, nobody(name)))
                answers = [ask(client, "invoke", Invoke(one, 1.0)) for one in (real, made_up)]
                assert same(*answers, world), answers
                assert answers[0]["code"] in (Code.AGENT_NOT_FOUND, Code.FORBIDDEN)


def test_lists_are_ours_alone_and_their_pages_are_full(world: World) -> None:
    with world.bound(random.Random(0)) as client:
        client.caller = Caller("bob", Role.ADMIN, OURS)
        for op, kind in LISTS.items():
            everything = client.call(op, kind(limit=200))["items"]
            assert everything, op
            paged, cursor = [], None
            while True:
                page = client.call(op, kind(limit=2, cursor=cursor))
                paged += page["items"]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
                assert len(page["items"]) == 2, op
            assert len(paged) == len(everything), op
        seen = {item["message_id"] for item in client.call("message.list", Listing(limit=200))["items"]}
        assert set(world.ours.messages) - seen == set()


def test_the_ledger_is_ours_and_its_sum_is_of_ours(world: World) -> None:
    with world.bound(random.Random(0)) as client:
        client.caller = Caller("bob", Role.VIEWER, OURS)
        found = client.call("ledger")
    assert {row["name"].partition("/")[0] for row in found["agents"]} == {OURS}
    assert found["node"]["name"] == OURS
    assert found["node"]["accepted"] == sum(row["accepted"] for row in found["agents"])


def test_events_are_ours_alone(world: World) -> None:
    seen: list[dict[str, Any]] = []
    ready = threading.Event()

    def listen() -> None:
        with world.node.client() as client:
            client.caller = Caller("bob", Role.VIEWER, OURS)
            call_id = client.send("events", Events(["*"], 0))
            while True:
                frame = client.receive()
                event = msgspec.json.decode(frame.item)  # type: ignore[union-attr]  # the stream has no end
                seen.append(event)
                ready.set()
                if event["type"] == "agent.started" and event["data"]["name"] == f"{OURS}/logs":
                    client.hang_up(call_id)
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    assert ready.wait(20)  # the marker, or what was there before
    for team in (*world.others, world.ours):
        world.admin.call("agent.stop", {"name": team.name("logs")})
        world.admin.call("agent.start", Named(team.name("logs")))
    thread.join(30)
    assert not thread.is_alive()
    assert not FOREIGN.search(json.dumps(seen))
    assert {"agent.deployed", "message.dead", "agent.stopped"} <= {event["type"] for event in seen}


def test_everything_is_everything_in_reach(world: World) -> None:
    """Last: it takes our dead letters away."""
    before = [team.state() for team in world.others]
    theirs = [one for team in world.others for one in team.dead()]
    with world.bound(random.Random(0)) as client:
        client.caller = Caller("bob", Role.OPERATOR, OURS)
        assert client.call("dead.replay", DeadReplay(theirs)) == {"count": 0}
        assert client.call("dead.purge", DeadPurge(theirs)) == {"count": 0}
        assert client.call("dead.purge", DeadPurge(everything=True))["count"] >= 2
        assert refusal(client, "dead.replay", DeadReplay(agent=f"{THEIRS}/trap")).code is Code.AGENT_NOT_FOUND
    assert world.ours.dead() == []
    assert changed(world, before) == {}
