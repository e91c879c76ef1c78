"""What a link counts.

Owns the figures of one peer. Must never be reset while the peer is a member.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class LinkFigures:
    """Since this router began. `rtt_seconds`: of the last heartbeat; `answered_at`: when one was last answered, by
    the clock of `time.time`; `connects`: how often a link came to be.
    """

    calls: int = 0
    errors: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    connects: int = 0
    connected: bool = False
    in_flight: int = 0
    rtt_seconds: float | None = None
    answered_at: float | None = None
    last_error: str = ""
