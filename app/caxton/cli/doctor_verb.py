"""`caxton doctor`: everything that can be checked on this host, with what helps.

Owns the verb. Must never examine anything itself.
"""

from __future__ import annotations

import os
from dataclasses import asdict

import click

from caxton.cli.failures import EXIT_FAILED
from caxton.cli.local import call, configuration
from caxton.cli.render import emit_json, emit_rows, note
from caxton.cli.state import State, output_options, pass_state
from caxton.protocol.operations import Nothing

COLUMNS = {"CHECK": "name", "STATUS": "status", "DETAIL": "detail", "TRY": "hint"}


@click.command()
@output_options
@pass_state
def doctor(state: State) -> int:
    """Check the node on this host; exit 1 when something fails. Changes nothing."""
    from caxton import doctor as room

    loaded = configuration(state)
    path = loaded.config.paths.router_socket
    checks = room.examine(room.Patient(loaded, lambda op: call(path, op, Nothing())))
    worst = room.worst(checks)
    rows = [asdict(check) for check in checks]
    if state.as_json:
        emit_json({"status": worst, "checks": rows})
    else:
        emit_rows(state, rows, COLUMNS)
        if os.geteuid() != 0 and worst is not room.Status.OK:
            note(state, "not run as root: what could not be looked at may be well")
    return EXIT_FAILED if worst is room.Status.FAIL else 0
