"""The running processes: is the router there and ready, do all run what is installed, do the books balance.

Owns these findings. Must never wait longer than a few seconds.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from caxton import __version__
from caxton.config import Config, public_connection
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
    api = _api_version(patient.config)
    if isinstance(stats, dict):
        yield from _versions({"api": api, **stats["versions"]})
        yield _ledger(stats)
        yield _secrets(stats)
        return
    known = {"executor": None, "router": None, **stats.details.get("versions", {})}
    if "schema" in stats.details.get("reasons", ()):  # the router waits, and has no executor yet that it could ask
        yield from _versions({"api": api, **known}, "the router asks it when the schema fits", _HINTS["schema"])
    else:
        yield from _versions({"api": api, **known})


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


def _versions(
    running: Mapping[str, str | None], unknown: str = "it does not say", hint: str = _RESTART
) -> Iterator[Check]:
    """What was installed and not started yet is the commonest half of an upgrade. `unknown`: why one is None."""
    for component, version in sorted(running.items()):
        name = f"version of {component}"
        if version == __version__:
            yield Check(name, Status.OK, version)
        elif not version:
            yield Check(name, Status.WARN, f"unknown: {unknown}; installed is {__version__}", hint)
        else:
            yield Check(name, Status.FAIL, f"{version} runs, installed is {__version__}", _RESTART)


def _ledger(stats: dict[str, Any]) -> Check:
    imbalance = stats["ledger"]["imbalance"]
    if imbalance:
        return Check("ledger", Status.FAIL, f"{imbalance} messages are nowhere", "report this, with the node's log")
    return Check("ledger", Status.OK, f"{stats['ledger']['accepted']} messages are accounted for")


def _secrets(stats: dict[str, Any]) -> Check:
    stored, unreadable = stats["secrets"]["stored"], stats["secrets"]["unreadable"]
    if unreadable:
        found = f"{unreadable} of {stored} secrets cannot be read: the node has not their key"
        return Check("secrets", Status.FAIL, found, "caxton secret list; the key is security.secrets_key")
    return Check("secrets", Status.OK, f"{stored} secrets of agents can be read")


def _api_version(config: Config) -> str | None:
    """What the public API says of itself in its own description."""
    connection = public_connection(config, _SECONDS)
    try:
        connection.request("GET", "/api/v1/openapi.json")
        return msgspec.json.decode(connection.getresponse().read(), type=_Document).info.version
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return None
    finally:
        connection.close()
