"""Attacks on a running node through its API, and a good agent beside them.

Owns every agent that a self-test deploys, and removes each, whatever happens. Must never judge: it hands over
what it saw.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from caxton.cli.client import Client, decoded, segment
from caxton.cli.deployment import DEPLOY_SECONDS, wait_for
from caxton.cli.interrupts import postponed
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import new_id
from caxton.selftest import GOOD_AGENT, Attack, Observed
from caxton.selftest.judge import PATIENCE_SECONDS

PREFIX: Final = "caxton-selftest"
PAUSE_SECONDS: Final = 0.05
_ONCE: Final = {"max_deliveries": 1}


class Visitor:
    """Deploys, invokes and removes agents with names of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._prefix = f"{PREFIX}-{new_id()[:8]}"
        self._names: dict[str, dict[str, Any] | None] = {}
        """Every agent that may exist, with the job that is still making it."""

    def attack(self, attack: Attack) -> Observed:
        """Deploys the attack, sends its messages, removes it; answers what came of the last."""
        name = f"{self._prefix}-{len(self._names)}"
        began = time.monotonic()
        try:
            try:
                self._deploy(name, attack.module(), attack)
            except CaxtonError as error:
                return _failed("deploy", began, error)
            if attack.expected.at == "deploy":
                return Observed("deploy", time.monotonic() - began)
            for _ in range(attack.messages - 1):
                self._invoke(name)
            return self._last(name)
        finally:
            self._remove(name)

    @contextmanager
    def good_agent(self) -> Iterator[str]:
        """An agent that only answers; its name."""
        name = f"{self._prefix}-good"
        try:
            self._deploy(name, GOOD_AGENT, None)
            yield name
        finally:
            self._remove(name)

    def _deploy(self, name: str, module: bytes, attack: Attack | None) -> None:
        config: dict[str, Any] = {"name": name, "retry": _ONCE}
        if attack is not None:
            config |= {"limits": attack.limits, "grants": attack.grants, "profile": attack.profile}
        files = {"wasm": ("module", module, "application/wasm"), "config": (None, msgspec.json.encode(config))}
        self._names[name] = None
        with postponed():  # once the node has the order we must know its job, or could not take it back
            response = self._client.send(
                "POST", "/agents", files=files, headers={"Prefer": "respond-async"}, timeout=DEPLOY_SECONDS
            )
            job = self._names[name] = decoded(response) if response.status_code == 202 else None
        if job is not None:
            wait_for(self._client, job, lambda _: None)
            self._names[name] = None

    def _invoke(self, name: str) -> dict[str, Any]:
        body = {"content": None, "timeout_seconds": PATIENCE_SECONDS}
        path = f"/agents/{segment(name)}/invoke"
        answer: dict[str, Any] = self._client.post(path, body, timeout=2 * PATIENCE_SECONDS)
        return answer

    def _last(self, name: str) -> Observed:
        began = time.monotonic()
        try:
            answer = self._invoke(name)
        except CaxtonError as error:
            return _failed("invoke", began, error)
        logs = self._client.get(f"/agents/{segment(name)}/logs", limit=1_000)["items"]
        return Observed(
            "invoke",
            time.monotonic() - began,
            performative=answer["performative"],
            content=answer["content"],
            peak_memory_bytes=(answer.get("execution") or {}).get("peak_memory_bytes", 0),
            log_bytes=sum(len(line["text"].encode()) for line in logs if line["stream"] != "node"),
        )

    def _remove(self, name: str) -> None:
        """Removes an agent that was deployed, is being deployed, or never came to be."""
        with postponed():
            job = self._names.get(name)
            try:
                if job is not None:
                    wait_for(self._client, job, lambda _: None)
            except CaxtonError:
                pass  # it never came to be
            try:
                self._client.delete(f"/agents/{segment(name)}", purge=True)
            except CaxtonError as error:
                if error.code != Code.AGENT_NOT_FOUND:
                    raise


@dataclass
class Beats:
    """How the good agent answered since somebody last looked. Seconds."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """As in a row of the result."""
        slowest = round(max(self.seconds), 4) if self.seconds else None
        return {"answers": len(self.seconds), "slowest_seconds": slowest, "failures": self.failures}


class Beside:
    """Asks the good agent again and again, on a connection and a thread of its own, while others attack."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._path = f"/agents/{segment(name)}/invoke"
        self._beats = Beats()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end.set()
        self._thread.join()

    def since_last(self) -> Beats:
        """What was counted since the last call."""
        with self._lock:
            taken, self._beats = self._beats, Beats()
        return taken

    def _run(self) -> None:
        while not self._end.wait(PAUSE_SECONDS):
            began = time.monotonic()
            failure = None
            try:
                answer = self._client.post(self._path, {"content": None, "timeout_seconds": PATIENCE_SECONDS})
                failure = None if answer["content"] == "well" else f"answered {answer['content']!r}"
            except CaxtonError as error:
                failure = str(error.code)
            with self._lock:
                if failure is None:
                    self._beats.seconds.append(time.monotonic() - began)
                elif failure != Code.RATE_LIMITED:  # that is its own doing
                    self._beats.failures.append(failure)


def _failed(at: str, began: float, error: CaxtonError) -> Observed:
    if error.code in (Code.UNREACHABLE, Code.UNAUTHORIZED, Code.FORBIDDEN, Code.RATE_LIMITED, Code.DRAINING):
        raise error  # nothing was tried
    rule = error.details.get("rule")
    return Observed(at, time.monotonic() - began, str(error.code), rule if isinstance(rule, str) else None)
