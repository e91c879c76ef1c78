"""Whether somebody listens where the node should.

Owns the connections that it tries. Must never send a byte over them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

from caxton.config import reachable, split_address
from caxton.doctor.model import Check, Patient, Status

NAME = "ports"
_SECONDS = 3.0


def examine(patient: Patient) -> Iterator[Check]:
    """One finding for each address that nobody answers at; one if there is none."""
    net = patient.config.networking
    addresses = {"bind_address": net.bind_address, "admin_address": net.admin_address}
    if patient.config.observability.enable_metrics:
        addresses["metrics_address"] = net.metrics_address
    bad = [check for key, address in addresses.items() if (check := _try(key, address)) is not None]
    yield from bad or [Check(NAME, Status.OK, f"{', '.join(addresses.values())} answer")]


def _try(key: str, address: str) -> Check | None:
    host, port = split_address(reachable(address))
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error)
        return Check(
            NAME, Status.FAIL, f"networking.{key} {address}: {reason}", "systemctl status caxton.socket caxton"
        )
    return None
