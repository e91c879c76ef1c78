"""Whether systemd runs the node's units, where it does.

Owns the list of units that should be active. Must never start or stop one.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from caxton.doctor.model import Check, Patient, Status

NAME: Final = "units"
SERVICES: Final = (
    "caxton.socket",
    "caxton.service",
    "caxton-admin.service",
    "caxton-router.service",
    "caxton-executor.service",
)
GOSSIP: Final = "caxton-gossip.service"
"""Active on a node of a cluster only."""
TIMERS: Final = ("caxton-backup.timer", "caxton-restore-drill.timer")
_RUNNING: Final = Path("/run/systemd/system")
_SECONDS: Final = 20.0


def examine(patient: Patient) -> Iterator[Check]:
    """One finding for each unit that is not active; one if there is none."""
    wanted = (*SERVICES, *((GOSSIP,) if patient.config.coordination.cluster_enabled else ()), *TIMERS)
    states = _states(wanted) if _RUNNING.is_dir() and shutil.which("systemctl") else {}
    if states.get("caxton.service", ("not-found", ""))[0] == "not-found":
        yield Check(NAME, Status.OK, "systemd does not run this node")
        return
    bad = [check for unit in wanted if (check := _judge(unit, *states.get(unit, ("", "")))) is not None]
    yield from bad or [Check(NAME, Status.OK, f"{len(wanted)} are active")]


def _judge(unit: str, load: str, active: str) -> Check | None:
    if active in ("active", "reloading"):
        return None
    status = Status.WARN if unit in TIMERS else Status.FAIL
    hint = f"systemctl enable --now {unit}" if unit in TIMERS else f"systemctl status {unit}; journalctl -u {unit}"
    return Check(NAME, status, f"{unit} is {active if load == 'loaded' else load or 'unknown'}", hint)


def _states(units: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Load state and active state by unit."""
    command = ["systemctl", "show", "--property=Id,LoadState,ActiveState", *units]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    found = {}
    for block in done.stdout.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        found[values.get("Id", "")] = (values.get("LoadState", ""), values.get("ActiveState", ""))
    return found
