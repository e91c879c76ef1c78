"""What recordings cost: HTTP invoke of an echo with them and without, and an update rehearsed on the last 500.

Both agents are on one node, so all that differs is `record`. A warm instance of 64 KiB: its memory is kept each time.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.load import drive, require_wrk
from bench.measure import Figure, Table, alternate, paired_ratio, percentile
from support.node import Node, running_node
from support.router_modules import CONSTANT
from support.served_node import run_cli
from support.wat import ECHO

ROUNDS = 7
REHEARSALS = 3
BODY = {"content": "x" * 1024}
REHEARSED = 500


def run() -> list[Table]:
    """Rates, and how long a rehearsal takes."""
    require_wrk()
    with running_node() as node, tempfile.TemporaryDirectory() as folder:
        node.deploy("plain", ECHO)
        node.deploy("recorded", ECHO, record=True)
        without, with_them = alternate(ROUNDS, lambda: _rate(node, "plain"), lambda: _rate(node, "recorded"))
        changed = Path(folder) / "changed.wat"
        changed.write_text(CONSTANT)
        seconds = [_rehearse(node, changed) for _ in range(REHEARSALS)]
    return [
        Table(
            "Recordings: HTTP invoke, 64 connections",
            [
                Figure("invocations, not recorded", max(without), "1/s"),
                Figure("invocations, recorded", max(with_them), "1/s"),
                Figure("recorded / not", paired_ratio(with_them, without), "ratio"),
                Figure(f"update rehearsed on {REHEARSED}, both sides", percentile(seconds, 0.5), "s"),
            ],
        )
    ]


def _rate(node: Node, name: str) -> float:
    return drive(f"http://127.0.0.1:{node.port}/api/v1/agents/{name}/invoke", body=BODY).per_second


def _rehearse(node: Node, module: Path) -> float:
    """Seconds of the whole command. It ends in a refusal, for every reply is another one: so it can be repeated."""
    began = time.monotonic()
    command = ("agent", "update", "recorded", str(module), "--replay-last", str(REHEARSED))
    done = run_cli(*command, env={"CAXTON_URL": node.url}, timeout=600.0)
    assert "CONFLICT" in done.stderr, done.stderr
    assert f"of {REHEARSED} " in done.stderr, done.stderr
    return time.monotonic() - began
