"""What lies between nodes may fail: accepted messages arrive all the same, once, and in their order."""

from __future__ import annotations

import signal
import string
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread
from typing import Any

import msgspec
import pytest
from msgspec import convert

from caxton.protocol.agents import AgentConfig
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import Delivery, Message
from caxton.protocol.operations import Deploy, Invoke, Listing, Named, Stop, Submit
from support import router_agents as agents
from support.desk_node import message
from support.forwarding_nodes import Member, Nodes, listed, named_for, until
from support.router_modules import ECHO, wasm
from support.serf_agents import SERF

pytestmark = pytest.mark.skipif(SERF is None, reason="serf is not installed")
KEEPS = {"instance": "persistent", "grants": {"kv": True, "send": ["*"]}}
MARKS = [one + other for one in string.ascii_letters for other in string.ascii_letters]
OUTBOX = 600


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    made = Nodes(
        CAXTON_COORDINATION__OUTBOX_SIZE=str(OUTBOX),
        CAXTON_COORDINATION__PARTITION_MODE="stop",
    )
    try:
        yield made.start()
    except BaseException:
        print(made.logs())
        raise
    finally:
        made.close()


@pytest.fixture(autouse=True)
def whole(nodes: Nodes) -> None:
    """Each test begins with three nodes that see each other."""
    nodes.whole()


def deploy(nodes: Nodes, name: str, module: str) -> None:
    nodes.deploy("n1", name, module, **KEEPS)


def recorder(nodes: Nodes, name: str) -> None:
    """An agent that keeps what it was sent, two letters of each."""
    deploy(nodes, name, agents.recorder(agents.content_offset(name) + 1))


def recorded(member: Member, name: str) -> list[str]:
    found = member.call("agent.state", Listing(name=name))["items"]
    text = found[0]["value"] if found else ""
    return [text[at : at + 2] for at in range(0, len(text), 2)]


def marked(name: str, count: int, conversation: str) -> list[Message]:
    return [message(name, f'"{mark}"'.encode(), conversation_id=conversation) for mark in MARKS[:count]]


def send(member: Member, messages: list[Message]) -> None:
    """As a client does: again, under the same id, until they are accepted."""
    while messages:
        try:
            items = member.call("submit", Submit(messages))
        except (OSError, EOFError):
            continue
        refused = {item["message_id"] for item in items if "error" in item}
        messages = [one for one in messages if one.message_id in refused]


def send_all(member: Member, messages: list[Message], at_once: int = 5) -> None:
    for at in range(0, len(messages), at_once):
        send(member, messages[at : at + at_once])


def balance(nodes: Nodes, name: str) -> int:
    """Accepted minus forwarded on all nodes: how many messages there are. Nothing is missing on any of them."""
    rows = [row for member in nodes if (row := member.ledger().get(name)) is not None]
    assert all(row["imbalance"] == 0 for row in rows), rows
    assert all(row["pending"] == row["in_flight"] == 0 for row in rows), rows
    return sum(row["accepted"] - row["forwarded"] for row in rows)


@pytest.mark.parametrize("victim", ["n2", "n1"])
def test_a_router_killed_while_messages_pass_loses_none_and_doubles_none(nodes: Nodes, victim: str) -> None:
    """n1 takes them, n2 is where they go."""
    name = named_for("n2", f"kept-{victim}-")
    recorder(nodes, name)
    messages = marked(name, 500, f"talk-{victim}")
    sending = Thread(target=send_all, args=(nodes["n1"], messages))
    sending.start()
    until(lambda: len(recorded(nodes["n2"], name)) > 50, "some have arrived")
    nodes[victim].signal(signal.SIGKILL)
    sending.join()
    nodes["n2"].forget()
    nodes["n1"].forget()
    until(lambda: len(recorded(nodes["n2"], name)) >= 500, "all have arrived", 60)
    assert recorded(nodes["n2"], name) == MARKS[:500]
    until(lambda: nodes["n1"].ledger().get(name, {}).get("pending", 0) == 0, "the outbox is empty")
    assert balance(nodes, name) == 500


