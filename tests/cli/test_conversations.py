"""`caxton conversation`, `capability`, `topic`, `task`, and `message trace`, against a real node."""

from __future__ import annotations

from support import router_agents as agents
from support.served_node import ServedNode, until


def deploy(node: ServedNode, name: str, wat: str, *options: str) -> None:
    done = node.cli("agent", "deploy", node.write(f"{name}.wat", wat), "--name", name, *options)
    assert done.returncode == 0, done.stderr


def test_a_conversation_is_listed_and_traced(node: ServedNode, echo: str) -> None:
    send = ("message", "send", echo, "1", "--performative", "request", "--conversation", "cli-talk")
    message_id = node.json(*send, "--protocol", "fipa-request")["message_id"]
    until(lambda: node.json("conversation", "list", "--agent", echo, "--state", "done"), "the conversation is done")
    assert node.json("conversation", "list", "--agent", echo, "--open") == []
    shown = node.json("conversation", "show", "cli-talk")
    assert node.json("message", "trace", message_id) == shown
    table = node.cli("conversation", "show", "cli-talk").stdout
    assert "fipa-request" in table
    assert message_id in table
    again = node.cli(*send, "--protocol", "fipa-request")
    assert (again.returncode, "[PROTOCOL_VIOLATION]" in again.stderr) == (1, True)


def test_a_capability_is_set_shown_and_removed(node: ServedNode, echo: str) -> None:
    made = node.json("capability", "set", "cli/echo", "--strategy", "priority", "--agent", f"{echo}=7")
    assert made["providers"][0] | {"load": 0} == {
        "agent": echo,
        "source": "registered",
        "available": True,
        "load": 0,
        "priority": 7,
    }
    assert node.json("capability", "show", "cli/echo")["strategy"] == "priority"
    assert "cli/echo" in node.cli("capability", "list").stdout
    assert node.json("capability", "remove", "cli/echo") == {"count": 1}
    assert node.cli("capability", "show", "cli/echo").returncode == 1
    assert node.cli("capability", "set", "cli/echo", "--agent", "echo=high").returncode == 2


def test_a_topic_has_subscribers(node: ServedNode, echo: str) -> None:
    assert node.json("topic", "subscribe", "cli/news", echo)["count"] == 1
    assert node.json("topic", "list") == [{"name": "cli/news", "count": 1, "subscribers": []}]
    sent = node.json("message", "send", "topic:cli/news", "1")
    assert sent["deliveries"]["accepted"] == 1
    assert echo in node.cli("topic", "show", "cli/news").stdout
    assert node.json("topic", "unsubscribe", "cli/news", echo)["count"] == 0


def test_a_task_is_created_shown_listed_and_cancelled(node: ServedNode, echo: str) -> None:
    deploy(node, "bidder", agents.bidder('{"price":3}'))
    node.json("capability", "set", "cli-build", "--agent", "bidder")
    task_id = node.json("task", "create", "cli-build", "a shed", "--field", "price")["task_id"]
    until(lambda: node.json("task", "show", task_id)["state"] == "done", "the task is done")
    table = node.cli("task", "show", task_id).stdout
    assert "bidder" in table
    assert "accepted" not in table
    assert [one["task_id"] for one in node.json("task", "list", "--state", "done")] == [task_id]
    node.json("capability", "set", "cli-wait", "--agent", echo)
    quiet = node.cli("task", "create", "cli-wait", "--chooser", "bidder", "--bids-within", "10m", "-q")
    waiting = quiet.stdout.strip()
    assert node.json("task", "cancel", waiting)["state"] == "cancelled"
    assert node.cli("task", "cancel", task_id).returncode == 1
    assert node.cli("task", "create", "cli-build").returncode == 2
