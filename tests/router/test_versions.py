"""Versions of an agent: updates without a gap, refusals that change nothing, rollbacks that compile nothing."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import msgspec
import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Events, Invoke, Item, Listing, Named, Remove, Stop, Submit
from support import router_agents
from support.desk_node import RouterNode, deploy, invoke, job, message, refusal, until
from support.router_client import RouterClient
from support.router_modules import BAD_INIT, CAT, ENDLESS_INIT, KEYS, REFUSES, SLEEPER, TRAP, slow_to_compile
from support.versions import another, answering, rollback, slow_recorder, update, versions

TALKS = 4


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode(runtime={"executor_workers": 2, "agent_startup_timeout": "2s"}) as started:
        yield started


@pytest.fixture
def client(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as connected:
        yield connected


def refused(client: RouterClient, name: str, module: str | bytes | None = None, **fields: Any) -> CaxtonError:
    with pytest.raises(CaxtonError) as caught:
        update(client, name, module, **fields)
    return caught.value


def modules(node: RouterNode) -> set[str]:
    return {path.name for path in (node.data / "modules").iterdir()}


def compiled(client: RouterClient) -> int:
    """How many modules the compiler has worked on since the router began."""
    found: int = client.call("stats")["meters"]["prepared"]["compiler"]
    return found


def test_an_update_serves_the_new_module_from_its_answer_on(client: RouterClient) -> None:
    first = deploy(client, "one", answering(1))
    view = update(client, "one", answering(2))
    assert (view["version"], view["status"]) == (2, "running")
    assert view["etag"] != first["etag"]
    assert view["resources"]["incarnation"] > first["resources"]["incarnation"]
    assert [invoke(client, "one")["content"] for _ in range(3)] == [2, 2, 2]
    assert versions(client, "one") == [(2, "current"), (1, "kept")]


@pytest.mark.parametrize("instance", ["persistent", "per_message"])
def test_clients_that_never_stop_asking_see_no_gap(node: RouterNode, client: RouterClient, instance: str) -> None:
    name = f"busy-{instance}"
    deploy(client, name, answering(1), instance=instance)
    enough, switched = threading.Event(), threading.Event()
    seen: list[tuple[bool, Any]] = []

    def ask() -> None:
        with node.client() as mine:
            while not enough.is_set():
                after = switched.is_set()
                try:
                    seen.append((after, invoke(mine, name)["content"]))
                except CaxtonError as error:
                    seen.append((after, error.code))

    askers = [threading.Thread(target=ask) for _ in range(TALKS)]
    for asker in askers:
        asker.start()
    until(lambda: len(seen) > 50)
    for number in (2, 3, 4):
        update(client, name, answering(number))
        count = len(seen)
        until(lambda count=count: len(seen) > count + 50)  # type: ignore[misc]  # bound early
    update(client, name, answering(5))
    switched.set()
    count = len(seen)
    until(lambda: len(seen) > count + 50)
    enough.set()
    for asker in askers:
        asker.join()
    assert {content for _, content in seen} == {1, 2, 3, 4, 5}
    assert {content for after, content in seen if after} == {5}


def test_order_and_keys_hold_across_updates_with_work_under_way(client: RouterClient) -> None:
    offset = router_agents.content_offset("rec")
    code = slow_recorder(offset)
    deploy(client, "rec", code)
    before = client.call("agent.get", Named("rec"))["resources"]["incarnation"]
    sent = [f"{number:02}" for number in range(10, 90)]
    talks = [message("rec", text.encode(), conversation_id=f"talk-{n % TALKS}") for n, text in enumerate(sent)]
    assert not [item for item in client.call("submit", Submit(talks)) if "error" in item]
    made = 0
    while client.call("agent.get", Named("rec"))["counters"]["pending"]:
        made += 1
        update(client, "rec", another(code, made))
    until(lambda: client.call("agent.get", Named("rec"))["counters"]["done"] == len(sent))
    found = client.call("agent.state", Listing(name="rec"))["items"][0]["value"]
    handled = [found[at : at + 2] for at in range(0, len(found), 2)]
    assert sorted(handled) == sent, "an execution of the old version overwrote one of the new, or the reverse"
    for talk in range(TALKS):
        assert [text for text in handled if (int(text) - 10) % TALKS == talk] == sent[talk::TALKS]
    view = client.call("agent.get", Named("rec"))
    assert (view["version"], view["resources"]["incarnation"] > before) == (made + 1, True)
    assert made > 1
    assert client.call("ledger")["node"]["imbalance"] == 0


def test_what_is_under_way_ends_on_its_version(node: RouterNode, client: RouterClient) -> None:
    deploy(client, "slow", SLEEPER)
    with node.client() as other:
        call = other.send("invoke", Invoke(message("slow"), 10.0))
        until(lambda: client.call("stats")["core"]["in_flight"] >= 1)
        assert update(client, "slow", answering(2))["version"] == 2
        assert other.answer(call)["reply"]["content"] == 1
    assert invoke(client, "slow")["content"] == 2


def test_a_circle_through_the_old_version_is_found(client: RouterClient) -> None:
    ask = "(local.set $i (call $request"
    other_talk = 'circle","conversation_id":"apart'
    asks_late = router_agents.requester(other_talk).replace(ask, f"(drop (call $sleep (i64.const 1500000))) {ask}")
    deploy(client, "circle", router_agents.requester("late"))
    deploy(client, "late", asks_late)
    call = client.send("invoke", Invoke(message("circle"), 20.0))
    until(lambda: client.call("stats")["core"]["in_flight"] == 2)
    update(client, "circle", another(router_agents.requester("late"), 1))
    reply = client.answer(call)["reply"]["content"]
    assert (reply["performative"], reply["content"]["exit_code"]) == ("failure", 8), "DEADLOCK, not a time-out"


@pytest.mark.parametrize(
    ("module", "fields", "code"),
    [
        (BAD_INIT, {}, Code.AGENT_FAILED),
        (BAD_INIT.replace("(i32.const 7)", "unreachable"), {}, Code.AGENT_FAILED),
        (ENDLESS_INIT, {}, Code.EXECUTION_TIMEOUT),
        (b"not wasm at all", {}, Code.INVALID_WASM),
        (answering(2), {"self_test": {"content": 1, "expect": 3}}, Code.AGENT_FAILED),
        (REFUSES, {"self_test": {"content": 1}}, Code.AGENT_FAILED),
        (TRAP, {"self_test": {"content": 1}}, Code.AGENT_FAILED),
        (None, {"limits": {"memory_bytes": 65_536}}, Code.INVALID_WASM),
        (None, {"profile": "threads"}, Code.INVALID_REQUEST),
        (None, {}, Code.INVALID_REQUEST),
        (answering(2), {"canary": {"percent": 5}}, Code.INVALID_REQUEST),
    ],
)
def test_a_version_that_cannot_serve_leaves_the_old_one_serving(
    node: RouterNode, client: RouterClient, module: str | bytes | None, fields: dict[str, Any], code: Code
) -> None:
    if refusal_of(client, "firm") is Code.AGENT_NOT_FOUND:
        deploy(client, "firm", answering(1))
    before, kept = modules(node), client.call("agent.get", Named("firm"))
    assert refused(client, "firm", module, **fields).code is code
    assert invoke(client, "firm")["content"] == 1
    after = client.call("agent.get", Named("firm"))
    assert (after["version"], after["config"], after["etag"]) == (1, kept["config"], kept["etag"])
    assert versions(client, "firm") == [(1, "current")]
    assert modules(node) == before


def refusal_of(client: RouterClient, name: str) -> Code | None:
    try:
        client.call("agent.get", Named(name))
    except CaxtonError as error:
        return error.code
    return None


def test_a_failure_behind_a_job_is_told_there_and_as_an_event(node: RouterNode, client: RouterClient) -> None:
    deploy(client, "told", answering(1))
    with node.client() as reader:
        call = reader.send("events", Events(["agent.update_failed"]))
        until(lambda: client.call("stats")["events"]["subscribers"] == 1)
        view = update(client, "told", BAD_INIT, wait_seconds=0.0)
        ended = job(client, view["job_id"])
        assert (view["kind"], ended["state"], ended["error"]["code"]) == ("update", "failed", Code.AGENT_FAILED)
        frame = reader.receive()
        assert isinstance(frame, Item)
        assert frame.call_id == call
        told = msgspec.json.decode(frame.item)["data"]
        assert (told["name"], told["code"], told["job_id"]) == ("told", Code.AGENT_FAILED, view["job_id"])


def test_what_is_not_given_is_taken_over(client: RouterClient) -> None:
    deploy(client, "partly", answering(1), config={"depth": 3}, limits={"execution_timeout_seconds": 7.0})
    configured = update(client, "partly", config={"depth": 4}, grants={"kv": False})
    assert (configured["config"]["config"], configured["grants"]["kv"]) == ({"depth": 4}, False)
    assert configured["limits"]["execution_timeout_seconds"] == 7.0
    assert invoke(client, "partly")["content"] == 1
    replaced = update(client, "partly", answering(2))
    assert (replaced["version"], replaced["config"]["config"], replaced["grants"]["kv"]) == (3, {"depth": 4}, False)
    assert invoke(client, "partly")["content"] == 2


def test_a_self_test_of_a_new_version_has_no_effect(client: RouterClient) -> None:
    deploy(client, "clean", answering(1))
    update(client, "clean", KEYS, self_test={"content": 1})
    assert client.call("agent.state", Listing(name="clean"))["items"] == []
    assert client.call("agent.get", Named("clean"))["counters"]["accepted"] == 0


def test_keys_stay(client: RouterClient) -> None:
    deploy(client, "keeps", KEYS)
    invoke(client, "keeps")
    update(client, "keeps", answering(2))
    rows = client.call("agent.state", Listing(name="keeps"))["items"]
    assert [(row["key"], row["value"]) for row in rows] == [("k", "abc")]


def test_schedules_are_those_of_the_version_that_serves(client: RouterClient) -> None:
    def planned() -> list[str]:
        return [row["cron"] for row in client.call("agent.schedules", Named("timed"))["items"] if row["next_due"]]

    deploy(client, "timed", answering(1))
    update(client, "timed", schedules=[{"name": "nightly", "cron": "0 3 * * *"}])
    assert planned() == ["0 3 * * *"]
    update(client, "timed", schedules=[{"name": "nightly", "cron": "0 4 * * *"}])
    assert planned() == ["0 4 * * *"]
    assert (rollback(client, "timed")["version"], planned()) == (2, ["0 3 * * *"])
    assert (rollback(client, "timed")["version"], planned()) == (1, [])


def test_a_tag_that_is_old_is_a_conflict(client: RouterClient) -> None:
    tag = deploy(client, "tagged", answering(1))["etag"]
    assert update(client, "tagged", answering(2), etag=tag)["version"] == 2
    assert refused(client, "tagged", answering(3), etag=tag).code is Code.CONFLICT
    assert invoke(client, "tagged")["content"] == 2


def test_of_two_updates_with_one_tag_one_wins(node: RouterNode, client: RouterClient) -> None:
    tag = deploy(client, "raced", answering(1))["etag"]
    found: list[Any] = []

    def attempt(number: int) -> None:
        with node.client() as mine:
            try:
                found.append(update(mine, "raced", answering(number), etag=tag)["version"])
            except CaxtonError as error:
                found.append(error.code)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in (2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, found)) == ["2", Code.CONFLICT, Code.CONFLICT]


def test_a_rollback_takes_module_and_configuration_and_compiles_nothing(
    node: RouterNode, client: RouterClient
) -> None:
    deploy(client, "back", answering(1), config={"n": 1})
    update(client, "back", answering(2), config={"n": 2})
    update(client, "back", answering(3), config={"n": 3})
    node.kill_router()  # nothing that is needed is only in memory
    node.start_router()
    with node.client() as anew:
        until(lambda: invoke(anew, "back")["content"] == 3)
        until(lambda: anew.call("stats")["meters"]["prepared"]["cache"] >= 1)
        before = compiled(anew)
        view = rollback(anew, "back")
        assert (view["version"], view["config"]["config"], invoke(anew, "back")["content"]) == (2, {"n": 2}, 2)
        assert (rollback(anew, "back")["version"], invoke(anew, "back")["content"]) == (1, 1)
        assert refusal(anew, "agent.rollback", {"name": "back"}).code is Code.INVALID_REQUEST
        assert rollback(anew, "back", 3)["config"]["config"] == {"n": 3}
        assert refusal(anew, "agent.rollback", {"name": "back", "version": 9}).code is Code.INVALID_REQUEST
        assert compiled(anew) == before
        assert versions(anew, "back") == [(3, "current"), (2, "kept"), (1, "kept")]
        assert update(anew, "back", answering(4))["version"] == 4


def test_ten_versions_are_kept_and_the_modules_of_no_other(node: RouterNode, client: RouterClient) -> None:
    before = modules(node)
    deploy(client, "many", answering(0))
    for number in range(1, 12):
        update(client, "many", another(answering(number % 10), number))
    assert [number for number, _ in versions(client, "many")] == list(range(12, 2, -1))
    client.call("node.gc")
    assert len(modules(node) - before) == 10
    assert (rollback(client, "many", 3)["version"], invoke(client, "many")["content"]) == (3, 2)
    assert update(client, "many", answering(9))["version"] == 13
    kept = [number for number, _ in versions(client, "many")]
    assert (len(kept), 3 in kept, 4 in kept) == (10, True, False)
    client.call("agent.remove", Remove("many"))
    assert modules(node) == before


def test_a_stopped_agent_gets_its_version_and_stays_stopped(client: RouterClient) -> None:
    deploy(client, "rests", answering(1))
    client.call("agent.stop", Stop("rests"))
    view = update(client, "rests", answering(2))
    assert (view["version"], view["status"]) == (2, "stopped")
    assert refusal(client, "invoke", Invoke(message("rests"), 5.0)).code is Code.AGENT_STOPPED
    assert refused(client, "rests", answering(3), strategy="canary").code is Code.AGENT_STOPPED
    client.call("agent.start", Named("rests"))
    assert invoke(client, "rests")["content"] == 2


def test_a_command_is_updated_too(client: RouterClient) -> None:
    deploy(client, "tool", CAT)
    assert update(client, "tool", args=["x"], max_concurrency=2)["config"]["max_concurrency"] == 2
    assert invoke(client, "tool", b'{"y":1}')["content"] == {"y": 1}
    update(client, "tool", answering(2), max_concurrency=None)
    assert invoke(client, "tool")["content"] == 2


def test_an_agent_can_be_stopped_while_its_next_version_compiles(node: RouterNode, client: RouterClient) -> None:
    deploy(client, "patient", answering(1))
    view = update(client, "patient", slow_to_compile(), wait_seconds=0.0)
    client.call("agent.stop", Stop("patient"))
    ended = job(client, view["job_id"])
    assert (ended["state"], ended["result"]["version"], ended["result"]["status"]) == ("done", 2, "stopped")


def test_a_failed_agent_is_mended_by_an_update() -> None:
    with RouterNode() as node, ExitStack() as stack:
        with node.client() as client:
            view = deploy(client, "ill", answering(1))
        node.kill_router()
        (node.data / "modules" / view["module_sha256"]).unlink()
        node.start_router()
        client = stack.enter_context(node.client())
        until(lambda: client.call("agent.get", Named("ill"))["status"] == "failed")
        assert refusal(client, "agent.rollback", {"name": "ill"}).code is Code.INVALID_REQUEST
        assert update(client, "ill", answering(2))["status"] == "running"
        assert invoke(client, "ill")["content"] == 2


def test_what_an_older_release_did_meanwhile_is_made_right() -> None:
    with RouterNode() as node:
        with node.client() as client:
            for name in ("stays", "leaves"):
                deploy(client, name, another(answering(1), ord(name[0])))
        node.stop_router()
        with closing(sqlite3.connect(node.data / "local.db")) as database:  # as a release without versions would
            database.execute("DELETE FROM agent_version WHERE agent = 'stays'")
            database.execute("DELETE FROM agent WHERE name = 'leaves'")
            database.commit()
        node.start_router()
        with node.client() as client:
            assert versions(client, "stays") == [(1, "current")]
            sha256 = client.call("agent.get", Named("stays"))["module_sha256"]
            assert modules(node) == {sha256}
            deploy(client, "leaves", answering(2))
            assert versions(client, "leaves") == [(1, "current")]
            update(client, "stays", answering(3))
            assert rollback(client, "stays")["module_sha256"] == sha256
