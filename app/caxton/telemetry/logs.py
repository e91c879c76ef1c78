"""Logging of a process: set up once, one line per event.

Owns the handlers of the root logger. Must never log a secret: callers choose the fields.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from caxton.config import Observability
from caxton.telemetry.formats import JsonFormat, Prioritised, TextFormat
from caxton.telemetry.rotation import SharedFile


def set_up_logging(settings: Observability, service: str) -> None:
    """Sends the root logger of this process to stderr, or to `log_file`, in the configured format and level.

    `service` names the process in every line (`router`, `api`, …). Calling it again replaces what was set up.
    A `log_file` that cannot be opened is reported on stderr, which is then used: a log must not stop a node.
    """
    formatter = JsonFormat(service) if settings.log_format == "json" else TextFormat(service)
    handler, complaint = _handler(settings)
    to_journal = isinstance(handler, logging.StreamHandler) and _is_journal()
    handler.setFormatter(Prioritised(formatter) if to_journal else formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    set_level(settings.log_level)
    if complaint:
        event("log_file cannot be opened; logging to stderr", logging.WARNING, detail=complaint)


def set_level(level: str) -> None:
    """Changes the level of this process; `level` as in `[observability] log_level`."""
    logging.getLogger().setLevel(level.upper())


def event(message: str, level: int = logging.INFO, /, *, logger: str = "caxton", **fields: object) -> None:
    """One canonical line: what happened, and its fields."""
    logging.getLogger(logger).log(level, message, extra={"fields": fields})


def _is_journal() -> bool:
    """Whether systemd has connected this very stderr to the journal."""
    try:
        about = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


def _handler(settings: Observability) -> tuple[logging.Handler, str | None]:
    if settings.log_file is None:
        return logging.StreamHandler(sys.stderr), None
    try:
        path = Path(settings.log_file)
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        return SharedFile(path, settings.log_rotation, settings.log_retention_days), None
    except OSError as error:
        return logging.StreamHandler(sys.stderr), str(error)
