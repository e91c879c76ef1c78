"""The examples in other languages and of several agents: built, deployed by their own configuration, and used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.examples import EXAMPLES, build_script, example
from support.served_node import ServedNode, run_cli, until

pytestmark = pytest.mark.timeout(400)  # a compiler's first run fills its caches, beside whatever else runs here


@pytest.fixture(scope="module")
def node() -> Iterator[ServedNode]:
    served = ServedNode()
    try:
        served.start()
        yield served
    finally:
        served.close()


def built(name: str) -> Path:
    lacks = build_script().missing(name)
    if lacks is not None:
        pytest.skip(lacks)
    return example(name)


def deploy(node: ServedNode, module: str, config: str, *options: str) -> None:
    done = node.cli("agent", "deploy", str(built(module)), "--config-file", str(EXAMPLES / config), *options)
    assert done.returncode == 0, done.stderr


def ask(node: ServedNode, name: str, content: object) -> Any:
    return node.json("agent", "invoke", name, json.dumps(content))["content"]


@pytest.fixture(scope="module")
def contract_net(node: ServedNode) -> ServedNode:
    deploy(node, "bidder", "contract_net/cheap.toml")
    deploy(node, "bidder", "contract_net/quick.toml")
    deploy(node, "manager", "contract_net/manager.toml")
    return node


def steps(node: ServedNode, task: str, bidder: str) -> list[dict[str, Any]]:
    """The messages between the manager and one bidder, the oldest first."""
    rows = node.json("message", "list", "--conversation", f"{task}-net")
    between = [row for row in reversed(rows) if row["receiver"] == bidder]
    return [node.json("message", "show", row["message_id"]) for row in between]


def test_the_cheapest_bidder_gets_the_work(contract_net: ServedNode) -> None:
    answer = contract_net.json("agent", "invoke", "manager", '{"units": 4}')
    assert answer["content"] == {
        "winner": "cheap",
        "price": 12,
        "bids": 2,
        "ended": "inform",
        "result": {"done": True},
    }
    task = answer["message_id"]
    won, lost = steps(contract_net, task, "cheap"), steps(contract_net, task, "quick")
    assert [step["performative"] for step in won] == ["cfp", "accept_proposal"]
    assert [step["reply"]["performative"] for step in won] == ["propose", "inform"]
    assert [step["performative"] for step in lost] == ["cfp", "reject_proposal"]
    assert lost[0]["reply"]["performative"] == "propose"


def test_who_has_not_the_capacity_refuses(contract_net: ServedNode) -> None:
    answer = contract_net.json("agent", "invoke", "manager", '{"units": 20}')
    assert answer["content"]["winner"] == "quick"
    (only,) = steps(contract_net, answer["message_id"], "cheap")
    assert (only["performative"], only["reply"]["performative"]) == ("cfp", "refuse")


def test_nobody_wants_too_much_work(contract_net: ServedNode) -> None:
    assert "error" in ask(contract_net, "manager", {"units": 1000})


def test_two_agents_chat_by_request(node: ServedNode) -> None:
    deploy(node, "thinker", "chat/thinker.toml")
    deploy(node, "guesser", "chat/guesser.toml")
    assert ask(node, "guesser", {"most": 100}) == {"number": 42, "guesses": [50, 25, 37, 43, 40, 41, 42]}
    assert "error" in ask(node, "guesser", {"most": 41})


def test_an_agent_in_assemblyscript(node: ServedNode) -> None:
    deploy(node, "averager", "averager/averager.toml")
    assert ask(node, "averager", {"value": 3}) == {"count": 1, "mean": 3.0}
    assert ask(node, "averager", {"note": {"value": "}"}, "value": 4.5}) == {"count": 2, "mean": 3.75}
    assert "error" in ask(node, "averager", {"value": "many"})


def test_an_agent_in_assemblyscript_gives_its_memory_back(node: ServedNode) -> None:
    deploy(node, "averager", "averager/averager.toml", "--name", "averager-2")
    one = {"performative": "inform", "receiver": "averager-2", "content": {"value": 1, "note": "x" * 100_000}}
    sent = node.cli("message", "send", "--batch", "-", stdin=f"{json.dumps(one)}\n" * 40)
    assert sent.returncode == 0, sent.stderr
    until(lambda: node.json("agent", "show", "averager-2")["counters"]["done"] >= 40, "40 messages are done")
    assert node.json("agent", "show", "averager-2")["resources"]["peak_memory_bytes"] < 4_000_000


def test_an_agent_in_rust(node: ServedNode) -> None:
    deploy(node, "votes", "votes/votes.toml")
    assert ask(node, "votes", {"vote": "tea"}) == {"choice": "tea", "votes": 1}
    assert ask(node, "votes", {"why": ["}", {"vote": "no"}], "vote": "tea"}) == {"choice": "tea", "votes": 2}
    assert ask(node, "votes", {"vote": "milk"}) == {"choice": "milk", "votes": 1}
    assert "error" in ask(node, "votes", 7)


def test_a_program_in_zig(node: ServedNode) -> None:
    deploy(node, "primes", "primes/primes.toml")
    assert ask(node, "primes", 360) == [2, 2, 2, 3, 3, 5]
    assert ask(node, "primes", "97\n") == [97]
    answer = node.cli("agent", "invoke", "primes", "much", "--output", "json")
    assert (answer.returncode, json.loads(answer.stdout)["content"]["exit_code"]) == (1, 2)


def test_examples_run_without_a_node_too() -> None:
    config = str(EXAMPLES / "votes/votes.toml")
    done = run_cli("dev", "run", str(built("votes")), "--config-file", config, "-q", stdin='{"vote":"tea"}\n')
    assert (done.returncode, done.stdout.split()[:2]) == (0, ["1", "inform"]), done.stderr
