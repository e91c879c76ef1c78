"""Whether the maintenance flag keeps the node from starting.

Owns one finding. Must never remove the flag.
"""

from __future__ import annotations

from collections.abc import Iterator

from caxton.doctor.model import Check, Patient, Status

NAME = "maintenance"
FLAG = "maintenance"


def examine(patient: Patient) -> Iterator[Check]:
    """The flag is there while a restore runs, and after one that was interrupted."""
    flag = patient.config.paths.data / FLAG
    if flag.exists():
        hint = f"run `caxton restore` again, or, if nothing is amiss, rm {flag}"
        yield Check(NAME, Status.FAIL, f"{flag} is there: a restore runs or was interrupted, no unit starts", hint)
    else:
        yield Check(NAME, Status.OK, "no restore is under way")
