"""The agents: who is quarantined or failed, and whether messages die now.

Owns these findings. Must never change an agent.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from caxton.doctor.model import Check, Patient, Status
from caxton.protocol.agents import AgentStatus
from caxton.protocol.operations import Listing

NAME: Final = "agents"
DEAD: Final = "dead letters"
RECENT_SECONDS: Final = 3_600.0
_SHOWN: Final = 5
_NOT_WELL: Final = (AgentStatus.QUARANTINED, AgentStatus.FAILED)


def examine(patient: Patient) -> Iterator[Check]:
    """A bad agent is no fault of the node; whoever is asked at night wants to know all the same."""
    if not isinstance(patient.stats, dict):
        return  # which the router's own check tells
    counts: dict[str, int] = patient.stats["agents"]
    for status in _NOT_WELL:
        if counts.get(status):
            yield _named(patient, status, counts[status])
    if not any(counts.get(status) for status in _NOT_WELL):
        yield Check(NAME, Status.OK, f"{sum(counts.values())} agents, none is quarantined or failed")
    yield _dead(patient, patient.stats["dead_letters"])


def _named(patient: Patient, status: AgentStatus, count: int) -> Check:
    page = patient.ask("agent.list", Listing(limit=_SHOWN, status=status))
    names = ", ".join(agent["name"] for agent in page["items"])
    more = " and more" if count > _SHOWN else ""
    return Check(
        NAME, Status.WARN, f"{count} {status}: {names}{more}", "caxton agent show NAME; caxton agent logs NAME"
    )


def _dead(patient: Patient, count: int) -> Check:
    """Old ones wait for a decision; a recent one says that something fails now."""
    if not count:
        return Check(DEAD, Status.OK, "there are none")
    newest: list[dict[str, Any]] = patient.ask("dead.list", Listing(limit=1))["items"]
    age = min((_age(one) for one in newest), default=RECENT_SECONDS)
    if age < RECENT_SECONDS:
        found = f"{count}; the newest, for {newest[0]['receiver']}, died {age / 60:.0f} minutes ago"
        return Check(DEAD, Status.WARN, found, f"caxton dlq show {newest[0]['message_id']}; caxton dlq list")
    return Check(DEAD, Status.OK, f"{count}, of the last hour none")


def _age(message: dict[str, Any]) -> float:
    at = message.get("finished_at") or message["accepted_at"]
    return time.time() - datetime.fromisoformat(at).timestamp()
