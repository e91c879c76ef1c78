"""Where values come from: the file, the environment, secret files, systemd credentials.

Owns the lookup order and `${VAR}`. Must never judge a value: kinds and rules do.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from caxton.config.private_files import exposure
from caxton.config.problems import Absent, Exposed, Problem, invalid, quoted
from caxton.config.sections import KEYS, SECTIONS

PRODUCTION_FILE: Final = Path("/opt/caxton/config/production.toml")
CREDENTIAL_STORE: Final = Path("/etc/credstore")
"""Where systemd takes the credentials of the node's units from; root alone reads it."""
_TRACING: Final = "observability.enable_tracing"
_ENDPOINT: Final = "observability.otlp_endpoint"
SHORT_NAMES: Final = {
    "CAXTON_LOG_LEVEL": "observability.log_level",
    "CAXTON_METRICS_ENABLED": "observability.enable_metrics",
    "OTLP_ENDPOINT": _ENDPOINT,
}
_OTEL: Final = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "", "OTEL_EXPORTER_OTLP_ENDPOINT": "/v1/traces"}
"""OpenTelemetry's own names for the endpoint, and what its specification has added to each."""
_OVERRIDE: Final = re.compile(r"CAXTON_([A-Z]+)__([A-Z0-9_]+)", re.ASCII)
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}", re.ASCII)
_MAX_FILE_BYTES: Final = 1_000_000


@dataclass(frozen=True)
class Raw:
    """A value before its check. `as_text`: it came as a string where the key may be of another type."""

    value: object = field(repr=False)  # it may be a secret
    origin: str
    as_text: bool = False


def find_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file: the given one, `$CAXTON_CONFIG_PATH`, the production file if it exists, else None."""
    if path is not None:
        return path
    if environ.get("CAXTON_CONFIG_PATH"):
        return Path(environ["CAXTON_CONFIG_PATH"])
    try:
        return PRODUCTION_FILE if PRODUCTION_FILE.exists() else None
    except OSError:  # the directory is not ours to look into
        return None


def read_file(path: Path) -> dict[str, object]:
    """The parsed TOML; `CONFIG_INVALID` when it cannot be read or is no TOML."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
        if len(data) > _MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {_MAX_FILE_BYTES} bytes")
        return tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        hint = "name another with --config, or $CAXTON_CONFIG_PATH"
        problem = Problem("(file)", error.strerror or "no readable file", "a readable file", hint)
        raise invalid(str(path), [problem]) from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        detail = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise invalid(str(path), [Problem("(file)", f"a syntax error: {detail}", "TOML in UTF-8")]) from None


def file_values(
    document: dict[str, object], origin: str, environ: Mapping[str, str], problems: list[Problem]
) -> dict[str, Raw]:
    """Every value of a parsed file by dotted key, variables substituted, secret files read."""
    found: dict[str, Raw] = {}
    for section, table in document.items():
        if section not in SECTIONS:
            problems.append(_unknown(section, list(SECTIONS), "section"))
        elif not isinstance(table, dict):
            found_there = f"a {type(table).__name__}"  # not what it is: somebody may have put a secret there
            problems.append(Problem(section, found_there, f"a table [{section}]"))
        else:
            for name, value in table.items():
                _take(f"{section}.{name}", value, origin, environ, found, problems)
    return found


def environment_values(environ: Mapping[str, str], problems: list[Problem]) -> dict[str, Raw]:
    """The overrides `CAXTON_LOG_LEVEL`, `CAXTON_METRICS_ENABLED`, `OTLP_ENDPOINT`, `CAXTON_<SECTION>__<KEY>`."""
    found: dict[str, Raw] = {}
    for variable, key in SHORT_NAMES.items():
        if environ.get(variable):
            found[key] = Raw(environ[variable], f"environment {variable}", as_text=True)
    for variable, value in environ.items():
        match = _OVERRIDE.fullmatch(variable)
        if match is None:
            continue
        key, origin = f"{match[1]}.{match[2]}".lower(), f"environment {variable}"
        if key in KEYS:
            found[key] = Raw(value, origin, as_text=True)
        elif _secret_of(key) is not None:
            _read_secret(key, value, found, problems)
        else:
            problems.append(_unknown(key, list(KEYS), "key", found=f"environment variable {variable}"))
    return found


def stand_in(environ: Mapping[str, str], raw: dict[str, Raw]) -> None:
    """Adds the endpoint that OpenTelemetry's own variables name, where traces are asked for and none is given."""
    if _TRACING not in raw or _ENDPOINT in raw:
        return  # what other programs of this host are told does not concern a node without traces
    for variable, path in _OTEL.items():
        if environ.get(variable):
            value = environ[variable] if not path else environ[variable].rstrip("/") + path
            raw[_ENDPOINT] = Raw(value, f"environment {variable}", as_text=True)
            return


