"""Which traces that begin on this node are sampled: a share of them, chosen by the trace's own id.

Owns that rule: whoever else decides by the id (OpenTelemetry's consistent sampling) decides alike. Must never judge a
trace that somebody else has begun.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from caxton.config import Observability
from caxton.protocol.spans import send_id

SAMPLED: Final = "01"
NOT_SAMPLED: Final = "00"
_RATIO_BITS: Final = 56
_RATIO_MASK: Final = (1 << _RATIO_BITS) - 1


class Sampling:
    """Of this process. Of a trace's id the last `_RATIO_BITS` bits count: `least` is the smallest that is sampled."""

    least = 1 << _RATIO_BITS

    @classmethod
    def set_up(cls, settings: Observability) -> None:
        """A node without tracing samples nothing by itself."""
        rate = settings.trace_sample_rate if settings.enable_tracing else 0.0
        cls.least = (1 << _RATIO_BITS) - round(rate * (1 << _RATIO_BITS))

    @classmethod
    def chooses(cls, trace_id: int) -> bool:
        """Whether a trace with this id is one of the share."""
        return trace_id & _RATIO_MASK >= cls.least


def begun(message_id: str) -> str:
    """The context of a message that nobody asked for: the same for the same id, its `send` is the trace's root."""
    trace_id = int.from_bytes(blake2b(message_id.encode(), digest_size=16, person=b"trace").digest(), "big") or 1
    flags = SAMPLED if Sampling.chooses(trace_id) else NOT_SAMPLED
    return f"00-{trace_id:032x}-{send_id(message_id)}-{flags}"
