"""The order of records: which of two stays.

Owns what a record counts from. Must never read more of a body than an agent's epoch.

A record counts from its own reading, so that the later one stays. An agent's record counts from its epoch instead,
which begins with the deployment (milliseconds since the epoch of clocks) and is raised by each move of the home: what
an old home says later, in a minority, does not take the agent back. A tombstone has no epoch and counts from its
reading: it outranks all of the deployment that it ends, and the next deployment, which begins after it, outranks it.
Epochs that an older release gave count from 1 and are no moments: such a record goes by its reading, as there.
"""

from __future__ import annotations

from typing import Final

import msgspec

from caxton.cluster.registry.clock import milliseconds_of
from caxton.protocol.peers import Record

AGENT: Final = "agent"
_LEAST: Final = 1 << 40
"""Of November 2004, and more than an older release ever counted up to."""


class _Body(msgspec.Struct):
    epoch: int = 1


_decode: Final = msgspec.msgpack.Decoder(_Body).decode


def is_moment(epoch: int) -> bool:
    """Whether this epoch counts; no: an older release gave it."""
    return epoch >= _LEAST


def epoch_of(kind: str, body: bytes | None) -> int:
    """The epoch that a record counts from; 0: from its reading."""
    if kind != AGENT or body is None:
        return 0
    try:
        epoch = _decode(body).epoch
    except msgspec.DecodeError:  # of a later release, perhaps: it is kept as it came
        return 0
    return epoch if is_moment(epoch) else 0


def rank(record: Record) -> tuple[int, int, str, bool]:
    """The higher one of two that are about one thing stays.

    No record is older than its epoch, so the tombstone of whoever has seen it outranks it. A discarded record is a
    tombstone with the record's own stamp, and stays.
    """
    since = epoch_of(record.kind, record.body) or milliseconds_of(record.hlc)
    return since, record.hlc, record.writer, record.body is None
