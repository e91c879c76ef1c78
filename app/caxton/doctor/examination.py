"""The list of examinations, in the order in which their findings are shown.

Owns that list. Must never let one examination keep the others from being made.
"""

from __future__ import annotations

from typing import Final

from caxton.doctor import (
    audit,
    backups,
    certificate,
    clock,
    configuration,
    disk,
    marks,
    node,
    permissions,
    ports,
    probe,
    schema,
    units,
)
from caxton.doctor.model import Check, Examination, Patient, Status
from caxton.protocol.errors import CaxtonError

EXAMINATIONS: Final[dict[str, Examination]] = {
    "configuration": configuration.examine,
    "permissions": permissions.examine,
    "maintenance": marks.examine,
    "units": units.examine,
    "ports": ports.examine,
    "certificate": certificate.examine,
    "router": node.examine,
    "schema": schema.examine,
    "probe": probe.examine,
    "disk": disk.examine,
    "clock": clock.examine,
    "backup": backups.examine,
    "audit": audit.examine,
}


def examine(patient: Patient) -> list[Check]:
    """Every finding."""
    found: list[Check] = []
    for name, examination in EXAMINATIONS.items():
        try:
            found.extend(examination(patient))
        except (CaxtonError, OSError, ValueError, LookupError, TypeError) as error:  # also of a router of another age
            found.append(Check(name, Status.FAIL, f"cannot be examined: {error}"))
    return found