def credential_values(environ: Mapping[str, str], problems: list[Problem]) -> dict[str, Raw]:
    """Secrets that systemd hands over: `$CREDENTIALS_DIRECTORY/<key>`, e.g. `jwt_secret`."""
    found: dict[str, Raw] = {}
    directory = environ.get("CREDENTIALS_DIRECTORY")
    for key in [key for key, kind in KEYS.items() if kind.secret] if directory else []:
        path = Path(str(directory)) / key.split(".", 1)[1]
        secret = _secret_text(path)
        if secret is not None:
            found[key] = Raw(secret, f"systemd credential {path.name}")
        elif _exists(path):
            problems.append(Absent(key, f"the unreadable credential {path}", "a readable text file"))
    return found


def stored_values(environ: Mapping[str, str], problems: list[Problem]) -> dict[str, Raw]:
    """The same secrets for root's command line, which no unit hands them to: as the units take them, by name."""
    if "CREDENTIALS_DIRECTORY" in environ:
        return {}
    found: dict[str, Raw] = {}
    for key in [key for key, kind in KEYS.items() if kind.secret]:
        path = CREDENTIAL_STORE / f"caxton.{key.split('.', 1)[1]}"
        secret = _secret_text(path)
        if secret is not None:
            problems += exposed(key, path)
            found[key] = Raw(secret, f"credential store {path}")
    return found


def _take(
    key: str,
    value: object,
    origin: str,
    environ: Mapping[str, str],
    found: dict[str, Raw],
    problems: list[Problem],
) -> None:
    missing: set[str] = set()
    filled = _substitute(value, environ, missing)
    for variable in sorted(missing):
        hint = f"set {variable}, or give a default: ${{{variable}:-…}}"
        problems.append(Absent(key, f"the unset variable ${{{variable}}}", "a variable that is set", hint))
    if missing:
        return
    if key in KEYS:
        if key in found:
            problems.append(Problem(key, f"both {key} and {key}_file", "one of them"))
        found[key] = Raw(filled, origin, as_text=isinstance(value, str) and filled != value)
    elif _secret_of(key) is not None and isinstance(filled, str):
        if _secret_of(key) in found:
            problems.append(Problem(key, f"both {_secret_of(key)} and {key}", "one of them"))
        _read_secret(key, filled, found, problems)
    elif _secret_of(key) is not None:
        problems.append(Problem(key, f"a {type(filled).__name__}", "the path of a file"))
    else:
        problems.append(_unknown(key, list(KEYS), "key"))


def _substitute(value: object, environ: Mapping[str, str], missing: set[str]) -> object:
    """`value` with `${VAR}` and `${VAR:-default}` filled in, lists included; unset names go into `missing`."""
    if isinstance(value, list):
        return [_substitute(item, environ, missing) for item in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if default is not None:
            return environ.get(name) or default
        if name not in environ:
            missing.add(name)
        return environ.get(name, "")

    return _VARIABLE.sub(fill, value)


def _secret_of(key: str) -> str | None:
    base = key.removesuffix("_file")
    return base if base != key and base in KEYS and KEYS[base].secret else None


def _read_secret(key: str, file: str, found: dict[str, Raw], problems: list[Problem]) -> None:
    secret = _secret_text(Path(file))
    if secret is None:
        named = quoted(file) if file.startswith(("/", "./", "../")) else "(its name may be the secret itself)"
        problems.append(Absent(key, f"the unreadable file {named}", "the path of a readable file with the secret"))
    else:
        problems += exposed(key, Path(file))
        found[key.removesuffix("_file")] = Raw(secret, f"secret file {file}")


def exposed(key: str, path: Path) -> list[Problem]:
    """The complaint about a secret's file that others can open; none if they cannot."""
    found = exposure(path)
    return [] if found is None else [Exposed(key, found[0], "a file for the node's user alone", found[1])]


def _secret_text(path: Path) -> str | None:
    """The secret in a file, one final line end removed; None if there is none to read."""
    try:
        with path.open("rb") as file:
            return file.read(65_536).decode("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError):  # ValueError: not UTF-8, or a NUL in the path
        return None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _unknown(key: str, known: list[str], what: str, found: str | None = None) -> Problem:
    names = {name.split(".", 1)[-1]: name for name in known}
    near = get_close_matches(key, known, n=1, cutoff=0.6)
    moved = names.get(key.split(".", 1)[-1])  # the right name in the wrong section
    nearest = moved or (near[0] if near else None)
    hint = f"did you mean {nearest}?" if nearest else "see `caxton config show` for every key"
    return Problem(quoted(key)[1:-1] or '""', found or f"an unknown {what}", f"a known {what}", hint)
