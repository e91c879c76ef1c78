"""The list of examinations, in the order in which their findings are shown.

Owns that list. Must never let one examination keep the others from being made.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from caxton.doctor import (
    agents,
    audit,
    backups,
    certificate,
    clock,
    cluster,
    configuration,
    disk,
    log_file,
    marks,
    metrics,
    node,
    permissions,
    ports,
    probe,
    recordings,
    schema,
    traces,
    units,
)
from caxton.doctor.model import Check, Examination, Patient, Status

EXAMINATIONS: Final[dict[str, Examination]] = {
    "configuration": configuration.examine,
    "permissions": permissions.examine,
    "maintenance": marks.examine,
    "units": units.examine,
    "ports": ports.examine,
    "metrics": metrics.examine,
    "certificate": certificate.examine,
    "router": node.examine,
    "schema": schema.examine,
    "probe": probe.examine,
    "agents": agents.examine,
    "cluster": cluster.examine,
    "traces": traces.examine,
    "log file": log_file.examine,
    "disk": disk.examine,
    "recordings": recordings.examine,
    "clock": clock.examine,
    "backup": backups.examine,
    "audit": audit.examine,
}


def examine(patient: Patient, names: Collection[str] = ()) -> list[Check]:
    """Every finding, or those of the examinations that are named."""
    found: list[Check] = []
    for name, examination in EXAMINATIONS.items():
        if names and name not in names:
            continue
        try:
            found.extend(examination(patient))
        except Exception as error:  # whatever it is, an operator in need gets the other findings and no traceback
            found.append(Check(name, Status.FAIL, f"cannot be examined: {error}"))
    return found
