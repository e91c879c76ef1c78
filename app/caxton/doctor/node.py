"""The running processes: is the router there and ready, do all run what is installed, do the books balance.

Owns these findings. Must never wait longer than a few seconds.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from caxton import __version__
from caxton.config import Config, reachable, split_address
from caxton.doctor.model import Check, Patient, Status
from caxton.protocol.errors import CaxtonError

_ON_PURPOSE: Final = {"draining": "caxton undrain", "paused": "caxton resume"}
_HINTS: Final = {
    "executor": "systemctl status caxton-executor; journalctl -u caxton-executor",
    "low_disk": "make room below the data directory: df -h",
    "schema": "caxton db status",
    "store": "journalctl -u caxton-router; the disk refused a write",
}
_SECONDS: Final = 5.0
_RESTART: Final = "systemctl restart caxton"


class _Info(msgspec.Struct):
    version: str


class _Document(msgspec.Struct):
    info: _Info


def examine(patient: Patient) -> Iterator[Check]:
    """The router's findings; without it only what the API says."""
    yield from _readiness(patient)
    stats = patient.stats
    known = stats if isinstance(stats, dict) else {}
    yield from _versions(known.get("versions", {}), _api_version(patient.config))
    if known:
        yield _ledger(known)


def _readiness(patient: Patient) -> Iterator[Check]:
    try:
        reasons: list[str] = patient.ask("ready")["reasons"]
    except CaxtonError as error:
        yield Check(
            "router", Status.FAIL, error.message, "systemctl status caxton-router; journalctl -u caxton-router"
        )
        return
    yield Check("router", Status.OK, "it answers")
    for reason in reasons:
        status = Status.WARN if reason in _ON_PURPOSE else Status.FAIL
        yield Check("ready", status, f"not ready: {reason}", _ON_PURPOSE.get(reason) or _HINTS.get(reason, ""))
    if not reasons:
        yield Check("ready", Status.OK, "the node takes work")


def _versions(running: dict[str, str | None], api: str | None) -> Iterator[Check]:
    """What was installed and not started yet is the commonest half of an upgrade."""
    for component, version in {"api": api, **{name: running.get(name) for name in ("router", "executor")}}.items():
        name = f"version of {component}"
        if version == __version__:
            yield Check(name, Status.OK, version)
        elif not version:
            yield Check(name, Status.WARN, f"unknown: it does not say; installed is {__version__}", _RESTART)
        else:
            yield Check(name, Status.FAIL, f"{version} runs, installed is {__version__}", _RESTART)


def _ledger(stats: dict[str, Any]) -> Check:
    imbalance = stats["ledger"]["imbalance"]
    if imbalance:
        return Check("ledger", Status.FAIL, f"{imbalance} messages are nowhere", "report this, with the node's log")
    return Check("ledger", Status.OK, f"{stats['ledger']['accepted']} messages are accounted for")


def _api_version(config: Config) -> str | None:
    """What the public API says of itself in its own description."""
    host, port = split_address(reachable(config.networking.bind_address))
    connection: http.client.HTTPConnection
    if config.networking.tls_enabled:
        # Only what our own process says: its certificate names the public address, not this one.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", "/api/v1/openapi.json")
        return msgspec.json.decode(connection.getresponse().read(), type=_Document).info.version
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return None
    finally:
        connection.close()
