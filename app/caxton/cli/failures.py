"""Errors for people: what happened, why, and the command that helps.

Owns exit codes and hints. Must never show a traceback or a control character of somebody else's text.
"""

from __future__ import annotations

from typing import Final

from caxton.protocol.errors import CaxtonError, Code
from caxton.telemetry.text import escape_controls

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
_SHOWN: Final = ("path", "found", "expected", "limit", "reasons", "job_id", "trace_id", "fault")

HINTS: Final[dict[Code, str]] = {
    Code.AGENT_NOT_FOUND: "caxton agent list",
    Code.AGENT_ALREADY_EXISTS: "caxton agent remove NAME, or choose another --name",
    Code.AGENT_STOPPED: "caxton agent start NAME",
    Code.AGENT_FAILED: "caxton agent logs NAME",
    Code.AGENT_QUARANTINED: "caxton agent show NAME",
    Code.BACKUP_INVALID: "caxton backup verify --all, then another one",
    Code.CONFIG_INVALID: "caxton config check --file FILE",
    Code.DRAINING: "try again, or another node",
    Code.EXECUTION_TIMEOUT: "caxton agent logs NAME, or a longer --timeout",
    Code.INVALID_WASM: "caxton agent validate FILE",
    Code.JOB_NOT_FOUND: "jobs are kept for 24 hours",
    Code.KEY_NOT_FOUND: "caxton key list",
    Code.MAILBOX_FULL: "caxton message list --agent NAME --state pending",
    Code.MESSAGE_NOT_FOUND: "caxton message list",
    Code.NOT_READY: "caxton serve, or look at the node's log",
    Code.RATE_LIMITED: "wait a second and try again",
    Code.RESOURCE_LIMIT_EXCEEDED: "caxton agent list; caxton config show --origin",
    Code.SCHEMA_TOO_NEW: "install the newer caxton again, or restore a backup",
    Code.STORAGE_FULL: "free space in the data directory: df -h",
    Code.FORBIDDEN: "a key with another role: caxton key create --subject NAME --role ROLE",
    Code.UNAUTHORIZED: "export CAXTON_API_KEY=$(caxton key create --subject me --role admin -q)",
    Code.UNREACHABLE: "caxton serve, or --url / CAXTON_URL",
}


def exit_code_of(error: CaxtonError) -> int:
    """The exit code that an error ends the program with."""
    return EXIT_UNREACHABLE if error.code == Code.UNREACHABLE else EXIT_FAILED


def explain(error: CaxtonError) -> str:
    """An error as lines for a terminal."""
    lines = [f"error: {printable(error.message)} [{error.code}]"]
    shown = {key: error.details[key] for key in _SHOWN if key in error.details}
    lines += [f"  {key}: {printable(str(value))}" for key, value in shown.items()]
    if error.code in HINTS:
        lines.append(f"  try: {HINTS[error.code]}")
    return "\n".join(lines)


def printable(text: str) -> str:
    """Text from elsewhere, line by line; nothing in it moves the cursor or changes a colour."""
    return "\n".join(escape_controls(line) for line in text.split("\n"))
