"""An `agent-client` sends to the agents that its credential names, in its own name, and sees what it sent itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from caxton.protocol.access import Caller, Role
from caxton.protocol.errors import Code
from caxton.protocol.operations import Invoke, Listing, Named, Submit
from caxton.protocol.talks import CapabilityBody, CapabilitySet, Provider
from support import router_agents as agents
from support.desk_node import RouterNode, deploy, invoke, job, message, refusal
from support.router_client import RouterClient


def client_of(node: RouterNode, subject: str, *agents_: str) -> RouterClient:
    client = node.client()
    client.caller = Caller(subject, Role.AGENT_CLIENT, None, agents_ or None)
    return client


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode() as made, made.client() as admin:
        for name in ("team/echo", "team/other", "plain"):
            deploy(admin, name, agents.ECHO)
        admin.call("capability.set", CapabilitySet("team/ocr", CapabilityBody(providers=[Provider("team/other")])))
        yield made


def test_only_named_agents_exist_for_it(node: RouterNode) -> None:
    with client_of(node, "carl", "team/e*", "plain") as carl:
        assert invoke(carl, "team/echo")["performative"] == "inform"
        assert invoke(carl, "plain")["performative"] == "inform"
        unknown = refusal(carl, "invoke", Invoke(message("team/none"), 5.0))
        hidden = refusal(carl, "invoke", Invoke(message("team/other"), 5.0))
        assert hidden.message == unknown.message.replace("none", "other")
        items = carl.call("submit", Submit([message("team/other"), message("plain"), message("capability:team/ocr")]))
        assert [item.get("error", {}).get("code") for item in items] == ["AGENT_NOT_FOUND", None, "AGENT_NOT_FOUND"]
        assert refusal(carl, "invoke", Invoke(message("topic:news"), 5.0)).code is Code.FORBIDDEN


def test_a_capability_must_be_named_literally(node: RouterNode) -> None:
    with client_of(node, "carl", "*") as wild, client_of(node, "carl", "capability:team/ocr") as literal:
        assert refusal(wild, "invoke", Invoke(message("capability:team/ocr"), 5.0)).code is Code.AGENT_NOT_FOUND
        assert invoke(literal, "capability:team/ocr")["performative"] == "inform"
        assert refusal(literal, "invoke", Invoke(message("team/other"), 5.0)).code is Code.AGENT_NOT_FOUND


def test_it_sees_its_own_messages_and_jobs_and_no_others(node: RouterNode) -> None:
    with client_of(node, "carl", "team/*") as carl, client_of(node, "eve", "team/*") as eve:
        one = message("team/echo", sender="client:somebody-else")
        carl.call("submit", Submit([one]))
        assert carl.call("message.get", Named(one.message_id))["sender"] == "client:carl"
        assert refusal(eve, "message.get", Named(one.message_id)).code is Code.MESSAGE_NOT_FOUND
        assert refusal(eve, "message.cancel", Named(one.message_id)).code is Code.MESSAGE_NOT_FOUND
        assert eve.call("message.list", Listing(name="team/echo"))["items"] == []
        listed = carl.call("message.list", Listing(name="team/echo"))["items"]
        assert {item["sender"] for item in listed} == {"client:carl"}
        assert refusal(carl, "message.list", Listing()).code is Code.INVALID_REQUEST
        begun = carl.call("invoke", Invoke(message("team/echo"), 5.0, as_job=True))["job"]
        assert job(carl, begun["job_id"])["state"] == "done"
        assert refusal(eve, "job.get", Named(begun["job_id"])).code is Code.JOB_NOT_FOUND


def test_everything_else_is_refused(node: RouterNode) -> None:
    with client_of(node, "carl", "*") as carl:
        for op, args in (
            ("agent.list", Listing()),
            ("agent.get", Named("plain")),
            ("dead.list", Listing()),
            ("ledger", None),
            ("stats", None),
        ):
            assert refusal(carl, op, args).code is Code.FORBIDDEN, op
        assert carl.call("ready")["ready"] is True


def test_without_a_list_of_agents_it_still_sees_only_its_own(node: RouterNode) -> None:
    with client_of(node, "carl") as carl, client_of(node, "eve") as eve:
        one = message("plain")
        carl.call("submit", Submit([one]))
        assert carl.call("message.get", Named(one.message_id))["sender"] == "client:carl"
        assert refusal(eve, "message.get", Named(one.message_id)).code is Code.MESSAGE_NOT_FOUND
        assert refusal(eve, "ledger").code is Code.FORBIDDEN
