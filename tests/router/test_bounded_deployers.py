"""Whoever is bound to a namespace gives no agent a way out of it: not at once, and not by way of another version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from caxton.protocol.access import Caller, Role
from caxton.protocol.agents import AgentConfig
from caxton.protocol.errors import Code
from caxton.protocol.operations import DeadReplay, Deploy, Named
from caxton.protocol.talks import CapabilityBody, CapabilitySet, Provider, Select, Subscribe, TaskCreate
from caxton.protocol.versions import BlueGreen, ConfigChange, Rollback, Steer, Strategy, Update
from support import router_agents as agents
from support.desk_node import RouterNode, deploy, refusal, submit, until
from support.router_client import RouterClient
from support.router_modules import DESCRIBED, SILENT, slow_to_compile, wasm

BOUND = Caller("dora", Role.DEPLOYER, "team")


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode(messaging={"max_deliveries": 1}) as made:
        yield made


@pytest.fixture
def admin(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as client:
        yield client


@pytest.fixture
def dora(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as client:
        client.caller = BOUND
        yield client


def wanted(name: str, **config: Any) -> Deploy:
    return Deploy(msgspec.convert({"name": name, **config}, AgentConfig), wasm(SILENT), 30.0)


OUT_OF_REACH: dict[str, dict[str, Any]] = {
    "grants.send[0]": {"grants": {"send": ["other/*"]}},
    "grants.send[1]": {"grants": {"send": ["team/a", "*"]}},
    "grants.send[2]": {"grants": {"send": ["topic:team/t", "capability:team/c", "topic:news"]}},
    "grants.topics[0]": {"grants": {"topics": ["*"]}},
    "grants.secrets[0]": {"grants": {"secrets": ["team"]}},
    "grants.dirs": {"grants": {"dirs": [{"host": "/tmp", "guest": "/t"}]}},
    "capabilities[0]": {"capabilities": ["teamwork/x"]},
}


@pytest.mark.parametrize("path", OUT_OF_REACH)
def test_a_grant_that_leads_out_is_refused_with_its_place(dora: RouterClient, path: str) -> None:
    error = refusal(dora, "agent.deploy", wanted("team/out", **OUT_OF_REACH[path]))
    assert (error.code, error.details["path"], error.details["namespace"]) == (Code.FORBIDDEN, path, "team")


def test_an_agent_elsewhere_is_refused_whether_or_not_there_is_one(admin: RouterClient, dora: RouterClient) -> None:
    deploy(admin, "other/there", SILENT)
    found = [
        refusal(dora, "agent.deploy", wanted(name)) for name in ("other/there", "other/nowhere", "teams", "team")
    ]
    assert {error.code for error in found} == {Code.FORBIDDEN}
    assert {error.details["path"] for error in found} == {"name"}


def test_sending_to_everybody_becomes_everybody_in_the_namespace(admin: RouterClient, dora: RouterClient) -> None:
    view = deploy(dora, "team/sends", agents.sender("other/box"), grants={"http": ["https://example.com"]})
    assert view["grants"]["send"] == ["team/*"]
    assert view["grants"]["http"] == ["https://example.com"]
    deploy(admin, "other/box", agents.COUNTER)
    deploy(dora, "team/inside", agents.sender("team/sends"))
    submit(dora, "team/sends")
    submit(dora, "team/inside")
    until(lambda: dora.call("agent.get", Named("team/sends"))["counters"]["done"] >= 2)
    assert admin.call("agent.get", Named("other/box"))["counters"].get("accepted", 0) == 0


def test_another_module_does_not_inherit_what_an_operator_gave(admin: RouterClient, dora: RouterClient) -> None:
    deploy(admin, "team/given", SILENT, grants={"send": ["other/*"]})
    error = refusal(dora, "agent.update", Update("team/given", ConfigChange(), wasm(agents.ECHO)))
    assert (error.code, error.details["path"]) == (Code.FORBIDDEN, "grants.send[0]")
    assert admin.call("agent.get", Named("team/given"))["version"] == 1


def test_a_grant_that_comes_while_the_update_compiles_is_seen(admin: RouterClient, dora: RouterClient) -> None:
    """The job is looked at again when it takes the agent's lock: here, after a restart of the router."""
    deploy(admin, "team/race", SILENT)

    job = dora.call("agent.update", Update("team/race", ConfigChange(), slow_to_compile(), wait_seconds=0.0))["job"]
    change = ConfigChange(grants=msgspec.convert({"send": ["other/*"]}, type(AgentConfig("x").grants)))
    admin.call("agent.update", Update("team/race", change, wait_seconds=30.0))
    ended = until(
        lambda: (
            view if (view := admin.call("job.get", Named(job["job_id"])))["state"] in ("done", "failed") else None
        ),
        90,
    )
    assert (ended["state"], ended["error"]["code"]) == ("failed", Code.FORBIDDEN)


