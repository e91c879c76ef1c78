"""`node.probe`: a real execution that leaves no trace."""

from __future__ import annotations

import os
import signal

import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Drain
from support.desk_node import RouterNode, deploy, refusal, until
from support.router_modules import ECHO


def test_it_runs_whatever_the_node_is_allowed_and_leaves_no_trace() -> None:
    with RouterNode() as node, node.client() as client:
        deploy(client, "echo", ECHO)
        before = client.call("stats")
        first = client.call("node.probe")
        assert 0 < first["execution_seconds"] < first["duration_seconds"]
        client.call("node.pause")
        client.call("node.drain", Drain(0.0))
        again = client.call("node.probe")
        assert again["prepare_seconds"] < first["duration_seconds"]
        after = client.call("stats")
        assert after["core"]["executions"] == before["core"]["executions"] + 2
        for key in ("ledger", "agents", "dead_letters", "agents_ledger"):
            assert after[key] == before[key]
        assert after["meters"]["executions"] == before["meters"]["executions"]
        assert (after["core"]["in_flight"], after["core"]["runnable"]) == (0, 0)
        client.call("node.undrain")
        client.call("node.resume")


def test_a_probe_whose_worker_dies_fails_and_the_next_one_works() -> None:
    with RouterNode() as node, node.client() as client:
        client.call("node.probe")
        (worker,) = client.call("stats")["core"]["workers"]
        os.kill(worker["pid"], signal.SIGSTOP)
        call = client.send("node.probe")
        until(lambda: client.call("stats")["core"]["in_flight"] == 1)
        os.kill(worker["pid"], signal.SIGKILL)
        with pytest.raises(CaxtonError) as failed:
            client.answer(call)
        assert failed.value.code is Code.AGENT_FAILED
        until(node.is_ready)
        assert client.call("node.probe")["execution_seconds"] > 0
        assert client.call("stats")["core"]["runnable"] == 0


def test_without_an_executor_it_says_so() -> None:
    with RouterNode() as node, node.client(timeout=60) as client:
        assert node.executor is not None
        node.executor.kill()
        node.executor.wait()
        until(lambda: client.call("ready")["reasons"] == ["executor"])
        assert refusal(client, "node.probe").code is Code.NOT_READY
