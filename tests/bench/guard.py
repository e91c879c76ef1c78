"""What credentials and limits cost an invoke over HTTP: the load of `http` on nodes that differ in nothing else.

All nodes run at the same time and get the load in turn, so that a drifting machine hits all alike. The rate is what a
client sees; the API process's CPU time for each request is what a busy machine does not change.
"""

from __future__ import annotations

import os
import statistics
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx
import jwt

from bench.load import Load, drive, require_wrk
from bench.measure import Figure, Table, paired_ratio
from support.node import Node, running_node
from support.wat import ECHO

ROUNDS: Final = 5
BODY: Final = {"content": "x" * 1024}
SECRET: Final = "q7Vd2mZr9Kx4Tn8Lw3Bj6Hs1Pf5Gc0Ya"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_AUTH: Final = {"auth_enabled": True, "jwt_secret": SECRET}
_LIMIT: Final = {"rate_limit_enabled": True, "rate_limit_per_second": 1_000_000.0, "rate_limit_burst": 1_000_000}
SIDES: Final[dict[str, dict[str, Any]]] = {
    "neither": {},
    "limits": _LIMIT,
    "API key": _AUTH,
    "API key and limits": _AUTH | _LIMIT,
    "token": _AUTH,
    "token and limits": _AUTH | _LIMIT,
}
"""By name, what `[security]` says; a name tells what the client shows."""


class Side:
    """One node under load."""

    def __init__(self, name: str, node: Node) -> None:
        self.name = name
        self._node = node
        self._headers = _shown(name, node)
        self.loads: list[Load] = []
        self.micros: list[float] = []
        node.client.headers.update(self._headers)
        node.deploy("echo", ECHO)
        self._pids = node.gunicorn("api")[1]

    def drive(self) -> None:
        """One round."""
        before = self._cpu()
        load = drive(f"{self._node.url}/api/v1/agents/echo/invoke", body=BODY, headers=self._headers)
        self.loads.append(load)
        self.micros.append((self._cpu() - before) / max(1, load.requests) * 1e6)

    def _cpu(self) -> float:
        """CPU seconds of the API workers."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in self._pids]
        return sum(int(stat[11]) + int(stat[12]) for stat in stats) / _TICKS


def _shown(name: str, node: Node) -> dict[str, str]:
    """The headers of a client: none, a token, or a key that was made with one."""
    if name.startswith(("neither", "limits")):
        return {}
    claims = {"sub": "bench", "exp": time.time() + 3_600, "jti": uuid.uuid4().hex, "role": "admin"}
    bearer = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}
    if name.startswith("token"):
        return bearer
    url = f"{node.admin_url}/api/v1/admin/keys"
    made = httpx.post(url, json={"subject": "bench", "role": "admin"}, headers=bearer)
    assert made.status_code == 201, made.text
    return {"X-API-Key": made.json()["key"]}


def run() -> list[Table]:
    """One API worker on each node."""
    require_wrk()
    with ExitStack() as stack:
        sides = [
            Side(name, stack.enter_context(running_node(networking={"workers": 1}, security=security)))
            for name, security in SIDES.items()
        ]
        for _ in range(ROUNDS):
            for side in sides:
                side.drive()
    bare, rates = sides[0], {side.name: [load.per_second for load in side.loads] for side in sides}
    figures = [Figure(f"{side.name}: invokes", statistics.median(rates[side.name]), "1/s") for side in sides]
    figures += [Figure(f"{side.name}: CPU of the API", statistics.median(side.micros), "µs") for side in sides]
    for side in sides[1:]:
        target = "≥ 0.9" if " and " in side.name else ""
        ratio = paired_ratio(rates[side.name], rates[bare.name])
        figures.append(Figure(f"{side.name}: rate / {bare.name}'s", ratio, "", target))
        figures.append(Figure(f"{side.name}: CPU / {bare.name}'s", paired_ratio(side.micros, bare.micros), ""))
    bad = sum(load.bad for side in sides for load in side.loads)
    figures.append(Figure("answers that were errors", bad, "", "0"))
    return [Table("Credentials and limits, HTTP invoke, 64 connections, 1 API worker", figures)]
