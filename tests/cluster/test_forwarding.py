"""Any node takes any request: what lives elsewhere is asked there, what is sent there arrives once and in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import json, structs

from caxton.cluster.placement import owner
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Delivery
from caxton.protocol.operations import Invoke, Listing, Logs, Named, Remove, Submit
from caxton.protocol.recordings import RecordingOf
from caxton.protocol.talks import ConversationListing, Select, Subscribe, TaskCreate
from support import router_agents as agents
from support.collector import Collector, running_collector
from support.desk_node import message
from support.forwarding_nodes import NAMES, Member, Nodes, listed, named_for, until
from support.moving_homes import drained, ranked_for, undrained
from support.router_modules import CONSTANT, ECHO, LOGS
from support.serf_agents import SERF

pytestmark = pytest.mark.skipif(SERF is None, reason="serf is not installed")
NAP = """
(module
  (import "caxton" "sleep_micros" (func $sleep (param i64) (result i32)))
  (memory (export "memory") 1)
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param i32 i32) (result i32)
    (drop (call $sleep (i64.const 500000))) (i32.const 0)))
"""
KEEPS = {"instance": "persistent", "grants": {"kv": True, "send": ["*"]}}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running_collector(tmp_path_factory.mktemp("collector")) as made:
        yield made


@pytest.fixture(scope="module")
def nodes(collector: Collector) -> Iterator[Nodes]:
    made = Nodes(
        CAXTON_OBSERVABILITY__ENABLE_TRACING="true",
        CAXTON_OBSERVABILITY__TRACE_SAMPLE_RATE="0",
        CAXTON_OBSERVABILITY__OTLP_ENDPOINT=collector.endpoint,
    )
    try:
        yield made.start()
    except BaseException:
        print(made.logs())
        raise
    finally:
        made.close()


def ask(member: Member, name: str, seconds: float = 20.0, **more: Any) -> Any:
    return member.call("invoke", Invoke(message(name), seconds, **more))["reply"]


def state(member: Member, message_id: str) -> str:
    return str(member.call("message.get", Named(message_id))["state"])


def test_an_agent_answers_through_every_node(nodes: Nodes) -> None:
    name = named_for("n2", "echo")
    assert nodes.deploy("n1", name, ECHO, **KEEPS) == "n2"
    for member in nodes:
        assert ask(member, name)["content"]["receiver"] == name
        assert ask(member, name, delivery=Delivery.DURABLE)["performative"] == "inform"
        (item,) = member.call("submit", Submit([message(name)]))
        until(lambda one=member, of=item: state(one, of["message_id"]) == "done", "it is done, wherever one asks")
        assert member.call("agent.get", Named(name))["node"] == "n2"
        assert [one["name"] for one in listed(member, "agent.list", 1)].count(name) == 1
    assert "forwarded" not in {one["state"] for one in listed(nodes["n1"], "message.list", 3, name=name)}


def test_what_one_agent_sends_another_gets_on_its_own_node(nodes: Nodes) -> None:
    counts, sends = named_for("n3", "counts"), named_for("n1", "sends")
    nodes.deploy("n2", counts, agents.reactor("(call $bump) (i32.const 0)"), **KEEPS)
    nodes.deploy("n2", sends, agents.sender(counts, 3), **KEEPS)
    ask(nodes["n2"], sends)
    until(lambda: nodes["n3"].ledger().get(counts, {}).get("done") == 3, "all three are handled")
    until(lambda: nodes["n1"].ledger()[counts]["forwarded"] == 3, "the sender's node has passed them on")
    assert nodes["n1"].ledger()[counts]["pending"] == 0


def test_a_guest_gets_the_reply_of_an_agent_elsewhere(nodes: Nodes) -> None:
    answers, asks = named_for("n2", "answers"), named_for("n3", "asks")
    nodes.deploy("n1", answers, CONSTANT, **KEEPS)
    nodes.deploy("n1", asks, agents.requester(answers), **KEEPS)
    assert ask(nodes["n1"], asks)["content"]["content"] == 42
    until(lambda: nodes["n3"].ledger()[answers]["forwarded"] == 1, "the question is at an end where it was asked")
    assert nodes["n2"].ledger()[answers]["done"] == 1


def test_a_trace_goes_from_node_to_node_and_back(nodes: Nodes, collector: Collector) -> None:
    answers, asks = named_for("n2", "traced"), named_for("n3", "tracing")
    nodes.deploy("n1", answers, CONSTANT, **KEEPS)
    nodes.deploy("n1", asks, agents.requester(answers), **KEEPS)
    trace_id, client = new_id().replace("-", ""), "b7ad6b7169203331"
    nodes["n1"].call("invoke", Invoke(message(asks, traceparent=f"00-{trace_id}-{client}-01"), 20.0))
    names = [f"{what} {name}" for name in (asks, answers) for what in ("send", "process")]
    passed = [f"forward {name}" for name in (asks, answers)]
    spans = {one["name"]: one for one in collector.trace(trace_id, *names, *passed)}
    assert [spans[name]["resource"]["host.name"] for name in names] == ["n3", "n3", "n2", "n2"]
    parents = [client, *(spans[name]["span_id"] for name in names)]
    assert [spans[name]["parent_id"] for name in names] == parents[:-1]
    # At once, by way of the node that was asked; and what an execution has sent, from its outbox.
    assert [spans[name]["resource"]["host.name"] for name in passed] == ["n1", "n3"]
    assert [spans[name]["attributes"]["caxton.node"] for name in passed] == ["n3", "n2"]
    assert [spans[name]["parent_id"] for name in passed] == [client, spans[f"process {asks}"]["span_id"]]


def test_a_batch_for_agents_of_several_nodes_is_answered_item_by_item(nodes: Nodes) -> None:
    names = [named_for(node, "batch") for node in NAMES]
    for name in names:
        nodes.deploy("n1", name, ECHO, **KEEPS)
    batch = [message(name) for name in (*names, "nobody", *reversed(names))]
    items = nodes["n2"].call("submit", Submit(batch))
    assert [item["message_id"] for item in items] == [one.message_id for one in batch]
    assert [item["error"]["code"] if "error" in item else "taken" for item in items] == [
        *["taken"] * 3,
        Code.AGENT_NOT_FOUND,
        *["taken"] * 3,
    ]


def test_a_topic_reaches_subscribers_on_every_node(nodes: Nodes) -> None:
    names = [named_for(node, "hears") for node in NAMES]
    for name in names:
        nodes.deploy("n1", name, ECHO, **KEEPS)
        until(lambda who=name: nodes["n2"].decided("topic.subscribe", Subscribe("news", who)), "it subscribes")
    until(lambda: nodes["n3"].call("topic.get", Named("news"))["count"] == 3, "n3 knows all subscribers")
    (item,) = nodes["n3"].call("submit", Submit([message("topic:news")]))
    assert item["deliveries"]["accepted"] == 3
    for node, name in zip(NAMES, names, strict=True):
        until(lambda of=node, who=name: nodes[of].ledger().get(who, {}).get("done") == 1, f"{name} has heard it")


def test_a_capability_is_found_wherever_it_is_offered(nodes: Nodes) -> None:
    name = named_for("n3", "offers")
    nodes.deploy("n1", name, ECHO, capabilities=["echoing"], **KEEPS)
    assert ask(nodes["n2"], "capability:echoing")["content"]["receiver"] == name
    (item,) = nodes["n1"].call("submit", Submit([message("capability:echoing")]))
    until(lambda: state(nodes["n1"], item["message_id"]) == "done", "it was handled on n3")


def test_a_conversation_of_replicas_is_handled_by_one_of_them(nodes: Nodes) -> None:
    nodes.deploy("n1", "everywhere", ECHO, replicas="all", instance="per_message", grants={"kv": False})
    record = type("Record", (), {"name": "everywhere", "home": None, "replicas": "all", "node": None})()
    for number in range(6):
        conversation = f"talk-{number}"
        place = owner(record, conversation, NAMES)
        sent = [message("everywhere", conversation_id=conversation) for _ in range(3)]
        for member, one in zip(nodes, sent, strict=True):
            member.call("submit", Submit([one]))
        assert place is not None
        until(lambda of=place, who=conversation: _handled(nodes[of], who) == 3, f"{place} has handled {conversation}")


def _handled(member: Member, conversation: str) -> int:
    """Of a conversation, on this node itself: what is counted is there, others are not asked."""
    rows = member.call("message.list", Listing(conversation_id=conversation, limit=50))["items"]
    return sum(row["state"] == "done" for row in rows)


def test_what_was_passed_on_and_comes_back_is_handled_here(nodes: Nodes) -> None:
    """By the node that passed it on: there its id is known, and nobody else has it any more."""
    slow, sends = ranked_for("slow", "n1", "n2"), named_for("n2", "sends")
    nodes.deploy("n3", slow, NAP, instance="per_message")
    nodes.deploy("n3", sends, agents.sender(slow, 8), **KEEPS)
    ask(nodes["n2"], sends)
    until(lambda: nodes["n2"].ledger().get(slow, {}).get("forwarded") == 8, "all are where the agent is")
    drained(nodes["n1"])
    try:
        until(lambda: sum(one.ledger().get(slow, {}).get("done", 0) for one in nodes) == 8, "all are handled", 60)
        assert nodes["n2"].ledger()[slow]["done"] > 0
        for one in nodes:  # the node that it has left too: it is told where it runs, not that it was removed
            assert one.call("agent.history", Listing(name=slow, limit=1))["items"][0]["status"] == "running"
    finally:
        undrained(nodes["n1"])


def test_a_log_is_followed_across_nodes(nodes: Nodes) -> None:
    name = named_for("n1", "talks")
    nodes.deploy("n2", name, LOGS, **KEEPS)
    ask(nodes["n2"], name)
    lines = list(nodes["n3"].client.stream("agent.logs", Logs(name)))
    assert [line["text"] for line in lines] == ["hello"]


def test_pages_of_a_list_of_all_nodes_show_everything_once_and_in_order(nodes: Nodes) -> None:
    names = [named_for(node, "paged") for node in NAMES]
    for name in names:
        nodes.deploy("n1", name, ECHO, **KEEPS)
    batch = [message(names[number % 3], conversation_id="paged") for number in range(20)]
    for one in batch:
        nodes["n1"].call("submit", Submit([one]))
    until(lambda: _handled(nodes["n2"], "paged") == 20, "all are handled")
    for limit in (1, 7, 20):
        found = listed(nodes["n2"], "message.list", limit, conversation_id="paged")
        assert [one["message_id"] for one in found] == [one.message_id for one in reversed(batch)]


def test_what_an_agent_was_told_and_where_is_found_from_every_node(nodes: Nodes) -> None:
    name = named_for("n2", "recorded")
    nodes.deploy("n1", name, ECHO, record=True, **KEEPS)
    ask(nodes["n3"], name)
    for member in nodes:
        (one,) = until(lambda to=member: to.call("agent.recordings", Listing(name=name))["items"], "its recording")
        found = member.call("recording.get", RecordingOf(one["execution"], module=False))
        assert (found["execution"], found["module"]) == (one["execution"], None)
        assert member.call("node.facts", Named(name))["node"] == "n2"
        assert member.call("node.facts", Named(""))["node"] == member.name


def test_a_removed_agent_is_gone_everywhere_and_its_history_is_not(nodes: Nodes) -> None:
    name = named_for("n2", "goes")
    nodes.deploy("n1", name, ECHO, **KEEPS)
    until(lambda: nodes["n3"].decided("agent.remove", Remove(name)), "it may be removed")
    for member in nodes:
        history = member.call("agent.history", Listing(name=name))["items"]
        assert [one["status"] for one in history][:2] == ["removed", "draining"]
    for member in nodes:
        until(lambda one=member: _is_unknown(one, name), f"{member.name} does not know it any more")


def _is_unknown(member: Member, name: str) -> bool:
    try:
        ask(member, name)
    except CaxtonError as error:
        return error.code is Code.AGENT_NOT_FOUND
    return False


def test_a_message_is_cancelled_where_it_waits(nodes: Nodes) -> None:
    name = named_for("n2", "sleeps")
    nodes.deploy("n1", name, agents.sleeper(3.0), **KEEPS)
    first, second = message(name, conversation_id="c"), message(name, conversation_id="c")
    nodes["n3"].call("submit", Submit([first, second]))
    assert nodes["n1"].call("message.cancel", Named(second.message_id))["state"] == "cancelled"
    assert nodes["n3"].refusal("message.cancel", Named(new_id())).code is Code.MESSAGE_NOT_FOUND


def test_the_same_id_is_one_message_whichever_nodes_it_is_sent_to(nodes: Nodes) -> None:
    name, replicas = named_for("n3", "once"), "once-anywhere"
    nodes.deploy("n1", name, ECHO, **KEEPS)
    nodes.deploy("n1", replicas, ECHO, replicas="all", instance="per_message", grants={"kv": False})
    for receiver in (name, replicas):
        sent = message(receiver)
        sent = structs.replace(sent, conversation_id=sent.message_id)
        for member in nodes:
            assert "error" not in member.call("submit", Submit([sent]))[0]
        other = structs.replace(sent, content=b"1")
        assert nodes["n1"].call("submit", Submit([other]))[0]["error"]["code"] == Code.CONFLICT
        until(lambda of=receiver: sum(_count(one, of, "done") for one in nodes) == 1, "it is done once")
        assert sum(_count(one, receiver, "accepted") - _count(one, receiver, "forwarded") for one in nodes) == 1


def _count(member: Member, name: str, column: str) -> int:
    return int(member.ledger().get(name, {}).get(column, 0))


def test_a_checked_conversation_goes_on_between_two_nodes(nodes: Nodes) -> None:
    """Both nodes follow it: the asking one by what it sent and got, the other one likewise. Nothing is refused."""
    answers, asks = named_for("n2", "follows"), named_for("n3", "begins")
    nodes.deploy("n1", answers, CONSTANT, **KEEPS)
    nodes.deploy("n1", asks, agents.puppet(), **KEEPS)
    draft = {"performative": "request", "receiver": answers, "protocol": "fipa-request", "content": 1}
    nodes["n1"].call("submit", Submit([message(asks, json.encode(draft))]))
    for member in (nodes["n2"], nodes["n3"]):
        until(lambda one=member: _talk(one, answers) == {"done"}, f"it is at its end on {member.name}")
    until(lambda: _count(nodes["n3"], asks, "done") == 2, "the answer is handled")
    assert [one for one in listed(nodes["n1"], "dead.list", 50) if one["receiver"] in (answers, asks)] == []


def test_a_step_that_is_not_allowed_comes_back_across_nodes(nodes: Nodes) -> None:
    name = named_for("n2", "strict")
    nodes.deploy("n1", name, CONSTANT, **KEEPS)
    wrong = message(name, protocol="fipa-request", performative="agree")
    (item,) = nodes["n3"].call("submit", Submit([wrong]))
    assert item["error"]["code"] == Code.PROTOCOL_VIOLATION


def _talk(member: Member, participant: str) -> set[str]:
    """Where the conversation is, as this node and the others see it."""
    items = member.call("conversation.list", ConversationListing(agent=participant))["items"]
    return {str(one["state"]) for one in items}


def test_a_task_is_done_by_a_bidder_on_another_node(nodes: Nodes) -> None:
    name = named_for("n2", "bids")
    nodes.deploy("n1", name, agents.bidder('{"price":3}'), capabilities=["bidding"], **KEEPS)
    order = TaskCreate(
        task_id=new_id(),
        capability="bidding",
        owner="client:test",
        content=b"{}",
        select=Select(field="price"),
        reply_by=time.time() + 20,
    )
    nodes["n3"].call("task.create", order)
    done = until(lambda: _ended(nodes["n3"], order.task_id), "the task is at an end", 40)
    assert (done["state"], done["winner"]) == ("done", name)
    assert nodes["n1"].call("task.get", Named(order.task_id))["winner"] == name


def _ended(member: Member, task_id: str) -> Any:
    task = member.call("task.get", Named(task_id))
    return task if task["state"] in ("done", "failed", "cancelled") else None
