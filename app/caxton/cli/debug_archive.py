"""What `caxton debug` puts into its archive: one agent and its node as that shows them, and the latest recordings.

Owns the list of parts, and their limits. Must never fail for a part that cannot be had: it is named in the archive
instead.
"""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import msgspec

from caxton import __version__
from caxton.cli import debug_metrics
from caxton.cli.client import Client, segment
from caxton.cli.debug_masking import Masks
from caxton.cli.replay_verb import fetch
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.recordings import Carried, Recording, write_carried

MANIFEST: Final = "manifest.json"
RECORDINGS: Final = "recordings"
_LIMIT: Final = 200
_LAST: Final = 50
"""Recordings."""
_RECORDED_BYTES: Final = 256 * 1024 * 1024
"""Of all recordings together, as they are kept: what does not fit is left out."""
_LOG_LINES: Final = 1_000
_TRAPS: Final = 20
"""Messages whose failed attempts are told with their backtraces."""
Parts = dict[str, bytes]


class Manifest(msgspec.Struct, frozen=True):
    """`missing`: parts that could not be had, and why. `at` in seconds since the epoch."""

    agent: str
    node: str
    caxton: str
    at: float
    parts: list[str]
    missing: dict[str, str]


def parts_of(agent: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """File name → path and query of the API."""
    own = f"/agents/{segment(agent)}"
    return {
        "agent.json": (own, {}),
        "history.json": (f"{own}/history", {"limit": _LIMIT}),
        "versions.json": (f"{own}/versions", {}),
        "rollout.json": (f"{own}/rollout", {}),
        "schedules.json": (f"{own}/schedules", {}),
        "mailbox.json": (f"{own}/messages", {"limit": _LIMIT}),
        "executions.json": (f"{own}/executions", {"limit": _LIMIT}),
        "http_calls.json": (f"{own}/http-calls", {"limit": _LIMIT}),
        "keys.json": (f"{own}/state", {"limit": _LIMIT}),
        "log.json": (f"{own}/logs", {"limit": _LOG_LINES}),
        "dead_letters.json": ("/dead-letters", {"agent": agent, "limit": _LIMIT}),
        "audit.json": ("/audit", {"target": agent, "limit": _LIMIT}),
        "ledger.json": ("/ledger", {}),
        "node.json": ("/node/facts", {"agent": agent}),
    }


class Gathering:
    """Asks for every part, one after the other; `manifest` says what came of it."""

    def __init__(self, client: Client, agent: str) -> None:
        self._client, self._agent = client, agent
        self._masks = Masks()
        self._answers: dict[str, Any] = {}
        self._parts: Parts = {}
        self._missing: dict[str, str] = {}

    def gather(self) -> tuple[Manifest, Parts]:
        """Everything."""
        for name, (path, query) in parts_of(self._agent).items():
            self._ask(name, partial(self._client.get, path, **query))
        node = self._answers.get("node.json")
        if node is not None:
            self._of_the_node(node)
        self._ask("traps.json", self._traps)
        for one in self._recordings():
            self._parts |= _recording(one)
        for name, answer in self._answers.items():
            shown = msgspec.json.encode(self._masks.everywhere(answer))
            self._parts[name] = msgspec.json.format(shown, indent=2)
        at = time.time()
        parts = sorted(self._parts)
        return Manifest(self._agent, self._client.target.url, __version__, at, parts, self._missing), self._parts

    def _ask(self, name: str, ask: Callable[[], Any]) -> Any:
        try:
            answer = ask()
        except CaxtonError as error:
            if error.code is not Code.NOT_FOUND:  # it never had one
                self._missing[name] = f"{error.code}: {error.message}"
            return None
        self._answers[name] = self._masks.named(answer)
        return answer

    def _of_the_node(self, node: dict[str, Any]) -> None:
        """Its figures and its configuration are parts by themselves; what a cluster knows, where it is in one."""
        figures = node.pop("figures", {})
        self._answers["figures.json"], self._answers["config.json"] = figures, node.pop("config", [])
        if "cluster" in figures:
            self._ask("cluster.json", partial(self._client.get, "/cluster"))
        here = self._answers.get("ledger.json", {}).get("node", {}).get("name")
        try:
            found = debug_metrics.scrape(self._client.target, node["node"], here, self._answers["config.json"])
            self._parts["metrics.txt"] = found
        except CaxtonError as error:
            self._missing["metrics.txt"] = f"{error.code}: {error.message}"

    def _traps(self) -> list[Any]:
        """Failed attempts with their backtraces, of the newest messages that have some; recorded or not."""
        executions = self._answers.get("executions.json", {}).get("items", [])
        dead = self._answers.get("dead_letters.json", {}).get("items", [])
        failed = [one["message_id"] for one in executions if one["status"] == "error"]
        found = []
        for message_id in list(dict.fromkeys([*failed, *(one["message_id"] for one in dead)]))[:_TRAPS]:
            try:
                message = self._client.get(f"/messages/{segment(message_id)}")
            except CaxtonError as error:
                if error.code is not Code.MESSAGE_NOT_FOUND:  # retention has taken it
                    raise
            else:
                kept = ("message_id", "state", "attempts", "executions")
                found.append({name: message[name] for name in kept if name in message})
        return found

    def _recordings(self) -> Iterator[Carried]:
        path = f"/agents/{segment(self._agent)}/recordings"
        try:
            items = self._client.get(path, limit=_LAST)["items"]
        except CaxtonError as error:
            self._missing[RECORDINGS] = f"{error.code}: {error.message}"
            return
        left = _RECORDED_BYTES
        for item in items:
            execution = item["execution"]
            name = f"{RECORDINGS}/{execution}"
            left -= item.get("bytes", 0)
            if left < 0:
                self._missing[name] = "there is no more room for recordings"
                continue
            try:
                yield self._masked(fetch(self._client, execution, module=False))
            except CaxtonError as error:
                self._missing[name] = f"{error.code}: {error.message}"

    def _masked(self, carried: Carried) -> Carried:
        own = carried.recording
        spec = msgspec.structs.replace(
            own.spec, env=self._masks.named(own.spec.env), config=self._masks.named(own.spec.config)
        )
        clean = msgspec.structs.replace(own, spec=spec)
        if spec != own.spec and own.before is not None:
            clean = msgspec.structs.replace(clean, before=None, lacks="its memory may hold what is masked here")
        return self._masks.recorded(msgspec.structs.replace(carried, recording=clean))


def _recording(carried: Carried) -> Parts:
    """As a file for `caxton replay --module`, and to be read."""
    name = f"{RECORDINGS}/{carried.execution}"
    return {f"{name}.rec": write_carried(carried), f"{name}.json": readable(carried.recording)}


def readable(recording: Recording) -> bytes:
    """A recording as JSON text without the memory: input, every answer of the host in order, what it did."""
    shown = {
        "message": msgspec.structs.asdict(recording.message),
        "version": recording.spec.version,
        "module": recording.spec.module_sha256,
        "incarnation": recording.incarnation,
        "lacks": recording.lacks,
        "calls": [msgspec.structs.asdict(call) for call in recording.calls],
        "ended": msgspec.structs.asdict(recording.ended),
    }
    return msgspec.json.format(msgspec.json.encode(shown, enc_hook=str), indent=2)


def write(manifest: Manifest, parts: Parts) -> bytes:
    """The archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in {MANIFEST: msgspec.json.encode(manifest), **parts}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), int(manifest.at), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
