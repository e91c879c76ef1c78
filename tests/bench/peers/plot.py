"""Draws curves into an SVG file: JSON on stdin, `{"file", "x", "y", "curves": {name: {x: y}}}`.

Owns one picture. Run by the peers' interpreter, which has matplotlib; must never import anything of ours.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from matplotlib.figure import Figure


def main(plot: dict[str, Any]) -> None:
    """Writes the file."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, points in plot["curves"].items():
        pairs = sorted((float(x), y) for x, y in points.items())
        axes.plot([x for x, _ in pairs], [y for _, y in pairs], marker="o", label=name)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(plot["x"])
    axes.set_ylabel(plot["y"])
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(plot["file"])


if __name__ == "__main__":
    main(json.load(sys.stdin))
