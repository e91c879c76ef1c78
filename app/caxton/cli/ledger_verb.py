"""`caxton ledger`.

Owns how the accounts are shown. Must never count anything itself.
"""

from __future__ import annotations

import click

from caxton.cli.client import connect
from caxton.cli.failures import EXIT_FAILED
from caxton.cli.render import emit_json, emit_rows, note
from caxton.cli.state import State, output_options, pass_state
from caxton.protocol.views import LedgerRow


@click.command()
@output_options
@pass_state
def ledger(state: State) -> int:
    """Account for every message; exit 1 when something does not add up."""
    with connect(state) as client:
        answer = client.get("/ledger")
    rows = [*answer["agents"], answer["node"]]
    if state.as_json:
        emit_json(answer)
    else:
        emit_rows(state, rows, {field.upper(): field for field in LedgerRow.__struct_fields__})
    if any(row["imbalance"] for row in rows):
        note(state, "the ledger does not balance: report this, with the node's log")
        return EXIT_FAILED
    return 0
