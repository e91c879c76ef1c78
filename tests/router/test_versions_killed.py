"""Processes that die in the middle of an update: one version serves, and every accepted message is done once."""

from __future__ import annotations

import base64
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256

import pytest

from caxton.protocol.errors import CaxtonError
from caxton.protocol.operations import Listing, Named, Submit
from caxton.protocol.versions import ConfigChange, Steer, Strategy, Update
from support.desk_node import RouterNode, deploy, invoke, job, message, until
from support.router_client import RouterClient
from support.versions import another, counting, update, versions

ROUNDS = 5
MODULES = [another(counting(number), number) for number in range(ROUNDS + 1)]
ANSWERS = {sha256(module).hexdigest(): number for number, module in enumerate(MODULES)}


@contextmanager
def load(node: RouterNode, name: str) -> Iterator[None]:
    """Submits durable messages all the time, whether or not there is a router."""
    enough = threading.Event()

    def send() -> None:
        while not enough.is_set():
            with suppress(OSError, EOFError, CaxtonError), node.client(5.0) as mine:
                while not enough.wait(0.02):
                    mine.call("submit", Submit([message(name, conversation_id=f"talk-{n}") for n in range(3)]))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        enough.set()
        sender.join()


def check_books(client: RouterClient, name: str) -> None:
    """Everything that was accepted is done, and took effect once: the agent counts modulo 256."""

    def quiet() -> bool:
        books = client.call("ledger")["node"]
        return bool(books["pending"] == books["in_flight"] == 0)

    until(quiet)
    row = next(row for row in client.call("ledger")["agents"] if row["name"] == name)
    assert row["imbalance"] == row["dead"] == row["expired"] == row["cancelled"] == 0
    assert row["accepted"] == row["done"] > 0
    key = client.call("agent.state", Listing(name=name))["items"][0]
    counted = base64.b64decode(key["value"]) if key["encoding"] == "base64" else key["value"].encode()
    assert counted[0] == row["done"] % 256


def check_one_version(client: RouterClient, name: str) -> None:
    """Once jobs and rollouts are over, what serves is what is said to serve."""
    until(lambda: client.call("stats")["jobs_running"] == 0)
    with suppress(CaxtonError):  # CONFLICT: this router was killed before there was a rollout, or had none
        client.call("agent.steer", Steer(name, "promote"))
    view = client.call("agent.get", Named(name))
    assert (view["status"], view["rollout"]) == ("running", None)
    assert [number for number, state in versions(client, name) if state == "current"] == [view["version"]]
    rows = client.call("agent.versions", Named(name))["items"]
    assert [row["module_sha256"] for row in rows if row["state"] == "current"] == [view["module_sha256"]]
    assert {invoke(client, name)["content"] for _ in range(4)} == {ANSWERS[view["module_sha256"]]}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_router_killed_at_any_moment_of_an_update_leaves_one_version(strategy: Strategy) -> None:
    seed = time.time_ns()
    print("seed", seed)
    chance = random.Random(seed)
    with RouterNode(runtime={"executor_workers": 1}) as node:
        with node.client() as client:
            deploy(client, "work", MODULES[0])
        with load(node, "work"):
            for module in MODULES[1:]:
                with node.client() as client:
                    client.send("agent.update", Update("work", ConfigChange(), module, strategy, wait_seconds=0.0))
                    time.sleep(chance.random() * 0.8)  # the moment is the point of the test
                    node.kill_router()
                node.start_router()
                with node.client() as client:
                    until(lambda: client.call("stats")["jobs_running"] == 0)  # awaited here
                    check_one_version(client, "work")
        with node.client() as client:
            check_books(client, "work")
            client.call("node.gc")
            kept = {row["module_sha256"] for row in client.call("agent.versions", Named("work"))["items"]}
            assert {path.name for path in (node.data / "modules").iterdir()} == kept


@pytest.mark.timeout(300)
def test_workers_killed_during_updates_cost_nothing_accepted() -> None:
    with RouterNode(runtime={"executor_workers": 2}) as node, node.client() as client:
        deploy(client, "work", MODULES[0])
        with load(node, "work"):
            for module in MODULES[1:]:
                view = update(client, "work", module, wait_seconds=0.0)
                while client.call("job.get", Named(view["job_id"]))["state"] == "running":
                    for worker in client.call("stats")["core"]["workers"][:1]:
                        with suppress(ProcessLookupError):
                            os.kill(worker["pid"], signal.SIGKILL)
                    time.sleep(0.1)  # the next one has to come up before it is worth a kill
                assert job(client, view["job_id"])["state"] in ("done", "failed")
                until(lambda: client.call("ready")["ready"])
                check_one_version(client, "work")
        check_books(client, "work")
