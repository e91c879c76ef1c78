"""Whether the clock is kept right by somebody.

Owns one finding. Must never set the clock.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from caxton.doctor.model import Check, Patient, Status

NAME: Final = "clock"
_SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")
_TIMEX_BYTES: Final = 256  # struct timex has 208; all zero = only look
_TIME_ERROR: Final = 5
_HINT: Final = "systemctl enable --now systemd-timesyncd (or chrony); timedatectl"


def examine(_: Patient) -> Iterator[Check]:
    """The kernel knows whether something disciplines its clock; a container's host may not let us ask."""
    state = _kernel_state()
    if state == _TIME_ERROR and not _SYNCHRONISED.exists():
        yield Check(NAME, Status.WARN, "not synchronised: deadlines and tokens depend on it", _HINT)
    elif state is None and not _SYNCHRONISED.exists():
        yield Check(NAME, Status.WARN, "unknown whether it is synchronised", "timedatectl")
    else:
        yield Check(NAME, Status.OK, "synchronised")


def _kernel_state() -> int | None:
    """What adjtimex(2) answers: 0 to 4 are good, 5 is a clock that nobody keeps; None = it does not tell."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return state if isinstance(state, int) and state >= 0 else None
