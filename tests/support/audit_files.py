"""An audit made by the real writer, and what may be done to its files.

Owns a directory of records. Must never know how a check works.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from caxton.audit.log import Log
from caxton.audit.reading import lines
from caxton.audit.record import Draft, read_line
from caxton.protocol.audit import Actor, Phase, Record

SOMEBODY = Actor("ci", "deployer", "team", "key:3fa2", "192.0.2.7")


def draft(number: int, phase: Phase = Phase.EVENT, of: int | None = None, action: str = "agent.deploy") -> Draft:
    outcome = None if phase is Phase.BEGUN else "ok"
    return Draft(action, phase, SOMEBODY, f"team/agent-{number}", outcome, {"number": number}, of=of)


def make_audit(directory: Path, count: int, *, file_bytes: int = 8_000_000, at_once: int = 1) -> list[Record]:
    """`count` records in files of about `file_bytes`; all that are there."""
    log = Log(directory, "node", file_bytes=file_bytes)
    for first in range(0, count, at_once):
        log.append([draft(number) for number in range(first, min(first + at_once, count))])
    log.close()
    return records(directory)


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.jsonl"))


def records(directory: Path) -> list[Record]:
    """Every record, in order; raises when a line is none."""
    return [read_line(line) for path in files(directory) for line in lines(path)]


def rewrite(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Writes a file's lines anew, as `change` gives them."""
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
