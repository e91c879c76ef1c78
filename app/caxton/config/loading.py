"""Reads a configuration: file, environment, credentials; checks everything; tells where each value came from.

Owns the order of precedence: environment, file (or its `*_file` secrets), systemd credential, for root on an
installed node the store that systemd takes it from, default.
Must never stop at the first problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from caxton.config import rules
from caxton.config.envfile import NAME, with_file_beside
from caxton.config.paths import SYSTEM_EXECUTOR_RUN, SYSTEM_RUN
from caxton.config.problems import Absent, Exposed, Problem, Rejected, invalid, quoted
from caxton.config.sections import DEVELOPMENT, KEYS, SECRETS, Config, build
from caxton.config.sources import (
    PRODUCTION_FILE,
    Raw,
    credential_values,
    environment_values,
    exposed,
    file_values,
    find_file,
    read_file,
    stand_in,
    stored_values,
)


@dataclass(frozen=True)
class Loaded:
    """A configuration that holds. `file`: where it came from, None = built-in; `origins` by dotted key."""

    config: Config
    origins: dict[str, str]
    warnings: list[str]
    file: Path | None


def load(path: Path | None, environ: Mapping[str, str], *, needed: frozenset[str] | None = None) -> Loaded:
    """The configuration from `path` (else the usual places) and `environ`; `CONFIG_INVALID` with every problem.

    With `needed` (dotted keys), a variable or a secret that is not there is a problem for these keys only: others
    have their default then; and a secret that others can read is a warning. Everything else that is wrong is refused
    all the same. For the installed file, caxton.env
    beside it gives the variables that `environ` has not: a verb on the host finds what the units find.
    """
    file = find_file(path, environ)
    if file == PRODUCTION_FILE:
        environ = with_file_beside(file, environ)
    source = str(file) if file else "built-in configuration"
    document = read_file(file) if file else {}
    problems: list[Problem] = []
    raw = stored_values(environ, problems) if file == PRODUCTION_FILE else {}
    raw |= credential_values(environ, problems)
    raw |= file_values(document, f"file {file}", environ, problems)
    raw |= environment_values(environ, problems)
    stand_in(environ, raw)
    problems += [] if file is None else exposed(NAME, file.with_name(NAME))
    exposures = [] if needed is None else [one.line() for one in problems if isinstance(one, Exposed)]
    if needed is not None:
        problems = [
            one
            for one in problems
            if not isinstance(one, Exposed) and (not isinstance(one, Absent) or one.path in needed)
        ]
    values, origins = _checked(raw, problems, development=file is None)
    if problems:
        raise invalid(source, problems)
    asked = build(values, *_run_directories(file, environ))
    problems += rules.check(asked)
    if problems:
        raise invalid(source, problems)
    warnings = [*exposures, *_inline(file, origins), *rules.warnings(asked, origins)]
    return Loaded(rules.fit_host(asked), origins, warnings, file)


def _inline(file: Path | None, origins: dict[str, str]) -> list[str]:
    """Secrets that stand in a configuration file which others can read: that file is not for secrets."""
    held = sorted(key for key in SECRETS if origins[key] == f"file {file}")
    return [f"{key}: {one.found}; {one.hint}" for key in held if file for one in exposed(key, file)]


def _run_directories(file: Path | None, environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Those of the router and of the executor; an installed node has systemd's, wherever its data is."""
    installed = file == PRODUCTION_FILE
    return (
        environ.get("CAXTON_RUN_DIR") or (str(SYSTEM_RUN) if installed else None),
        environ.get("CAXTON_EXECUTOR_RUN_DIR") or (str(SYSTEM_EXECUTOR_RUN) if installed else None),
    )


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
