"""`caxton selftest`: whether every limit of a running node holds.

Owns the verb and its table. Must never decide what holds: `caxton.selftest` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import click

from caxton.cli.client import Client, connect
from caxton.cli.failures import EXIT_FAILED
from caxton.cli.interrupts import terminable
from caxton.cli.render import Progress, emit_json, emit_rows, note, progress
from caxton.cli.selftest_run import Beats, Beside, Visitor
from caxton.cli.state import State, output_options, pass_state
from caxton.selftest import ATTACKS, Attack, Observed, judge

COLUMNS: Final = {"LIMIT": "limit", "TRIED": "tried", "SAW": "saw", "HELD": "held", "GOOD AGENT BESIDE": "beside"}
Row = dict[str, Any]


@click.command()
@output_options
@pass_state
def selftest(state: State) -> int:
    """Attack every limit of a running node, with agents of its own that it removes again.

    Beside each attack a good agent is asked all the time. Exit 1 when a limit did not hold, or the good agent did
    not answer.
    """
    with terminable(), connect(state) as client, connect(state) as other, progress(state, "attacking") as show:
        rows = list(_attacks(client, other, show))
    return report(state, rows)


def row_of(attack: Attack, observed: Observed, beats: Beats) -> Row:
    """One line of the table. The good agent must have answered, if it was asked, and never wrongly."""
    verdict = judge(attack.expected, observed)
    beside = beats.summary()
    return {
        "limit": attack.limit,
        "tried": attack.tried,
        "saw": verdict.saw,
        "held": verdict.held,
        "seconds": round(observed.seconds, 3),
        "good_agent": beside,
        "good_agent_held": not beats.failures,
    }


def report(state: State, rows: list[Row]) -> int:
    """Prints the result; the exit status."""
    answered = any(row["good_agent"]["answers"] for row in rows)
    held = answered and all(row["held"] and row["good_agent_held"] for row in rows)
    if state.as_json:
        emit_json({"held": held, "rows": rows})
    else:
        shown = [{**row, "held": "yes" if row["held"] else "NO", "beside": _beside(row)} for row in rows]
        emit_rows(state, shown, COLUMNS)
        note(state, _summary(rows))
    return 0 if held else EXIT_FAILED


def _summary(rows: list[Row]) -> str:
    broken = sorted({row["limit"] for row in rows if not row["held"]})
    silent = sum(not row["good_agent_held"] for row in rows)
    if not broken and not silent:
        return f"{len(rows)} attacks: every limit held"
    parts = [f"did not hold: {', '.join(broken)}"] if broken else []
    parts += [f"the good agent failed beside {silent} attacks"] if silent else []
    return "; ".join(parts)


def _attacks(client: Client, other: Client, show: Progress) -> Iterator[Row]:
    visitor = Visitor(client)
    with visitor.good_agent() as name, Beside(other, name) as beside:
        for index, attack in enumerate(ATTACKS):
            show(index / len(ATTACKS))
            observed = visitor.attack(attack)
            yield row_of(attack, observed, beside.since_last())


def _beside(row: Row) -> str:
    beats = row["good_agent"]
    if beats["failures"]:
        return f"{len(beats['failures'])} failed: {beats['failures'][0]}"
    return f"{beats['answers']} answers, slowest {1000 * (beats['slowest_seconds'] or 0):.0f} ms"
