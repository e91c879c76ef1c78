"""Reads a configuration: file, environment, credentials; checks everything; tells where each value came from.

Owns the order of precedence: environment, file (or its `*_file` secrets), systemd credential, default.
Must never stop at the first problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from caxton.config import rules
from caxton.config.problems import Problem, Rejected, invalid, quoted
from caxton.config.sections import DEVELOPMENT, KEYS, Config, build
from caxton.config.sources import (
    Raw,
    credential_values,
    environment_values,
    file_values,
    find_file,
    read_file,
    without_secrets,
)


@dataclass(frozen=True)
class Loaded:
    """A configuration that holds. `file`: where it came from, None = built-in; `origins` by dotted key."""

    config: Config
    origins: dict[str, str]
    warnings: list[str]
    file: Path | None


def load(path: Path | None, environ: Mapping[str, str], *, secrets: bool = True) -> Loaded:
    """The configuration from `path` (else the usual places) and `environ`; `CONFIG_INVALID` with every problem.

    `secrets=False` is for a process that needs none and is given none: they are None, wherever they would come from.
    """
    file = find_file(path, environ)
    source = str(file) if file else "built-in configuration"
    document = read_file(file) if file else {}
    problems: list[Problem] = []
    if not secrets:
        document, environ = without_secrets(document, environ)
    raw = credential_values(environ, problems)
    raw |= file_values(document, f"file {file}", environ, problems)
    raw |= environment_values(environ, problems)
    values, origins = _checked(raw, problems, development=file is None)
    if problems:
        raise invalid(source, problems)
    asked = build(values, environ.get("CAXTON_RUN_DIR"), environ.get("CAXTON_EXECUTOR_RUN_DIR"))
    problems += rules.check(asked)
    if problems:
        raise invalid(source, problems)
    return Loaded(rules.fit_host(asked), origins, rules.warnings(asked, origins), file)


def _checked(
    raw: dict[str, Raw], problems: list[Problem], *, development: bool
) -> tuple[dict[str, object], dict[str, str]]:
    """Checked values, and the origin of every key."""
    values: dict[str, object] = dict(DEVELOPMENT) if development else {}
    origins = {key: "built-in (no file)" if key in values else "default" for key in KEYS}
    for key, item in raw.items():
        kind = KEYS[key]
        try:
            as_text = item.as_text and isinstance(item.value, str)
            values[key] = kind.from_text(str(item.value)) if as_text else kind.check(item.value)
            origins[key] = item.origin
        except Rejected as rejected:
            found = "a secret that does not fit" if kind.secret else rejected.found or quoted(item.value)
            problems.append(Problem(key, found, rejected.expected, rejected.hint))
    return values, origins