def test_what_is_for_a_node_that_does_not_answer_waits_up_to_a_bound_and_arrives_in_order(nodes: Nodes) -> None:
    name, other, guest = named_for("n3", "waits"), named_for("n1", "local"), named_for("n2", "guest")
    recorder(nodes, name)
    deploy(nodes, other, ECHO)
    deploy(nodes, guest, agents.insistent(name, 9))
    nodes["n3"].signal(signal.SIGSTOP)
    try:
        until(lambda: _unreachable(nodes["n1"], name), "n1 misses n3")
        send_all(nodes["n1"], marked(name, 200, "talk"))
        assert nodes["n1"].ledger()[name]["pending"] == 200
        error = nodes["n1"].refusal("invoke", Invoke(message(name), 5.0))
        assert (error.code, error.details["node"]) == (Code.NOT_READY, "n3")
        late = nodes["n1"].refusal("invoke", Invoke(message(name), 1.0, Delivery.DURABLE))
        assert late.code is Code.EXECUTION_TIMEOUT
        send_all(nodes["n1"], [message(name, b'"zz"', conversation_id=f"c{number}") for number in range(395)])
        items = nodes["n1"].call("submit", Submit([message(name) for _ in range(10)]))
        codes = [item.get("error", {}).get("code") for item in items]
        assert codes == [None] * (OUTBOX - 596) + [Code.MAILBOX_FULL] * (10 - OUTBOX + 596)
        assert items[-1]["error"]["details"]["retry_after_seconds"] > 0
        nodes["n1"].call("invoke", Invoke(message(other), 5.0))
        until(lambda: _unreachable(nodes["n2"], name), "n2 misses n3")
        send_all(nodes["n2"], [message(name, b'"zz"', conversation_id=f"g{number}") for number in range(595)], 100)
        refused = [nodes["n2"].call("invoke", Invoke(message(guest), 5.0))["reply"]["content"] for _ in range(2)]
        assert refused == [9 - (OUTBOX - 595), 9]
        assert nodes["n2"].ledger()[name]["pending"] == OUTBOX
        assert nodes["n1"].call("agent.list", Listing())["unreachable"] == ["n3"]
        assert len(listed(nodes["n1"], "message.list", 50, name=name, conversation_id="talk")) == 200
    finally:
        nodes["n3"].signal(signal.SIGCONT)
    until(lambda: len(recorded(nodes["n3"], name)) >= 2 * OUTBOX, "all have arrived")
    assert [mark for mark in recorded(nodes["n3"], name) if mark in set(MARKS[:200])][:200] == MARKS[:200]
    for sender in ("n1", "n2"):
        until(lambda node=sender: nodes[node].ledger()[name]["pending"] == 0, "the outbox is empty")
    assert balance(nodes, name) == 2 * OUTBOX


def test_a_durable_invocation_gets_its_answer_when_the_node_is_back(nodes: Nodes) -> None:
    name = named_for("n2", "late")
    deploy(nodes, name, ECHO)
    nodes["n2"].signal(signal.SIGSTOP)
    found: list[Any] = []
    asking = Thread(target=lambda: found.append(_ask_durably(nodes["n1"], name)))
    try:
        until(lambda: _unreachable(nodes["n3"], name), "n3 misses n2")
        asking.start()
        until(lambda: nodes["n3"].ledger() and nodes["n1"].node.process is not None, "it is under way")
    finally:
        nodes["n2"].signal(signal.SIGCONT)
    asking.join()
    assert found[0]["reply"]["content"]["receiver"] == name
    until(lambda: balance(nodes, name) == 1, "one message, whatever the way")


def _ask_durably(member: Member, name: str) -> Any:
    return member.call("invoke", Invoke(message(name), 60.0, Delivery.DURABLE))


