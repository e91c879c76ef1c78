"""A node that is being drained: nothing new, nothing lost, and so until somebody says otherwise."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import Delivery
from caxton.protocol.operations import Drain, Invoke, Named, Submit
from support.desk_node import RouterNode, deploy, invoke, message, refusal, submit, until
from support.router_client import RouterClient
from support.router_modules import ECHO, SLEEPER, SPIN


def reasons(client: RouterClient) -> list[str]:
    return list(client.call("ready")["reasons"])


def in_background(node: RouterNode, op: str, args: Any) -> tuple[threading.Thread, list[Any]]:
    """A call by a client of its own; its answer or error ends up in the list."""
    answers: list[Any] = []

    def ask() -> None:
        with node.client() as client:
            try:
                answers.append(client.call(op, args))
            except CaxtonError as error:
                answers.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, answers


def test_new_work_is_refused_and_reads_are_answered() -> None:
    with RouterNode() as node, node.client() as client:
        deploy(client, "echo", ECHO)
        (done,) = submit(client, "echo")
        until(lambda: client.call("message.get", Named(done))["state"] == "done")
        assert client.call("node.drain", Drain(5.0)) == {"drained": True, "running": []}
        assert reasons(client) == ["draining"]
        for op, args in [
            ("submit", Submit([message("echo")])),
            ("invoke", Invoke(message("echo"), 5.0)),
            ("invoke", Invoke(message("echo"), 5.0, Delivery.DURABLE)),
        ]:
            refused = refusal(client, op, args)
            assert refused.code is Code.DRAINING
            assert refused.details["retry_after_seconds"] > 0
        assert client.call("message.get", Named(done))["state"] == "done"
        assert client.call("agent.get", Named("echo"))["status"] == "running"
        assert client.call("stats")["draining"] is True
        client.call("node.undrain")
        assert reasons(client) == []
        assert invoke(client, "echo")["performative"] == "inform"


def test_what_runs_ends_and_nothing_waits_for_the_backlog() -> None:
    with RouterNode() as node, node.client() as client:
        deploy(client, "sleeper", SLEEPER)
        ids = submit(client, "sleeper", 1) + [
            item["message_id"] for item in client.call("submit", Submit([message("sleeper") for _ in range(5)]))
        ]
        until(lambda: client.call("stats")["core"]["in_flight"] >= 1)
        assert client.call("node.drain", Drain(30.0)) == {"drained": True, "running": []}
        states = [client.call("message.get", Named(one))["state"] for one in ids]
        assert states.count("done") >= 1
        assert states.count("pending") == len(ids) - states.count("done") > 0
        client.call("node.undrain")
        until(lambda: client.call("ledger")["node"]["done"] == len(ids))


@pytest.mark.parametrize("module", [SPIN, SLEEPER])
def test_what_does_not_end_goes_back_uncounted(module: str) -> None:
    with RouterNode() as node, node.client() as client:
        deploy(client, "busy", module, limits={"execution_timeout_seconds": 25})
        (kept,) = submit(client, "busy")
        until(lambda: client.call("stats")["core"]["in_flight"] == 1)
        answer = client.call("node.drain", Drain(0.0))
        assert [(one["agent"], one["message_id"]) for one in answer["running"]] == [("busy", kept)]
        view = client.call("message.get", Named(kept))
        assert (view["state"], view.get("attempts", [])) == ("pending", [])
        assert client.call("stats")["core"]["in_flight"] == 0
        assert client.call("ledger")["node"]["imbalance"] == 0


def test_a_caller_who_waits_gets_the_answer_or_is_sent_elsewhere() -> None:
    with RouterNode() as node, node.client() as client:
        deploy(client, "sleeper", SLEEPER)
        callers = [in_background(node, "invoke", Invoke(message("sleeper"), 30.0)) for _ in range(3)]
        until(lambda: client.call("stats")["core"]["queued"] == 3)
        assert client.call("node.drain", Drain(30.0)) == {"drained": True, "running": []}
        for thread, answers in callers:
            thread.join()
            assert answers[0]["reply"]["performative"] == "inform"  # the two that waited too
        client.call("node.undrain")
        deploy(client, "loop", SPIN, limits={"execution_timeout_seconds": 25})
        callers = [in_background(node, "invoke", Invoke(message("loop"), 30.0)) for _ in range(2)]
        until(lambda: client.call("stats")["core"]["queued"] == 2)
        assert len(client.call("node.drain", Drain(0.5))["running"]) == 1
        for thread, answers in callers:
            thread.join()
            assert answers[0].code is Code.DRAINING
        assert client.call("ledger")["node"]["dead"] == 0


def test_a_drained_node_stays_so_across_restarts_of_its_router() -> None:
    with RouterNode() as node:
        with node.client() as client:
            deploy(client, "echo", ECHO)
            client.call("node.pause")
            kept = submit(client, "echo", 3)
            client.call("node.drain", Drain(0.0))
            client.call("node.resume")
        for restart in (node.kill_router, node.stop_router):
            restart()
            node.start_router(ready=False)
            with until(node.connected) as client:
                until(lambda client=client: reasons(client) == ["draining"])
                assert refusal(client, "submit", Submit([message("echo")])).code is Code.DRAINING
                assert {client.call("message.get", Named(one))["state"] for one in kept} == {"pending"}
        with node.client() as client:
            client.call("node.undrain")
            until(lambda: client.call("ledger")["node"]["done"] == 3)
        node.kill_router()
        node.start_router()


def test_a_paused_node_stays_so_across_restarts_of_its_router() -> None:
    with RouterNode() as node:
        with node.client() as client:
            deploy(client, "echo", ECHO)
            client.call("node.pause")
            submit(client, "echo", 3)
        node.kill_router()
        node.start_router(ready=False)
        with until(node.connected) as client:
            until(lambda: reasons(client) == ["paused"])
            assert client.call("ledger")["node"]["pending"] == 3
            client.call("node.resume")
            until(lambda: client.call("ledger")["node"]["done"] == 3)
        node.kill_router()
        node.start_router()


def test_a_drain_can_be_undone_while_it_waits() -> None:
    with RouterNode() as node, node.client() as client:
        deploy(client, "loop", SPIN, limits={"execution_timeout_seconds": 25})
        submit(client, "loop")
        until(lambda: client.call("stats")["core"]["in_flight"] == 1)
        thread, answers = in_background(node, "node.drain", Drain(60.0))
        until(lambda: reasons(client) == ["draining"])
        client.call("node.undrain")
        thread.join()
        assert answers == [{"drained": False, "running": []}]
        assert client.call("stats")["core"]["in_flight"] == 1
        assert reasons(client) == []
        node.kill_router()  # an orderly end would wait for the loop


def test_a_drain_goes_on_when_its_caller_hangs_up() -> None:
    with RouterNode() as node, node.client() as client:
        deploy(client, "loop", SPIN, limits={"execution_timeout_seconds": 25})
        (kept,) = submit(client, "loop")
        until(lambda: client.call("stats")["core"]["in_flight"] == 1)
        with node.client() as caller:
            caller.send("node.drain", Drain(1.0))
            until(lambda: reasons(client) == ["draining"])
        until(lambda: client.call("stats")["core"]["in_flight"] == 0)
        assert client.call("message.get", Named(kept))["state"] == "pending"
