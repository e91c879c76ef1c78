"""`make bench`: runs every benchmark, or those that are named (`make bench BENCH="http durable"`).

Owns the list of benchmarks. Must never hide a figure that misses its target.
"""

from __future__ import annotations

import importlib
import sys

from rich.console import Console
from rich.table import Table as Drawn

from bench.measure import Table, save

BENCHMARKS = [
    "executor",
    "http",
    "guard",
    "durable",
    "depth",
    "talks",
    "cold",
    "deploy",
    "backup",
    "snapshots",
    "cluster",
    "traces",
    "recordings",
]


def draw(console: Console, table: Table) -> None:
    """Prints one table."""
    drawn = Drawn("figure", "value", "unit", "target", title=table.title, title_justify="left")
    for figure in table.figures:
        drawn.add_row(
            figure.name,
            f"{figure.value:,.3g}" if figure.value < 100 else f"{figure.value:,.0f}",
            figure.unit,
            figure.target,
        )
    console.print(drawn)
    for note in table.notes:
        console.print(f"  {note}")


def main(names: list[str]) -> int:
    """Runs the named benchmarks in order; 2 for a name that is none."""
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    console = Console(width=118)
    for name in names or BENCHMARKS:
        tables = importlib.import_module(f"bench.{name}").run()
        for table in tables:
            draw(console, table)
        console.print(f"  {save(name, tables)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
