"""Rollouts with two versions up: who gets which, what decides, and that nothing is lost whatever ends first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import DeadReplay, Events, Invoke, Item, Named, Remove, Stop, Submit
from caxton.protocol.versions import Steer
from support.desk_node import RouterNode, deploy, invoke, message, refusal, submit, until
from support.router_client import RouterClient
from support.router_modules import BAD_INIT, COUNTER, REFUSES, SLEEPER, TRAP
from support.versions import answering, rollback, update, versions

TALKS = [f"talk-{number}" for number in range(40)]
HALF = {"percent": 50, "min_executions": 10, "duration_seconds": 3600}
SOON_AGAIN = {"max_deliveries": 3, "delay_seconds": 0.3}


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode(runtime={"executor_workers": 2}) as started:
        yield started


@pytest.fixture
def client(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as connected:
        yield connected


def answers(client: RouterClient, name: str) -> dict[str, Any]:
    """What each conversation is answered now."""
    found = {}
    for talk in TALKS:
        asked = Invoke(message(name, conversation_id=talk), 10.0)
        found[talk] = client.call("invoke", asked)["reply"]["content"]
    return found


def rollout(client: RouterClient, name: str) -> Any:
    return client.call("agent.rollout", Named(name))


def ended(client: RouterClient, name: str) -> Any:
    """The rollout once it does not run any more."""
    return until(lambda: (view := rollout(client, name))["state"] != "running" and view)


def steer(client: RouterClient, name: str, action: str) -> Any:
    return client.call("agent.steer", Steer(name, action))


def drip(client: RouterClient, name: str, until_: str) -> None:
    """Asks in every conversation, over and over, until the rollout is in this state; failures are the agent's."""

    def once() -> bool:
        for talk in TALKS:
            with suppress(CaxtonError):
                client.call("invoke", Invoke(message(name, conversation_id=talk), 10.0))
        return bool(rollout(client, name)["state"] == until_)

    until(once)


def test_a_canary_gets_its_conversations_and_always_the_same(client: RouterClient) -> None:
    deploy(client, "split", answering(1))
    view = update(client, "split", answering(2), strategy="canary", canary=HALF)
    assert (view["version"], view["rollout"]["to_version"], view["rollout"]["state"]) == (1, 2, "running")
    first = answers(client, "split")
    assert {1, 2} == set(first.values())
    assert answers(client, "split") == first
    assert versions(client, "split") == [(2, "candidate"), (1, "current")]
    figures = rollout(client, "split")
    share = sum(value == 2 for value in first.values())
    assert (figures["new"]["executions"], figures["old"]["executions"]) == (2 * share, 2 * (len(TALKS) - share))
    assert steer(client, "split", "promote")["version"] == 2
    assert set(answers(client, "split").values()) == {2}
    assert rollout(client, "split")["state"] == "promoted"
    assert refusal(client, "agent.steer", Steer("split", "abort")).code is Code.CONFLICT
    assert (rollback(client, "split")["version"], set(answers(client, "split").values())) == (1, {1})


@pytest.mark.parametrize("bad", [TRAP, REFUSES], ids=["traps", "answers failure"])
def test_a_canary_that_fails_is_taken_back_by_itself_with_the_numbers(
    node: RouterNode, client: RouterClient, bad: str
) -> None:
    name = "sick-trap" if bad is TRAP else "sick-refuses"
    deploy(client, name, answering(1))
    with node.client() as reader:
        reader.send("events", Events(["agent.canary_*"]))
        until(lambda: client.call("stats")["events"]["subscribers"] == 1)
        update(client, name, bad, strategy="canary", canary={**HALF, "max_error_rate": 0.2})
        drip(client, name, "returned")
        kinds, told = [], {}
        while "agent.canary_returned" not in kinds:
            frame = reader.receive()
            assert isinstance(frame, Item)
            told = msgspec.json.decode(frame.item)
            kinds.append(told["type"])
    assert kinds == ["agent.canary_started", "agent.canary_returned"]
    data = told["data"]
    assert (data["from_version"], data["to_version"], data["plan"]["max_error_rate"]) == (1, 2, 0.2)
    assert (data["new"]["failed"], data["old"]["failed"]) == (data["new"]["executions"], 0)
    assert 2 < data["new"]["failed"] < len(TALKS), "taken back as soon as it could not be made good"
    assert set(answers(client, name).values()) == {1}
    view = client.call("agent.get", Named(name))
    assert (view["version"], view["rollout"]) == (1, None)
    assert client.call("stats")["meters"]["rollouts"]["returned"] >= 1


