"""`make sim`: every size from 3 to 1,000 nodes and 10 to 10,000 agents, as a table and as the documents' plots.

Owns the command line. Must never run in CI whole: the largest sizes take minutes and gigabytes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.peers.environment import peers_python
from sim.scenarios import Figures, measure, moved

NODES: Final = (3, 10, 30, 100, 300, 1_000)
AGENTS: Final = (10, 100, 1_000, 10_000)
DOCS: Final = Path(__file__).resolve().parents[2] / "app" / "docs"
PLOT: Final = Path(__file__).resolve().parents[1] / "bench" / "peers" / "plot.py"
PLOTS: Final[dict[str, tuple[str, Callable[[Figures], float | None]]]] = {
    "cluster-rest.svg": ("bytes per second and node, at rest", lambda one: one.rest.bytes),
    "cluster-change.svg": ("seconds until a change is everywhere", lambda one: one.one_change_seconds),
}
_HEAD: Final = (
    *("nodes", "agents", "rest msg/s", "rest B/s", "change s", "change B", "burst s", "burst B"),
    *("new node s", "new node B", "moved by one that comes / goes"),
)


def main() -> int:
    """Prints the table and draws the plots; 1 when copies did not become equal at some size."""
    parser = argparse.ArgumentParser(
        prog="python -m sim", description="The cluster's registry and placement, simulated."
    )
    parser.add_argument("--nodes", type=int, default=max(NODES), help="no size with more")
    parser.add_argument("--agents", type=int, default=max(AGENTS), help="no size with more")
    parser.add_argument("--draw", action="store_true", help="draw the documents' plots")
    asked = parser.parse_args()
    print("| " + " | ".join(_HEAD) + " |\n|" + "---|" * len(_HEAD))
    found: list[Figures] = []
    for nodes in (one for one in NODES if one <= asked.nodes):
        for agents in (one for one in AGENTS if one <= asked.agents):
            found.append(measure(nodes, agents))
            print(_row(found[-1]), flush=True)
    if asked.draw:
        for file, (label, value) in PLOTS.items():
            _draw(DOCS / file, label, found, value)
    return 1 if any(None in (one.one_change_seconds, one.burst_seconds, one.newcomer_seconds) for one in found) else 0


def _row(one: Figures) -> str:
    come, gone = moved(one.nodes, one.agents)
    cells = (
        f"{one.nodes:,}", f"{one.agents:,}", f"{one.rest.messages:,.1f}", f"{one.rest.bytes:,.0f}",
        _seconds(one.one_change_seconds), f"{one.one_change_bytes:,.0f}", _seconds(one.burst_seconds),
        f"{one.burst_bytes:,.0f}", _seconds(one.newcomer_seconds), f"{one.newcomer_bytes:,.0f}",
        f"{come:,} / {gone:,}",
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f}"


def _draw(file: Path, label: str, found: list[Figures], value: Callable[[Figures], float | None]) -> None:
    curves = {
        f"{agents:,} agents": {one.nodes: value(one) for one in found if one.agents == agents}
        for agents in sorted({one.agents for one in found})
    }
    plot = {"file": str(file), "x": "nodes", "y": label, "curves": curves}
    subprocess.run([str(peers_python()), str(PLOT)], input=json.dumps(plot), text=True, check=True)


if __name__ == "__main__":
    sys.exit(main())
