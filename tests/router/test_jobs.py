"""Asynchronous invocations: a job keeps the answer, across restarts too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from caxton.protocol.errors import Code
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Delivery
from caxton.protocol.operations import Named
from support.desk_node import RouterNode, deploy, invoke, job, refusal
from support.router_modules import ECHO, SLEEPER, TRAP


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode() as started, started.client() as client:
        deploy(client, "echo", ECHO)
        deploy(client, "sleeper", SLEEPER)
        deploy(client, "trap", TRAP)
        yield started


@pytest.mark.parametrize("delivery", list(Delivery))
def test_an_asynchronous_invocation_ends_as_a_job_with_the_reply(node: RouterNode, delivery: Delivery) -> None:
    with node.client() as client:
        view = invoke(client, "echo", b"[1]", as_job=True, delivery=delivery)
        assert (view["kind"], view["state"]) == ("invoke", "running")
        ended = job(client, view["job_id"])
        assert (ended["state"], ended["result"]["content"]["content"]) == ("done", [1])


def test_a_failure_is_the_jobs_error(node: RouterNode) -> None:
    with node.client() as client:
        view = invoke(client, "trap", as_job=True)
        ended = job(client, view["job_id"])
        assert (ended["state"], ended["error"]["code"]) == ("failed", Code.AGENT_FAILED)


def test_an_unknown_job_and_an_unknown_receiver(node: RouterNode) -> None:
    with node.client() as client:
        assert refusal(client, "job.get", Named(new_id())).code is Code.JOB_NOT_FOUND


def test_a_durable_job_goes_on_after_a_kill_and_an_ephemeral_one_says_that_it_is_lost(node: RouterNode) -> None:
    with node.client() as client:
        durable = invoke(client, "sleeper", as_job=True, delivery=Delivery.DURABLE)
        ephemeral = invoke(client, "sleeper", as_job=True)
    node.kill_router()
    node.start_router()
    with node.client() as client:
        assert job(client, durable["job_id"])["result"]["content"] == 1
        lost = job(client, ephemeral["job_id"])
        assert (lost["state"], lost["error"]["code"]) == ("failed", Code.NOT_READY)


def test_an_ended_job_is_there_after_a_restart(node: RouterNode) -> None:
    with node.client() as client:
        view = invoke(client, "echo", as_job=True)
        before = job(client, view["job_id"])
    node.kill_router()
    node.start_router()
    with node.client() as client:
        assert client.call("job.get", Named(view["job_id"])) == before
