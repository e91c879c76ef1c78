"""`caxton selftest` against a real node: everything holds, and nothing of it stays, interrupted or not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from caxton.selftest import ATTACKS
from support.served_node import SOURCE, ServedNode, until


def leftovers(node: ServedNode) -> list[str]:
    return [agent["name"] for agent in node.json("agent", "list") if agent["name"].startswith("caxton-selftest")]


@pytest.mark.timeout(300)
def test_every_limit_holds_and_nothing_is_left(node: ServedNode) -> None:
    done = node.cli("selftest", "--output", "json", timeout=280)
    assert done.returncode == 0, done.stdout
    result = json.loads(done.stdout)
    assert [row["tried"] for row in result["rows"]] == [attack.tried for attack in ATTACKS]
    assert all(row["held"] and row["good_agent_held"] for row in result["rows"])
    assert sum(row["good_agent"]["answers"] for row in result["rows"]) > len(ATTACKS)
    assert leftovers(node) == []
    assert node.json("dlq", "list") == []
    assert node.json("ledger")["node"]["imbalance"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_removes_what_it_deployed(node: ServedNode, number: signal.Signals) -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **node.environ}
    command = [sys.executable, "-m", "caxton", "selftest"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        until(lambda: len(leftovers(node)) == 2, "the good agent and one that attacks")
        running.send_signal(number)
        assert running.wait(60) == 130
        assert running.stderr is not None
        assert b"Traceback" not in running.stderr.read()
    assert leftovers(node) == []
