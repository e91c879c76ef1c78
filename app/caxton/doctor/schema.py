"""Whether the database has the schema of the release that is installed.

Owns one finding. Must never write to the database.
"""

from __future__ import annotations

from collections.abc import Iterator

from caxton.doctor.model import Check, Patient, Status
from caxton.store import db_status, schema_problem

NAME = "schema"


def examine(patient: Patient) -> Iterator[Check]:
    """Behind or ahead, and the way out."""
    database = patient.config.paths.database
    problem = schema_problem(database)
    if problem is not None:
        yield Check(NAME, Status.FAIL, problem.message, "caxton db status")
        return
    found = db_status(database)
    detail = f"version {found.version}" if found.version else f"{database} is not there yet"
    yield Check(NAME, Status.OK if found.version else Status.WARN, detail)
