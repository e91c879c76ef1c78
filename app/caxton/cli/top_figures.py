"""What `caxton top` shows, out of two looks at a node: counts become rates here.

Owns the asking and the arithmetic. Must never print.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

from caxton.cli.client import Client, decoded
from caxton.protocol.errors import CaxtonError, Code

PAGE: Final = 200
MAX_AGENTS: Final = 2_000
ASK_SECONDS: Final = 10.0
"""For one page: who looks every two seconds does not wait a minute."""
FINAL: Final = frozenset({Code.UNAUTHORIZED, Code.FORBIDDEN, Code.CONFIG_INVALID})
"""What another try does not mend."""
_WITHOUT_NODE: Final = {
    Code.FORBIDDEN: "these credentials see a namespace, not the node",
    Code.NOT_FOUND: "an older release, which does not tell",
}
"""Why a node may keep its own figures to itself and show its agents all the same."""


@dataclass(frozen=True)
class Look:
    """The node's answers as they came. `at`: seconds of the monotonic clock. `node` None: `why` says why not."""

    at: float
    node: dict[str, Any] | None
    agents: list[dict[str, Any]]
    why: str = ""
    more: bool = False
    unreachable: list[str] = field(default_factory=list)


class Watch:
    """Each call is a look, compared with the one before; raises `CaxtonError`."""

    def __init__(self, client: Client, before: Look | None = None) -> None:
        self._client = client
        self._before = before

    def __call__(self) -> Frame:
        """What has happened since the last call."""
        now = look(self._client)
        before, self._before = self._before, now
        return compare(before, now)


@dataclass(frozen=True)
class Row:
    """One agent. Rates are per second, `cpu` is cores; None: not known, as after a restart of the router."""

    name: str
    node: str
    status: str
    executions: float | None
    messages: float | None
    cpu: float | None
    memory_bytes: int
    queue: int
    in_flight: int
    failures: float | None
    failed: int
    dead: int


@dataclass(frozen=True)
class Frame:
    """All that is shown at once. `commit_seconds`: the mean of a commit between the looks, or since the start."""

    node: dict[str, Any] | None
    why: str
    executions: float | None
    messages: float | None
    commit_seconds: float | None
    rows: list[Row]
    more: bool
    unreachable: list[str]


def look(client: Client) -> Look:
    """Asks once; raises `CaxtonError`."""
    node, why = None, ""
    try:
        node = decoded(client.send("GET", "/node", timeout=ASK_SECONDS))
    except CaxtonError as error:
        if error.code not in _WITHOUT_NODE:
            raise
        why = _WITHOUT_NODE[error.code]
    agents: list[dict[str, Any]] = []
    unreachable: set[str] = set()
    cursor: str | None = ""
    while cursor is not None and len(agents) < MAX_AGENTS:
        query = {"limit": str(PAGE), **({"cursor": cursor} if cursor else {})}
        page = decoded(client.send("GET", "/agents", timeout=ASK_SECONDS, params=query))
        agents += page["items"]
        unreachable.update(page.get("unreachable", ()))
        cursor = page.get("next_cursor")
    return Look(time.monotonic(), node, agents, why, cursor is not None, sorted(unreachable))


def compare(before: Look | None, now: Look) -> Frame:
    """What happened between two looks; without the first there are no rates."""
    seconds = 0.0 if before is None else now.at - before.at
    old = _same_router(before, now)
    known = {(agent["name"], agent["node"]): agent for agent in (before.agents if before else ())}
    return Frame(
        node=now.node,
        why=now.why,
        executions=_rate(_executions(old), _executions(now.node), seconds),
        messages=_rate(_accepted(old), _accepted(now.node), seconds),
        commit_seconds=_commit_seconds(old, now.node),
        rows=[_row(known.get((agent["name"], agent["node"])), agent, seconds) for agent in now.agents],
        more=now.more,
        unreachable=now.unreachable,
    )


def _same_router(before: Look | None, now: Look) -> dict[str, Any] | None:
    """The node's figures of before, unless its router, which counts, was started since."""
    if before is None or before.node is None or now.node is None:
        return None
    same = before.node["node"] == now.node["node"] and before.node["uptime_seconds"] <= now.node["uptime_seconds"]
    return before.node if same else None


def _row(before: dict[str, Any] | None, now: dict[str, Any], seconds: float) -> Row:
    resources, counters = now["resources"], now["counters"]
    old = (before or {}).get("resources", {})
    ended = _rate(_settled((before or {}).get("counters")), _settled(counters), seconds)
    return Row(
        name=now["name"],
        node=now["node"],
        status=now["status"],
        executions=_rate(old.get("executions"), resources.get("executions"), seconds),
        messages=ended,
        cpu=_rate(old.get("cpu_seconds"), resources.get("cpu_seconds"), seconds),
        memory_bytes=resources.get("memory_bytes", 0),
        queue=counters["pending"],
        in_flight=counters["in_flight"],
        failures=_rate(old.get("failures"), resources.get("failures"), seconds),
        failed=resources.get("failures", 0),
        dead=counters["dead"],
    )


def _settled(counters: dict[str, int] | None) -> int | None:
    return None if counters is None else sum(counters[name] for name in ("done", "dead", "expired", "cancelled"))


def _executions(node: dict[str, Any] | None) -> int | None:
    return None if node is None else sum(node["executions"].values())


def _accepted(node: dict[str, Any] | None) -> int | None:
    return None if node is None else node["messages"]["accepted"]


def _commit_seconds(before: dict[str, Any] | None, now: dict[str, Any] | None) -> float | None:
    if now is None:
        return None
    commits, seconds = now["commits"], now["commit_seconds"]
    if before is not None and commits > before["commits"]:
        commits, seconds = commits - before["commits"], seconds - before["commit_seconds"]
    mean: float | None = seconds / commits if commits else None
    return mean


def _rate(before: float | None, now: float | None, seconds: float) -> float | None:
    """Per second; None where one is missing, or the count began anew."""
    if before is None or now is None or now < before or seconds <= 0:
        return None
    return (now - before) / seconds
