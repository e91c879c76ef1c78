"""Deploying, showing, stopping, starting and removing agents, with a real executor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from caxton.protocol.agents import AgentConfig
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Deploy, Listing, Logs, Named, Remove, Stop, Submit
from support.desk_node import RouterNode, deploy, invoke, job, message, refusal, submit, until
from support.router_client import RouterClient
from support.router_modules import (
    BAD_INIT,
    BIG_MEMORY,
    CAT,
    CONSTANT,
    COUNTER,
    DESCRIBED,
    ECHO,
    ENDLESS_INIT,
    FOREIGN,
    KEYS,
    LOGS,
    REFUSES,
    SILENT,
    SLEEPER,
    SPIN,
    slow_to_compile,
    wasm,
)


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode(runtime={"executor_workers": 1, "agent_startup_timeout": "2s"}) as started:
        yield started


@pytest.fixture
def client(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as connected:
        yield connected


def refused(client: RouterClient, name: str, module: str | bytes, **config: Any) -> CaxtonError:
    with pytest.raises(CaxtonError) as caught:
        deploy(client, name, module, **config)
    return caught.value


def modules(node: RouterNode) -> set[str]:
    return {path.name for path in (node.data / "modules").iterdir()}


def test_a_reactor_runs_once_it_is_deployed(node: RouterNode, client: RouterClient) -> None:
    view = deploy(client, "echo", ECHO)
    assert (view["status"], view["shape"], view["instance"], view["version"]) == (
        "running",
        "reactor",
        "persistent",
        1,
    )
    assert view["module_sha256"] == sha256(wasm(ECHO)).hexdigest()
    assert view["module_bytes"] == len(wasm(ECHO))
    assert (node.data / "modules" / view["module_sha256"]).read_bytes() == wasm(ECHO)
    reply = invoke(client, "echo", b'{"x":1}')
    assert reply["performative"] == "inform"
    assert reply["content"]["content"] == {"x": 1}
    assert client.call("agent.get", Named("echo"))["counters"]["accepted"] >= 0


def test_a_command_runs_once_it_is_deployed(client: RouterClient) -> None:
    view = deploy(client, "cat", CAT)
    assert (view["shape"], view["instance"]) == ("command", "per_message")
    assert invoke(client, "cat", b'{"y":[1,2]}')["content"] == {"y": [1, 2]}


def test_what_an_agent_says_of_itself_is_shown_and_searched(client: RouterClient) -> None:
    view = deploy(client, "described", DESCRIBED, capabilities=["add"])
    assert view["capabilities"] == ["add", "sum"]
    assert view["descriptor"] == {"capabilities": ["sum"], "by": "test"}
    page = client.call("agent.list", Listing(capability="sum"))
    assert [item["name"] for item in page["items"]] == ["described"]


@pytest.mark.parametrize(
    ("name", "module", "code"),
    [
        ("bad-bytes", b"not wasm at all", Code.INVALID_WASM),
        ("bad-empty", b"", Code.INVALID_WASM),
        ("bad-cut", wasm(ECHO)[:-20], Code.INVALID_WASM),
        ("bad-import", FOREIGN, Code.INVALID_WASM),
        ("bad-init", BAD_INIT, Code.AGENT_FAILED),
        ("bad-endless", ENDLESS_INIT, Code.EXECUTION_TIMEOUT),
    ],
)
def test_what_cannot_run_is_refused_and_leaves_nothing(
    node: RouterNode, client: RouterClient, name: str, module: str | bytes, code: Code
) -> None:
    before = modules(node)
    assert refused(client, name, module).code is code
    assert refusal(client, "agent.get", Named(name)).code is Code.AGENT_NOT_FOUND
    assert modules(node) == before


def test_a_memory_over_its_limit_is_refused(client: RouterClient) -> None:
    assert refused(client, "big", BIG_MEMORY, limits={"memory_bytes": 1_000_000}).code is Code.INVALID_WASM


def test_a_name_is_deployed_once_however_many_try(client: RouterClient, node: RouterNode) -> None:
    found: list[str] = []

    def attempt() -> None:
        with node.client() as other:
            try:
                found.append(deploy(other, "once", ECHO)["status"])
            except CaxtonError as error:
                found.append(error.code)

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [Code.AGENT_ALREADY_EXISTS] * 5 + ["running"]


def test_a_self_test_decides(client: RouterClient) -> None:
    assert deploy(client, "tested", CONSTANT, self_test={"content": 1, "expect": 42})["status"] == "running"
    wrong = refused(client, "tested-wrong", CONSTANT, self_test={"content": 1, "expect": 43})
    assert (wrong.code, wrong.details["path"]) == (Code.AGENT_FAILED, "self_test.expect")
    assert refused(client, "tested-refuses", REFUSES, self_test={"content": 1}).code is Code.AGENT_FAILED
    slow = refused(client, "tested-spins", SPIN, self_test={"content": 1}, limits={"execution_timeout_seconds": 0.3})
    assert slow.code is Code.EXECUTION_TIMEOUT
    for name in ("tested-wrong", "tested-refuses", "tested-spins"):
        assert refusal(client, "agent.get", Named(name)).code is Code.AGENT_NOT_FOUND


def test_a_long_compilation_is_a_job_with_progress(client: RouterClient) -> None:
    view = deploy(client, "long", slow_to_compile(), wait_seconds=0.05)
    assert (view["kind"], view["state"]) == ("deploy", "running")
    assert 0 <= view["progress"] < 1
    ended = job(client, view["job_id"])
    assert (ended["state"], ended["progress"], ended["result"]["name"]) == ("done", 1.0, "long")
    assert invoke(client, "long")["performative"] == "inform"


def test_a_deployment_that_fails_later_says_so_in_its_job(client: RouterClient) -> None:
    view = deploy(client, "later", BAD_INIT, wait_seconds=0.0)
    ended = job(client, view["job_id"])
    assert (ended["state"], ended["error"]["code"]) == ("failed", Code.AGENT_FAILED)


def test_stopped_keeps_its_mail_and_goes_on_with_it_when_started(client: RouterClient) -> None:
    deploy(client, "stopper", SLEEPER)
    submit(client, "stopper", 3)
    view = client.call("agent.stop", Stop("stopper", 10))
    assert view["status"] == "stopped"
    assert view["counters"]["pending"] >= 1
    assert view["counters"]["in_flight"] == 0
    assert client.call("agent.stop", Stop("stopper", 0))["status"] == "stopped"
    assert client.call("submit", Submit([message("stopper")]))[0]["error"]["code"] == Code.AGENT_STOPPED
    assert client.call("agent.start", Named("stopper"))["status"] == "running"
    until(lambda: client.call("agent.get", Named("stopper"))["counters"]["done"] == 3)


def test_stopping_does_not_wait_longer_than_its_grace(client: RouterClient) -> None:
    deploy(client, "stubborn", SPIN)
    submit(client, "stubborn")
    until(lambda: client.call("agent.get", Named("stubborn"))["counters"]["in_flight"] == 1)
    view = client.call("agent.stop", Stop("stubborn", 0.1))
    assert (view["status"], view["counters"]["pending"]) == ("stopped", 1)


def test_removing_moves_the_mail_to_the_dead_letters(node: RouterNode, client: RouterClient) -> None:
    view = deploy(client, "leaver", COUNTER)
    client.call("agent.stop", Stop("leaver"))
    client.call("agent.start", Named("leaver"))
    client.call("node.pause")
    ids = submit(client, "leaver", 3)
    assert client.call("agent.remove", Remove("leaver"))["count"] == 3
    client.call("node.resume")
    assert {client.call("dead.get", Named(message_id))["state"] for message_id in ids} == {"dead"}
    assert refusal(client, "agent.get", Named("leaver")).code is Code.AGENT_NOT_FOUND
    assert view["module_sha256"] not in modules(node)


def test_purging_leaves_no_mail(client: RouterClient) -> None:
    deploy(client, "purged", COUNTER)
    client.call("node.pause")
    submit(client, "purged", 2)
    client.call("agent.remove", Remove("purged", purge=True))
    client.call("node.resume")
    assert client.call("dead.list", Listing(name="purged"))["items"] == []
    row = next(row for row in client.call("ledger")["agents"] if row["name"] == "purged")
    assert (row["accepted"], row["pending"], row["imbalance"]) == (2, 0, 0)


def test_a_changed_agent_is_not_removed_by_an_old_etag(client: RouterClient) -> None:
    view = deploy(client, "tagged", ECHO)
    assert refusal(client, "agent.remove", Remove("tagged", etag='"other"')).code is Code.CONFLICT
    client.call("agent.remove", Remove("tagged", etag=f'"{view["etag"]}"'))
    again = deploy(client, "tagged", ECHO)
    assert again["etag"] != view["etag"]


def test_a_module_shared_by_two_agents_stays_until_both_are_gone(node: RouterNode, client: RouterClient) -> None:
    sha256 = deploy(client, "twin-a", SILENT)["module_sha256"]
    deploy(client, "twin-b", SILENT)
    client.call("agent.remove", Remove("twin-a"))
    assert sha256 in modules(node)
    client.call("agent.remove", Remove("twin-b"))
    assert sha256 not in modules(node)


def test_keys_logs_and_executions_are_shown_and_go_with_the_agent(client: RouterClient) -> None:
    deploy(client, "keeper", KEYS)
    deploy(client, "talker", LOGS)
    for name in ("keeper", "talker"):
        submit(client, name)
    assert until(lambda: client.call("agent.state", Listing(name="keeper"))["items"]) == [
        {"key": "k", "value": "abc", "encoding": "utf-8", "size_bytes": 3}
    ]
    lines = until(lambda: list(client.stream("agent.logs", Logs("talker"))))
    assert [line["text"] for line in lines] == ["hello"]
    assert until(lambda: client.call("agent.executions", Listing(name="talker"))["items"])[0]["status"] == "ok"
    client.call("agent.remove", Remove("keeper"))
    deploy(client, "keeper", KEYS)
    assert client.call("agent.state", Listing(name="keeper"))["items"] == []


def test_a_log_is_followed(node: RouterNode, client: RouterClient) -> None:
    deploy(client, "chatty", LOGS)
    with node.client() as reader:
        call = reader.send("agent.logs", Logs("chatty", limit=0, follow=True))
        submit(client, "chatty", 2)
        assert [reader.receive().call_id for _ in range(2)] == [call, call]


def test_agents_are_listed_page_by_page(client: RouterClient) -> None:
    for number in range(5):
        deploy(client, f"page/n{number}", ECHO)
    seen: list[str] = []
    cursor = None
    while True:
        page = client.call("agent.list", Listing(limit=2, cursor=cursor))
        assert len(page["items"]) <= 2
        seen += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(set(seen))
    assert {f"page/n{number}" for number in range(5)} <= set(seen)
    assert refusal(client, "agent.list", Listing(status="sleepy")).code is Code.INVALID_REQUEST
    assert refusal(client, "agent.list", Listing(cursor="zzz")).code is Code.INVALID_REQUEST
    assert refusal(client, "agent.list", Listing(limit=201)).code is Code.INVALID_REQUEST


def test_a_granted_directory_must_be_shareable(client: RouterClient, tmp_path: Path) -> None:
    grants = {"dirs": [{"host": str(tmp_path), "guest": "/data"}]}
    error = refused(client, "dirs", CAT, grants=grants)
    assert (error.code, error.details["path"]) == (Code.INVALID_REQUEST, "grants.dirs[0].host")


def test_no_more_agents_than_allowed_and_room_again_after_removal() -> None:
    with RouterNode(runtime={"executor_workers": 1, "max_agents": 2}) as node, node.client() as client:
        deploy(client, "a", ECHO)
        deploy(client, "b", ECHO)
        error = refused(client, "c", CAT)
        assert (error.code, error.details["maximum"]) == (Code.RESOURCE_LIMIT_EXCEEDED, 2)
        assert len(modules(node)) == 1
        client.call("agent.remove", Remove("a"))
        assert deploy(client, "c", CAT)["status"] == "running"


def test_a_module_over_the_size_limit_is_refused(client: RouterClient) -> None:
    error = refusal(client, "agent.deploy", Deploy(AgentConfig("huge"), bytes(100_000_001)))
    assert error.code is Code.PAYLOAD_TOO_LARGE