def test_what_a_canary_could_not_handle_the_old_version_does(client: RouterClient) -> None:
    deploy(client, "safe", answering(1), retry=SOON_AGAIN)
    sick = {**HALF, "min_executions": 1, "max_error_rate": 0}
    update(client, "safe", TRAP, strategy="canary", canary=sick)
    assert not [one for one in client.call("submit", Submit([message("safe") for _ in range(60)])) if "error" in one]
    assert ended(client, "safe")["state"] == "returned"
    until(lambda: client.call("agent.get", Named("safe"))["counters"]["done"] == 60)
    assert client.call("ledger")["node"]["imbalance"] == 0


def test_a_canary_that_is_slow_is_taken_back(client: RouterClient) -> None:
    deploy(client, "swift", answering(1))
    plan = {"percent": 50, "min_executions": 2, "max_latency_ratio": 5, "duration_seconds": 3600}
    update(client, "swift", SLEEPER, strategy="canary", canary=plan)
    submit(client, "swift", 20)
    view = ended(client, "swift")
    assert (view["state"], view["new"]["failed"]) == ("returned", 0)
    assert view["new"]["p50_seconds"] > 5 * view["old"]["p50_seconds"]


def test_a_canary_that_has_proven_itself_is_promoted(client: RouterClient) -> None:
    deploy(client, "proven", answering(1))
    plan = {"percent": 50, "min_executions": 10, "duration_seconds": 0, "max_latency_ratio": 1000}
    update(client, "proven", answering(2), strategy="canary", canary=plan)
    assert rollout(client, "proven")["state"] == "running", "its time is over, its executions are not there"
    drip(client, "proven", "promoted")
    assert client.call("agent.get", Named("proven"))["version"] == 2
    assert set(answers(client, "proven").values()) == {2}


def test_a_canary_is_aborted_by_hand_by_a_rollback_and_by_a_stop(client: RouterClient) -> None:
    deploy(client, "undone", answering(1))

    def again() -> None:
        update(client, "undone", answering(2), strategy="canary", canary=HALF)
        with pytest.raises(CaxtonError) as caught:
            update(client, "undone", answering(3))
        assert caught.value.code is Code.CONFLICT

    again()
    assert steer(client, "undone", "abort")["version"] == 1
    again()
    assert rollback(client, "undone")["version"] == 1
    again()
    assert client.call("agent.stop", Stop("undone"))["rollout"] is None
    assert rollout(client, "undone")["state"] == "aborted"
    client.call("agent.start", Named("undone"))
    assert set(answers(client, "undone").values()) == {1}
    assert [state for _, state in versions(client, "undone")] == ["kept", "kept", "kept", "current"]
    assert refusal(client, "agent.rollback", {"name": "undone"}).code is Code.INVALID_REQUEST
    assert rollback(client, "undone", 3)["version"] == 3, "by its number, what was taken back may be tried again"


def test_a_canary_that_cannot_start_is_none(client: RouterClient) -> None:
    deploy(client, "still", answering(1))
    with pytest.raises(CaxtonError) as caught:
        update(client, "still", BAD_INIT, strategy="canary")
    assert caught.value.code is Code.AGENT_FAILED
    assert refusal(client, "agent.rollout", Named("still")).code is Code.NOT_FOUND
    assert set(answers(client, "still").values()) == {1}


def test_blue_green_switches_at_once_and_goes_back_to_the_very_instance(client: RouterClient) -> None:
    deploy(client, "blue", COUNTER)
    assert [invoke(client, "blue")["content"] for _ in range(3)] == [1, 2, 3]
    view = update(client, "blue", answering(9), strategy="blue_green")
    assert (view["version"], view["rollout"]["strategy"], invoke(client, "blue")["content"]) == (2, "blue_green", 9)
    assert versions(client, "blue") == [(2, "current"), (1, "warm")]
    before = client.call("stats")["meters"]["prepared"]
    assert steer(client, "blue", "abort")["version"] == 1
    assert client.call("stats")["meters"]["prepared"] == before
    assert invoke(client, "blue")["content"] == 4, "the old instance was kept warm"


