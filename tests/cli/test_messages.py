from __future__ import annotations

import json

from caxton.protocol.ids import new_id
from support.served_node import ServedNode, until


def state_of(node: ServedNode, message_id: str) -> str:
    return node.json("message", "show", message_id)["state"]


def test_send_prints_the_id_and_the_message_is_done(node: ServedNode, echo: str) -> None:
    done = node.cli("message", "send", echo, '{"n": 1}', "--performative", "request", "--priority", "9", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    message_id = done.stdout.strip()
    until(lambda: state_of(node, message_id) == "done", "the message is done")
    shown = node.json("message", "show", message_id)
    assert (shown["content"], shown["priority"]) == ({"n": 1}, 9)
    assert message_id in [
        item["message_id"] for item in node.json("message", "list", "--agent", echo, "--state", "done")
    ]


def test_an_idempotency_key_is_one_message(node: ServedNode, echo: str) -> None:
    key = new_id()
    ids = {node.json("message", "send", echo, "1", "--idempotency-key", key)["message_id"] for _ in range(2)}
    assert len(ids) == 1


def test_a_batch_tells_what_was_refused_and_fails_then(node: ServedNode, echo: str) -> None:
    good = json.dumps({"performative": "inform", "receiver": echo, "content": 1})
    bad = json.dumps({"performative": "inform", "receiver": "nobody-is-called-so"})
    done = node.cli("message", "send", "--batch", "-", "--output", "json", stdin=f"{good}\n{bad}\n{good}\n")
    assert done.returncode == 1
    items = json.loads(done.stdout)
    assert [item.get("error", {}).get("code") for item in items] == [None, "AGENT_NOT_FOUND", None]


def test_a_dead_letter_is_listed_shown_replayed_and_purged(node: ServedNode) -> None:
    assert node.cli("agent", "deploy", str(node.directory / "trap.wat")).returncode == 0
    message_id = node.json("message", "send", "trap", "1")["message_id"]
    until(lambda: state_of(node, message_id) == "dead", "the message is dead")
    assert [item["message_id"] for item in node.json("dlq", "list", "--agent", "trap")] == [message_id]
    assert node.json("dlq", "show", message_id)["attempts"]
    assert node.json("dlq", "replay", message_id) == {"count": 1}
    until(lambda: state_of(node, message_id) == "dead", "the message is dead again")
    unasked = node.cli("dlq", "purge", "--agent", "trap")
    assert unasked.returncode != 0
    assert node.json("dlq", "purge", "--agent", "trap", "--yes") == {"count": 1}
    assert node.json("dlq", "list", "--agent", "trap") == []


def test_cancel_of_what_is_done_is_refused(node: ServedNode, echo: str) -> None:
    message_id = node.json("message", "send", echo, "1")["message_id"]
    until(lambda: state_of(node, message_id) == "done", "the message is done")
    refused = node.cli("message", "cancel", message_id)
    assert (refused.returncode, "[CONFLICT]" in refused.stderr) == (1, True)


def test_the_ledger_balances_and_is_shown(node: ServedNode, echo: str) -> None:
    node.json("message", "send", echo, "1")
    ledger = node.json("ledger")
    assert ledger["node"]["imbalance"] == 0
    assert ledger["node"]["accepted"] >= 1
    assert "IMBALANCE" in node.cli("ledger").stdout


def test_a_dead_letter_that_holds_its_conversation_is_edited_and_skipped(node: ServedNode) -> None:
    node.write("hold.toml", 'name = "hold"\n[retry]\non_dead = "hold"\n')
    config = str(node.directory / "hold.toml")
    done = node.cli("agent", "deploy", str(node.directory / "trap.wat"), "--config-file", config)
    assert done.returncode == 0, done.stderr
    dead, behind = (node.json("message", "send", "hold", "1", "--conversation", "c")["message_id"] for _ in range(2))
    until(lambda: state_of(node, dead) == "dead", "the message is dead")
    assert node.json("dlq", "edit", dead, '{"n": 2}') == {"count": 1}
    until(lambda: state_of(node, dead) == "dead", "the message is dead again")
    assert node.json("message", "show", dead)["content"] == {"n": 2}
    assert state_of(node, behind) == "pending"
    assert node.cli("dlq", "edit", dead).returncode == 2
    assert node.json("dlq", "skip", dead) == {"count": 1}
    until(lambda: state_of(node, behind) == "dead", "the message behind it ran")