def test_a_request_of_a_guest_outlives_both_routers(nodes: Nodes) -> None:
    answers, asks = named_for("n2", "slow"), named_for("n3", "curious")
    deploy(nodes, answers, agents.sleeper(1.0))
    deploy(nodes, asks, agents.requester(answers))
    sent = message(asks)
    nodes["n3"].call("submit", Submit([sent]))
    until(lambda: _busy(nodes["n2"], answers), "the question is being handled")
    nodes["n3"].signal(signal.SIGKILL)
    nodes["n2"].signal(signal.SIGKILL)
    for name in ("n2", "n3"):
        nodes[name].forget()
    nodes.whole()
    until(lambda: _state(nodes["n3"], sent.message_id) == "done", "the guest has its answer", 60)
    until(lambda: balance(nodes, answers) == 1, "it was asked once")


def test_the_smaller_side_changes_nothing_and_says_so(nodes: Nodes) -> None:
    name = named_for("n1", "ruled")
    deploy(nodes, name, ECHO)
    nodes.deploy("n1", "adrift", ECHO, replicas="all", instance="per_message", grants={"kv": False})
    until(lambda: _asked(nodes["n1"], "adrift"), "a replica of it is on n1")
    for other in ("n2", "n3"):
        nodes[other].signal(signal.SIGSTOP)
    try:
        until(lambda: not _may_change(nodes["n1"]), "n1 is alone")
        made = convert({"name": named_for("n1", "late-one"), **KEEPS}, AgentConfig)
        for op, args in (("agent.deploy", Deploy(made, wasm(ECHO))), ("agent.stop", Stop(name))):
            error = nodes["n1"].refusal(op, args)
            assert (error.code, error.details["retry_after_seconds"] > 0) == (Code.CLUSTER_MINORITY, True)
        assert nodes["n1"].call("invoke", Invoke(message(name), 10.0))["reply"]
        conversation = message("adrift")
        held = msgspec.structs.replace(conversation, conversation_id=conversation.message_id)
        error = nodes["n1"].refusal("invoke", Invoke(held, 1.0))
        assert error.code is Code.EXECUTION_TIMEOUT  # the other side may run it: here it waits, as configured
    finally:
        for other in ("n2", "n3"):
            nodes[other].signal(signal.SIGCONT)
    nodes.whole()
    stopped = until(lambda: nodes["n2"].decided("agent.stop", Stop(name, 5.0)), "changes are made again")
    assert stopped["status"] == "stopped"
    until(lambda: _asked(nodes["n1"], "adrift"), "it goes on")


def test_what_another_node_decides_is_refused_while_it_cannot_be_asked(nodes: Nodes) -> None:
    name = named_for("n2", "decided")
    deploy(nodes, name, ECHO)
    nodes["n2"].signal(signal.SIGSTOP)
    try:
        until(lambda: _unreachable(nodes["n1"], name), "n1 misses n2")
        error = nodes["n1"].refusal("agent.stop", Stop(name))
        assert (error.code, error.details["node"]) == (Code.CLUSTER_MINORITY, "n2")
    finally:
        nodes["n2"].signal(signal.SIGCONT)


def _asked(member: Member, name: str) -> bool:
    with suppress(CaxtonError):
        return bool(member.call("invoke", Invoke(message(name), 5.0))["reply"])
    return False


def _unreachable(member: Member, name: str) -> bool:
    try:
        member.call("agent.get", Named(name))
    except CaxtonError as error:
        return error.code is Code.NOT_READY
    return False


def _may_change(member: Member) -> bool:
    return bool(member.call("cluster.status")["majority"])


def _busy(member: Member, name: str) -> bool:
    return bool(member.ledger().get(name, {}).get("in_flight"))


def _state(member: Member, message_id: str) -> str:
    try:
        return str(member.call("message.get", Named(message_id))["state"])
    except (OSError, EOFError):
        return ""
