"""Whether the configuration holds, and what it warns of.

Owns one finding, and one for each warning. Must never show a value.
"""

from __future__ import annotations

from collections.abc import Iterator

from caxton.doctor.model import Check, Patient, Status

NAME = "configuration"


def examine(patient: Patient) -> Iterator[Check]:
    """A file that is refused never gets here: there is no node to examine then."""
    for warning in patient.loaded.warnings:
        yield Check(NAME, Status.WARN, warning, "caxton config show --origin")
    if not patient.loaded.warnings:
        yield Check(NAME, Status.OK, str(patient.loaded.file or "built-in configuration"))
