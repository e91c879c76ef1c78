"""Whether the end of the audit is what was written.

Owns one finding. Must never read all of it: `caxton audit verify` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from caxton.audit import verify
from caxton.audit.files import listed, read_head
from caxton.doctor.model import Check, Patient, Status

NAME: Final = "audit"
_HINT: Final = "journalctl -u caxton-router -o cat | caxton audit verify --anchors -"


def examine(patient: Patient) -> Iterator[Check]:
    """The last file, and that nothing is missing behind it."""
    directory = patient.config.paths.audit
    try:
        noted, files = read_head(directory), listed(directory)
        report = verify(files[-1], growing=True) if files else None
    except PermissionError:
        yield Check(NAME, Status.WARN, f"{directory}: not ours to read", "run it as root or as the node's user")
        return
    last = 0 if report is None or report.head is None else report.head.seq
    if report is None and noted is None:
        yield Check(NAME, Status.WARN, f"nothing was recorded in {directory} yet")
    elif report is not None and report.faults:
        fault = report.faults[0]
        yield Check(NAME, Status.FAIL, f"{fault.file}:{fault.line}: {fault.kind}: {fault.message}", _HINT)
    elif noted is not None and noted.seq > last:
        yield Check(NAME, Status.FAIL, f"records {last + 1} to {noted.seq} are missing at the end", _HINT)
    else:
        yield Check(NAME, Status.OK, f"{last} records, the last file is whole")
