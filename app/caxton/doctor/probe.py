"""Whether an execution really runs.

Owns one finding. Must never use an agent of the node's owner.
"""

from __future__ import annotations

from collections.abc import Iterator

from caxton.doctor.model import Check, Patient, Status
from caxton.protocol.errors import CaxtonError

NAME = "probe"


def examine(patient: Patient) -> Iterator[Check]:
    """Has the node execute a module of its own; that works while it is drained or paused too."""
    try:
        took = patient.ask("node.probe")
    except CaxtonError as error:
        yield Check(NAME, Status.FAIL, f"{error.message} [{error.code}]", "journalctl -u caxton-executor")
        return
    whole, run = took["duration_seconds"] * 1000, took["execution_seconds"] * 1000
    yield Check(NAME, Status.OK, f"an execution ran: {whole:.1f} ms, of these {run:.2f} ms in the module")
