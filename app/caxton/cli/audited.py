"""Tells the audit of this host's node what a command has done without it.

Owns the way there: the router if it runs, its files if nothing does. Must never fail a command whose work is done.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from caxton.cli.local import call, configuration
from caxton.cli.render import note
from caxton.cli.state import State
from caxton.protocol.audit import AuditNote, AuditNotes
from caxton.protocol.errors import CaxtonError, Code

PATIENCE_SECONDS: Final = 10.0


def note_done(state: State, action: str, target: str, **details: Any) -> None:
    """Records it; where there is a node and that is not possible, says so."""
    paths = configuration(state).config.paths
    if not os.access(paths.data, os.W_OK):  # no node was ever here, or it is somebody else's
        return
    try:
        try:
            notes = AuditNotes([AuditNote(action=action, target=target, details=details)])
            call(paths.router_socket, "audit.note", notes, PATIENCE_SECONDS)
        except CaxtonError as error:
            if error.code is not Code.UNREACHABLE:
                raise
            _write(paths.data, action, target, details)
    except CaxtonError as error:
        note(state, f"this is not in the audit: {error.message}")


def _write(data: Path, action: str, target: str, details: dict[str, Any]) -> None:
    from caxton.audit import offline
    from caxton.store import datalock

    with datalock.hold(data):
        offline.note(data, action, target, **details)
