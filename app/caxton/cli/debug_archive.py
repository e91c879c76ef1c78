"""What `caxton debug` puts into its archive: one agent as a node shows it, and every recorded execution at hand.

Owns the list of parts, and the masking of what looks like a secret. Must never fail for a part that cannot be had: it
is named in the archive instead.
"""

from __future__ import annotations

import io
import re
import tarfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from caxton import __version__
from caxton.cli.client import Client, segment
from caxton.cli.replay_verb import fetch
from caxton.protocol.errors import CaxtonError
from caxton.protocol.recordings import Carried, Recording, write_carried

MANIFEST: Final = "manifest.json"
RECORDINGS: Final = "recordings"
_LIMIT: Final = 200
_LAST: Final = 50
"""Recordings."""
_LOG_LINES: Final = 1_000
_SECRET: Final = re.compile(r"secret|token|passw|credential|api_?key|private", re.IGNORECASE)
_MASK: Final = "********"
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
        "versions.json": (f"{own}/versions", {}),
        "rollout.json": (f"{own}/rollout", {}),
        "schedules.json": (f"{own}/schedules", {}),
        "mailbox.json": (f"{own}/messages", {"limit": _LIMIT}),
        "executions.json": (f"{own}/executions", {"limit": _LIMIT}),
        "http_calls.json": (f"{own}/http-calls", {"limit": _LIMIT}),
        "keys.json": (f"{own}/state", {"limit": _LIMIT}),
        "log.json": (f"{own}/logs", {"limit": _LOG_LINES}),
        "dead_letters.json": ("/dead-letters", {"agent": agent, "limit": _LIMIT}),
        "history.json": ("/audit", {"target": agent, "limit": _LIMIT}),
        "ledger.json": ("/ledger", {}),
        "node.json": ("/cluster", {}),
    }


def gather(client: Client, agent: str) -> tuple[Manifest, Parts]:
    """Asks for every part, one after the other."""
    found: Parts = {}
    missing: dict[str, str] = {}
    for name, (path, query) in parts_of(agent).items():
        answer = _had(partial(client.get, path, **query), name, missing)
        if answer is not None:
            found[name] = msgspec.json.format(msgspec.json.encode(masked(answer)), indent=2)
    path = f"/agents/{segment(agent)}/recordings"
    page = _had(partial(client.get, path, limit=_LAST), RECORDINGS, missing)
    for item in page["items"] if page else ():
        execution = item["execution"]
        carried = _had(partial(fetch, client, execution, module=False), f"{RECORDINGS}/{execution}", missing)
        if carried is not None:
            found |= _recording(carried)
    return Manifest(agent, client.target.url, __version__, time.time(), sorted(found), missing), found


def _had(ask: Callable[[], Any], name: str, missing: dict[str, str]) -> Any:
    try:
        return ask()
    except CaxtonError as error:
        missing[name] = f"{error.code}: {error.message}"
        return None


def _recording(carried: Carried) -> Parts:
    """As a file for `caxton replay --module`, and to be read."""
    name = f"{RECORDINGS}/{carried.execution}"
    own = carried.recording
    spec = msgspec.structs.replace(own.spec, env=masked(own.spec.env), config=masked(own.spec.config))
    clean = msgspec.structs.replace(own, spec=spec)
    if spec != own.spec and own.before is not None:
        clean = msgspec.structs.replace(clean, before=None, lacks="its memory may hold what is masked here")
    kept = msgspec.structs.replace(carried, recording=clean)
    return {f"{name}.rec": write_carried(kept), f"{name}.json": readable(kept.recording)}


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


def masked(value: Any) -> Any:
    """The same, with the text behind every name that sounds like a secret's replaced."""
    if isinstance(value, dict):
        return {
            key: _MASK if _SECRET.search(str(key)) and isinstance(inner, str) else masked(inner)
            for key, inner in value.items()
        }
    return [masked(inner) for inner in value] if isinstance(value, list) else value


def write(manifest: Manifest, parts: Parts) -> bytes:
    """The archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in {MANIFEST: msgspec.json.encode(manifest), **parts}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), int(manifest.at), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
