"""What a router finds again after it ended, orderly or not."""

from __future__ import annotations

import random
import time

import pytest

from caxton.protocol.agents import AgentConfig
from caxton.protocol.errors import Code
from caxton.protocol.operations import Deploy, Listing, Named, Stop
from support.desk_node import RouterNode, deploy, invoke, job, refusal, submit, until
from support.router_modules import BAD_INIT, COUNTER, ECHO, SLEEPER, slow_to_compile, wasm


def test_agents_run_on_after_kill_and_after_an_orderly_end() -> None:
    with RouterNode() as node:
        with node.client() as client:
            deploy(client, "counter", COUNTER)
            deploy(client, "halted", ECHO)
            client.call("agent.stop", Stop("halted"))
            assert invoke(client, "counter")["content"] == 1
            first = client.call("agent.get", Named("counter"))["resources"]["incarnation"]
        node.kill_router()
        node.start_router()
        with node.client() as client:
            assert invoke(client, "counter")["content"] == 1, "memory never outlives the router"
            assert client.call("agent.get", Named("counter"))["resources"]["incarnation"] > first
            assert client.call("agent.get", Named("halted"))["status"] == "stopped"
        assert node.stop_router() == 0
        node.start_router()
        with node.client() as client:
            assert invoke(client, "counter")["performative"] == "inform"
            names = [item["name"] for item in client.call("agent.list", Listing())["items"]]
            assert names == ["counter", "halted"]


def test_accepted_messages_are_handled_after_a_kill() -> None:
    with RouterNode() as node:
        with node.client() as client:
            deploy(client, "slow", SLEEPER)
            submit(client, "slow", 4)
        node.kill_router()
        node.start_router()
        with node.client() as client:
            until(lambda: client.call("agent.get", Named("slow"))["counters"]["done"] == 4)
            ledger = client.call("ledger")["node"]
            assert (ledger["imbalance"], ledger["pending"], ledger["in_flight"]) == (0, 0, 0)


def test_a_deployment_goes_on_after_a_kill_at_any_moment() -> None:
    seed = time.time_ns()
    print("seed", seed)
    chance = random.Random(seed)
    module = slow_to_compile(1_500)
    with RouterNode() as node:
        for number in range(4):
            name = f"agent-{number}"
            client = node.client()
            call = client.send("agent.deploy", Deploy(AgentConfig(name), module + bytes([0, 2, 1, number]), 0.0))
            answered = chance.random() < 0.5
            view = client.answer(call)["job"] if answered else None
            time.sleep(chance.random() * 0.6)
            node.kill_router()
            client.close()
            node.start_router()
            with node.client() as client:
                if view is not None:
                    assert job(client, view["job_id"])["state"] == "done"
                    assert invoke(client, name)["performative"] == "inform"
                else:
                    _whole_or_absent(node, name)
        with node.client() as client:
            client.call("node.gc")
            used = {item["module_sha256"] for item in client.call("agent.list", Listing())["items"]}
            assert {path.name for path in (node.data / "modules").iterdir()} == used


def _whole_or_absent(node: RouterNode, name: str) -> None:
    """A deployment whose answer nobody saw either becomes an agent that answers, or is not there."""
    with node.client() as client:

        def settled() -> bool:
            return client.call("stats")["jobs_running"] == 0

        until(settled)
        names = [item["name"] for item in client.call("agent.list", Listing())["items"]]
        if name in names:
            assert invoke(client, name)["performative"] == "inform"
        else:
            assert refusal(client, "agent.get", Named(name)).code is Code.AGENT_NOT_FOUND


def test_a_deployment_that_fails_after_the_restart_says_so() -> None:
    with RouterNode() as node:
        with node.client() as client:
            view = deploy(client, "bad", slow_to_compile(800), wait_seconds=0.0)
        node.kill_router()
        node.start_router()
        with node.client() as client:
            assert job(client, view["job_id"])["state"] == "done"
            view = deploy(client, "worse", BAD_INIT, wait_seconds=0.0)
            assert job(client, view["job_id"])["state"] == "failed"
            assert refusal(client, "agent.get", Named("worse")).code is Code.AGENT_NOT_FOUND


def test_an_agent_whose_module_is_gone_is_failed_and_named() -> None:
    with RouterNode() as node:
        with node.client() as client:
            view = deploy(client, "orphan", ECHO)
        node.stop_router()
        (node.data / "modules" / view["module_sha256"]).unlink()
        node.start_router()
        with node.client() as client:
            until(lambda: client.call("agent.get", Named("orphan"))["status"] == "failed")
            assert client.call("agent.get", Named("orphan"))["status_reason"]
            (node.data / "modules" / view["module_sha256"]).write_bytes(wasm(ECHO))
            assert client.call("agent.start", Named("orphan"))["status"] == "running"


def test_two_routers_never_share_a_data_directory() -> None:
    with RouterNode() as node:
        first = node.router
        node.start_router(ready=False)
        assert node.router is not None
        assert node.router.wait(20) == 1
        node.router = first
        assert node.is_ready()


@pytest.mark.parametrize("bad", ["not toml [", "[runtime]\nmax_agents = -1"])
def test_a_configuration_that_does_not_hold_ends_the_router_at_once(bad: str) -> None:
    node = RouterNode()
    try:
        node.config.write_text(bad)
        node.start_router(ready=False)
        assert node.router is not None
        assert node.router.wait(20) == 1
        assert "Traceback" not in node.log
    finally:
        node.close()
