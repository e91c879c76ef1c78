"""`caxton ledger`.

Owns how the accounts are shown. Must never count anything itself.
"""

from __future__ import annotations

from typing import Any

import click

from caxton.cli.client import connect
from caxton.cli.failures import EXIT_FAILED
from caxton.cli.render import emit_json, emit_rows, note
from caxton.cli.state import State, output_options, pass_state
from caxton.protocol.views import LedgerRow

COLUMNS = {field.upper(): field for field in LedgerRow.__struct_fields__}


@click.command()
@click.option("--cluster", "everybody", is_flag=True, help="The accounts of every node, and their sum.")
@output_options
@pass_state
def ledger(state: State, everybody: bool) -> int:
    """Account for every message; exit 1 when something does not add up, or a node's account is missing."""
    with connect(state) as client:
        answer = client.get("/ledger", cluster=everybody)
    if everybody:
        return _of_cluster(state, answer)
    rows = [*answer["agents"], answer["node"]]
    if state.as_json:
        emit_json(answer)
    else:
        emit_rows(state, rows, COLUMNS)
    if any(row["imbalance"] for row in rows):
        note(state, "the ledger does not balance: report this, with the node's log")
        return EXIT_FAILED
    return 0


def _of_cluster(state: State, answer: dict[str, Any]) -> int:
    if state.as_json:
        emit_json(answer)
    else:
        emit_rows(state, [one["ledger"] for one in answer["nodes"] if "ledger" in one] + [answer["total"]], COLUMNS)
    note(state, f"{answer['distinct']} messages: accepted without those that one node forwarded to another")
    for one in answer["nodes"]:
        if "error" in one:
            note(state, f"{one['node']} did not answer ({one['error']['code']}): what it holds is not in the sum")
    if any(one["ledger"]["imbalance"] for one in answer["nodes"] if "ledger" in one):
        note(state, "the ledger does not balance: report this, with the nodes' logs")
    return 0 if answer["balanced"] else EXIT_FAILED
