"""caxton.env beside production.toml: variables for whoever reads the configuration and was not started by systemd.

Owns the reading of that file, as systemd reads it. Must never override what the environment has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

NAME: Final = "caxton.env"
_LINE: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.ASCII)
_MAX_BYTES: Final = 65_536


def with_file_beside(configuration: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ`, and what it lacks from the caxton.env in the same directory; an unreadable one gives nothing."""
    try:
        with configuration.with_name(NAME).open("rb") as file:
            text = file.read(_MAX_BYTES).decode("utf-8")
    except (OSError, ValueError):
        return dict(environ)
    found = {match[1]: _unquoted(match[2].strip()) for line in text.splitlines() if (match := _LINE.fullmatch(line))}
    return {**found, **environ}


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value
