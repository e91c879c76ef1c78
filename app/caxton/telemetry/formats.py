"""How a log record looks: one line of JSON, or one line of text.

Owns both formats, and the journal's mark before them. Must never emit more than one line for a record, whatever is
in it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Final, cast

from caxton.telemetry.concern import concern
from caxton.telemetry.text import escape_controls, timestamp

_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    """What `event` put beside the message, and the ids of the request that is being served."""
    own = cast("Mapping[str, object]", getattr(record, "fields", {}))
    ids = concern()
    return ids | dict(own) if ids else own


class JsonFormat(logging.Formatter):
    """`{"at", "level", "service", "logger", "message", …fields, "exception"?}` on one line, ASCII only."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, object] = {
            "at": timestamp(record.created),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in fields_of(record).items() if key not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, separators=(",", ":"))


class TextFormat(logging.Formatter):
    """`time level service message key=value …` on one line; an exception follows as escaped text."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        fields = "".join(f" {key}={_value(value)}" for key, value in fields_of(record).items())
        trace = f" exception={_value(self.formatException(record.exc_info))}" if record.exc_info else ""
        message = escape_controls(record.getMessage())
        return f"{timestamp(record.created)} {record.levelname.lower():<7} {self._service}: {message}{fields}{trace}"


class Prioritised(logging.Formatter):
    """Lines of another format with what the journal takes for their priority, and takes off (sd-daemon(3))."""

    def __init__(self, line: logging.Formatter) -> None:
        super().__init__()
        self._line = line

    def format(self, record: logging.LogRecord) -> str:
        """`<4>` and the line, of a warning."""
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), 7)
        return f"<{priority}>{self._line.format(record)}"


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    plain = text.isprintable() and text and not any(char in text for char in " \"='")
    return text if plain else json.dumps(escape_controls(text), ensure_ascii=False)
