"""What the hot half can be asked about itself.

Owns the shapes of counts and figures. Must never change anything.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from caxton.router.boxes import Box, Boxes, Worker
from caxton.router.mailbox import Place


class MailboxCounts(msgspec.Struct, frozen=True):
    """What the router holds of one agent's messages now. `bytes`: their size in memory.

    `unsaved`: ephemeral messages that are on no side of the stored ledger yet (counted in the others too).
    """

    pending: int = 0
    in_flight: int = 0
    bytes: int = 0
    unsaved: int = 0


def counts_of(box: Box | None) -> MailboxCounts:
    """What is in one mailbox now; messages whose end is being committed are still in flight."""
    if box is None:
        return MailboxCounts()
    out = box.mailbox.out + box.settling
    return MailboxCounts(box.mailbox.count - box.mailbox.out, out, box.mailbox.byte_count, box.unsaved)


def figures(boxes: Boxes, workers: list[Worker]) -> dict[str, Any]:
    """Sums over all mailboxes, and one entry per worker. Sizes in bytes."""
    return {
        "in_flight": sum(len(worker.flights) for worker in workers),
        "queued": boxes.queued,
        "queued_bytes": boxes.queued_bytes,
        "oldest_seconds": _oldest(boxes),
        "workers": [_worker(worker) for worker in workers],
    }


def _oldest(boxes: Boxes) -> float:
    """How long ago the oldest message was accepted that has not ended here; 0: there is none.

    They are held in the order in which they came, but for what was read again from disk: that is about as good.
    """
    accepted = (entry.accepted_at for entry in boxes.live.values() if entry.place is not Place.AWAY)
    return max(0.0, time.time() - next(accepted, time.time()))


def _worker(worker: Worker) -> dict[str, Any]:
    stats = worker.stats
    return {
        "worker_id": worker.worker_id,
        "pid": worker.pid,
        "tag": worker.tag,
        "version": worker.version,
        "in_flight": len(worker.flights),
        "resident": stats.resident if stats else 0,
        "suspended": stats.suspended if stats else 0,
        "rss_bytes": stats.rss_bytes if stats else 0,
    }
