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

_NOTHING = Nothing()
COLUMNS = {"CHECK": "name", "STATUS": "status", "DETAIL": "detail", "TRY": "hint"}


@click.command()
@click.option("--check", "names", multiple=True, metavar="NAME", help="Only this one of --list; more than once.")
@click.option("--list", "listing", is_flag=True, help="The names of the checks.")
@output_options
@pass_state
def doctor(state: State, names: tuple[str, ...], listing: bool) -> int:
    """Check the node on this host; exit 1 when something fails. Changes nothing."""
    from caxton import doctor as room

    if listing:
        emit_rows(state, [{"name": name} for name in room.EXAMINATIONS], {"CHECK": "name"})
        return 0
    if unknown := sorted(set(names) - set(room.EXAMINATIONS)):
        raise click.BadParameter(
            f"{unknown[0]!r}: expected one of {', '.join(room.EXAMINATIONS)}", param_hint="--check"
        )
    loaded = configuration(state)
    path = loaded.config.paths.router_socket
    patient = room.Patient(loaded, lambda op, arguments=_NOTHING: call(path, op, arguments))
    checks = room.examine(patient, names)
    worst = room.worst(checks)
    rows = [asdict(check) for check in checks]
    if state.as_json:
        emit_json({"status": worst, "checks": rows})
    else:
        emit_rows(state, rows, COLUMNS)
        if os.geteuid() != 0 and worst is not room.Status.OK:
            note(state, "not run as root: what could not be looked at may be well")
    return EXIT_FAILED if worst is room.Status.FAIL else 0
