"""A task goes on when its processes are killed at any moment: the router, the executor with the bidders."""

from __future__ import annotations

import random
import time

from caxton.protocol.ids import new_id
from caxton.protocol.operations import Listing, Named
from caxton.protocol.talks import Select, TaskCreate
from support import router_agents as agents
from support.desk_node import RouterNode, deploy, until
from support.router_client import RouterClient

TASKS = 12


def create(client: RouterClient) -> str:
    now = time.time()
    wish = TaskCreate(
        task_id=new_id(),
        owner="client:test",
        capability="build",
        content=b"1",
        select=Select("price"),
        reply_by=now + 30,
        finish_by=now + 60,
    )
    return str(client.call("task.create", wish)["task_id"])


def kill_executor(node: RouterNode) -> None:
    assert node.executor is not None
    node.executor.kill()
    node.executor.wait(20)
    node.start_executor()


def states(client: RouterClient, ids: list[str]) -> list[str]:
    return [client.call("task.get", Named(task_id))["state"] for task_id in ids]


def test_tasks_go_on_whatever_is_killed_and_the_ledger_balances() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    with RouterNode() as node:
        with node.client() as client:
            for name, price in (("cheap", 3), ("dear", 5), ("dearer", 8)):
                wat = agents.bidder(f'{{"price":{price}}}').replace(
                    "(call $bump)", "(drop (call $sleep (i64.const 20000))) (call $bump)"
                )
                deploy(client, name, wat, capabilities=["build"])
        ids: list[str] = []
        for round_ in range(4):
            with node.client() as client:
                until(lambda client=client: available(client) == 3)
                ids += [create(client) for _ in range(TASKS // 4)]
                time.sleep(chance.random() * 0.1)  # anywhere between two steps
                if round_ == 2:
                    kill_executor(node)
            node.kill_router()
            node.start_router()
        with node.client() as client:
            until(lambda: set(states(client, ids)) <= {"done", "failed", "cancelled"})
            assert states(client, ids) == ["done"] * TASKS
            until(lambda: client.call("ledger")["node"]["pending"] + client.call("ledger")["node"]["in_flight"] == 0)
            for task_id in ids:
                task = client.call("task.get", Named(task_id))
                assert task["winner"] == "cheap"
                assert sorted(bid["state"] for bid in task["bids"]) == ["done", "rejected", "rejected"]
            ledger = client.call("ledger")
            rows = {row["name"]: row for row in ledger["agents"]}
            assert ledger["node"]["imbalance"] == 0
            assert rows["task:node"]["accepted"] == rows["task:node"]["done"] == 4 * TASKS
            assert rows["cheap"]["accepted"] == rows["dear"]["accepted"] == 2 * TASKS


def available(client: RouterClient) -> int:
    found = client.call("capability.list", Listing())["items"]
    return sum(provider["available"] for one in found for provider in one["providers"])
