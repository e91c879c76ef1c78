"""Whether the node takes work now.

Owns the names of the reasons why not (spec/api.md, `/ready`). Must never say more than names.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Sequence
from typing import Final

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import Message
from caxton.protocol.peers import NodeState
from caxton.protocol.views import Readiness
from caxton.router.cluster import announce
from caxton.router.desk import Desk

log = logging.getLogger(__name__)

WATCH_SECONDS: Final = 0.5
NAMES: Final = {"store_failed": "store", "executor_unavailable": "executor"}


def readiness(desk: Desk) -> Readiness:
    """Ready, or the reasons why not, those of the core among them (app/docs/api.md, `/ready`)."""
    reasons = [NAMES.get(reason, reason) for reason in desk.core.ready_reasons()]
    if is_draining(desk):
        reasons.append("draining")
    if desk.low_disk:
        reasons.append("low_disk")
    if desk.cluster is not None and not desk.cluster.gossip.joined:
        reasons.append("cluster_not_joined")
    unique = sorted(set(reasons))
    return Readiness(not unique, unique)


def is_draining(desk: Desk) -> bool:
    """Whether the node takes no new work, because an operator wants it so or the router stops."""
    return desk.draining or desk.drained


def disk_is_low(desk: Desk) -> bool:
    """Whether the data directory's file system has less room left than `[messaging] low_disk_bytes`."""
    return shutil.disk_usage(desk.config.paths.data).free < desk.config.messaging.low_disk_bytes


async def watch(desk: Desk) -> None:
    """Keeps `desk.low_disk` true to the disk, and says when the node becomes ready or stops being it.

    The other nodes are told whether this one takes new work.
    """
    before: Readiness | None = None
    while True:
        desk.low_disk = await asyncio.to_thread(disk_is_low, desk)
        if desk.cluster is not None:
            announce.say(desk.cluster, NodeState.DRAINING if is_draining(desk) else NodeState.ACTIVE)
        now = readiness(desk)
        if now != before:
            log.info("readiness: %s", ", ".join(now.reasons) or "ready")
            desk.events.publish("node.ready" if now.ready else "node.not_ready", {"reasons": now.reasons})
        before = now
        await asyncio.sleep(WATCH_SECONDS)


def require_accepting(desk: Desk, *messages: Message) -> None:
    """`DRAINING` while the router stops or the node is drained, unless these messages are all for other nodes."""
    if desk.draining:
        raise CaxtonError(Code.DRAINING, "the node is stopping; try again", retry_after_seconds=2)
    if desk.drained and not _are_for_others(desk, messages):
        raise CaxtonError(Code.DRAINING, "this node is being drained; ask another", retry_after_seconds=5)


def _are_for_others(desk: Desk, messages: Sequence[Message]) -> bool:
    return desk.cluster is not None and bool(messages) and all(map(desk.cluster.outboxes.takes, messages))


def require_disk(desk: Desk) -> None:
    """`STORAGE_FULL` while the disk is low, for what writes beside messages (the core refuses those itself)."""
    if desk.low_disk:
        raise CaxtonError(
            Code.STORAGE_FULL,
            "the disk below the data directory has less room than [messaging] low_disk_bytes; make room",
            limit_bytes=desk.config.messaging.low_disk_bytes,
        )