def test_a_rollback_brings_no_grant_back(admin: RouterClient, dora: RouterClient) -> None:
    deploy(admin, "team/rolls", SILENT, grants={"send": ["other/*"]})
    change = ConfigChange(grants=msgspec.convert({"send": ["team/*"]}, type(AgentConfig("x").grants)))
    admin.call("agent.update", Update("team/rolls", change, wait_seconds=30.0))
    dora.call("agent.update", Update("team/rolls", ConfigChange(config={"n": 1}), wait_seconds=30.0))
    assert refusal(dora, "agent.rollback", Rollback("team/rolls", 1)).code is Code.FORBIDDEN
    assert dora.call("agent.rollback", Rollback("team/rolls", 2))["grants"]["send"] == ["team/*"]
    assert admin.call("agent.rollback", Rollback("team/rolls", 1))["grants"]["send"] == ["other/*"]


def test_a_rollback_to_the_default_of_others_is_wider_too(admin: RouterClient, dora: RouterClient) -> None:
    deploy(admin, "team/default", SILENT)
    dora.call("agent.update", Update("team/default", ConfigChange(config={"n": 1}), wait_seconds=30.0))
    assert dora.call("agent.get", Named("team/default"))["grants"]["send"] == ["team/*"]
    assert refusal(dora, "agent.rollback", Rollback("team/default")).code is Code.FORBIDDEN


@pytest.mark.parametrize("how", ["abort", "rollback"])
def test_the_end_of_a_rollout_brings_no_grant_back(admin: RouterClient, dora: RouterClient, how: str) -> None:
    name = f"team/{how}"
    deploy(admin, name, SILENT, grants={"send": ["other/*"]})
    change = ConfigChange(grants=msgspec.convert({"send": ["team/*"]}, type(AgentConfig("x").grants)))
    green = Update(name, change, strategy=Strategy.BLUE_GREEN, blue_green=BlueGreen(600.0), wait_seconds=30.0)
    admin.call("agent.update", green)
    op, args = ("agent.steer", Steer(name, "abort")) if how == "abort" else ("agent.rollback", Rollback(name))
    assert refusal(dora, op, args).code is Code.FORBIDDEN
    assert dora.call("agent.steer", Steer(name, "promote"))["grants"]["send"] == ["team/*"]


def test_a_wider_canary_is_not_promoted_and_may_be_aborted(admin: RouterClient, dora: RouterClient) -> None:
    deploy(dora, "team/canary", SILENT)
    change = ConfigChange(grants=msgspec.convert({"send": ["other/*"]}, type(AgentConfig("x").grants)))
    admin.call("agent.update", Update("team/canary", change, strategy=Strategy.CANARY, wait_seconds=30.0))
    assert refusal(dora, "agent.steer", Steer("team/canary", "promote")).code is Code.FORBIDDEN
    assert dora.call("agent.steer", Steer("team/canary", "abort"))["grants"]["send"] == ["team/*"]


def test_dead_letters_are_not_replayed_at_a_wider_version(admin: RouterClient, dora: RouterClient) -> None:
    deploy(admin, "team/dead", agents.TRAP, grants={"send": ["other/*"]})
    change = ConfigChange(grants=msgspec.convert({"send": ["team/*"]}, type(AgentConfig("x").grants)))
    admin.call("agent.update", Update("team/dead", change, wait_seconds=30.0))
    (letter,) = submit(dora, "team/dead")
    until(lambda: dora.call("message.get", Named(letter))["state"] == "dead")
    assert refusal(dora, "dead.replay", DeadReplay([letter], version=1)).code is Code.FORBIDDEN
    assert dora.call("dead.replay", DeadReplay([letter], version=2)) == {"count": 1}


def test_what_an_agent_claims_itself_counts_in_its_own_namespace(admin: RouterClient, dora: RouterClient) -> None:
    """Its descriptor has names of no namespace: whoever asks for those is not led to it."""
    assert deploy(admin, "described", DESCRIBED)["capabilities"]
    assert deploy(dora, "team/described", DESCRIBED)["capabilities"] == []


def test_topics_capabilities_and_tasks_elsewhere_are_refused(admin: RouterClient, dora: RouterClient) -> None:
    deploy(dora, "team/self", SILENT)
    deploy(admin, "other/target", SILENT)
    body = CapabilityBody(providers=[Provider("team/self")])
    assert refusal(dora, "capability.set", CapabilitySet("ocr", body)).code is Code.FORBIDDEN
    away = CapabilityBody(providers=[Provider("other/target")])
    assert refusal(dora, "capability.set", CapabilitySet("team/ocr", away)).code is Code.AGENT_NOT_FOUND
    assert refusal(dora, "topic.subscribe", Subscribe("other/news", "team/self")).code is Code.FORBIDDEN
    assert refusal(dora, "topic.subscribe", Subscribe("team/news", "other/target")).code is Code.AGENT_NOT_FOUND
    task = TaskCreate(
        task_id="00000000-0000-4000-8000-000000000001",
        owner="client:dora",
        capability="ocr",
        content=b"{}",
        select=Select(field="price"),
        reply_by=4e9 - 1,
    )
    assert refusal(dora, "task.create", task).code is Code.FORBIDDEN
    chooser = msgspec.structs.replace(task, capability="team/ocr", select=Select(chooser="other/target"))
    assert refusal(dora, "task.create", chooser).code is Code.AGENT_NOT_FOUND