def test_blue_green_lets_the_old_one_go_when_its_time_is_over_or_another_comes(client: RouterClient) -> None:
    deploy(client, "green", COUNTER)
    update(client, "green", answering(2), strategy="blue_green", blue_green={"keep_seconds": 0})
    assert ended(client, "green")["state"] == "promoted"
    assert versions(client, "green") == [(2, "current"), (1, "kept")]
    update(client, "green", answering(3), strategy="blue_green")
    assert update(client, "green", answering(4))["version"] == 4
    assert rollout(client, "green")["state"] == "promoted"
    assert invoke(client, "green")["content"] == 4
    client.call("agent.remove", Remove("green"))


def test_a_dead_letter_is_replayed_to_an_earlier_version(client: RouterClient) -> None:
    deploy(client, "once", answering(1), retry={"max_deliveries": 1})
    update(client, "once", TRAP)
    dead = [message("once", conversation_id=talk) for talk in TALKS[:3]]
    client.call("submit", Submit(dead))
    until(lambda: client.call("agent.get", Named("once"))["counters"]["dead"] == 3)
    ids = [one.message_id for one in dead]
    assert refusal(client, "dead.replay", DeadReplay(ids, version=7)).code is Code.INVALID_REQUEST
    assert client.call("dead.replay", DeadReplay(ids, version=1))["count"] == 3
    until(lambda: client.call("agent.get", Named("once"))["counters"]["done"] == 3)
    assert [client.call("message.get", Named(one))["reply"]["content"] for one in ids] == [1, 1, 1]
    assert client.call("agent.get", Named("once"))["version"] == 2

    def next_version() -> int:
        with suppress(CaxtonError):  # CONFLICT, while the earlier version is still up
            return int(update(client, "once", REFUSES)["version"])
        return 0

    assert until(next_version) == 3
    assert {invoke(client, "once")["performative"] for _ in TALKS} == {"failure"}


@pytest.mark.parametrize("strategy", ["canary", "blue_green"])
def test_a_rollout_goes_on_after_the_router_was_killed(strategy: str) -> None:
    plan = {"canary": {"canary": HALF}, "blue_green": {}}[strategy]
    with RouterNode(runtime={"executor_workers": 1}) as node:
        with node.client() as client:
            deploy(client, "durable", answering(1))
            update(client, "durable", answering(2), strategy=strategy, **plan)
            first = answers(client, "durable")
        node.kill_router()
        node.start_router()
        with node.client() as client:
            until(lambda: client.call("agent.get", Named("durable"))["rollout"] is not None)
            assert answers(client, "durable") == first
            assert client.call("stats")["rollouts_running"] == 1
            assert steer(client, "durable", "abort")["version"] == 1
            assert set(answers(client, "durable").values()) == {1}
        node.kill_router()
        node.start_router()
        with node.client() as client:
            assert set(answers(client, "durable").values()) == {1}
            assert rollout(client, "durable")["state"] == "aborted"
            assert client.call("ledger")["node"]["imbalance"] == 0


def test_a_canary_goes_on_with_another_executor() -> None:
    with RouterNode(runtime={"executor_workers": 1}) as node, node.client() as client:
        deploy(client, "moved", answering(1))
        update(client, "moved", answering(2), strategy="canary", canary=HALF)
        first = answers(client, "moved")
        assert node.executor is not None
        node.executor.kill()
        node.executor.wait()
        until(lambda: not client.call("ready")["ready"])
        node.start_executor()
        until(lambda: client.call("ready")["ready"])
        assert answers(client, "moved") == first
        assert steer(client, "moved", "promote")["version"] == 2
        assert set(answers(client, "moved").values()) == {2}


def test_a_rollout_that_cannot_go_on_ends_with_the_version_that_serves() -> None:
    with RouterNode(runtime={"executor_workers": 1}) as node:
        with node.client() as client:
            deploy(client, "cut", answering(1))
            update(client, "cut", answering(2), strategy="canary", canary=HALF)
            sha256 = client.call("agent.versions", Named("cut"))["items"][0]["module_sha256"]
        node.kill_router()
        (node.data / "modules" / sha256).unlink()
        node.start_router()
        with node.client() as client:
            assert ended(client, "cut")["state"] == "returned"
            assert set(answers(client, "cut").values()) == {1}
