"""Which files of the configuration are secrets, and which lines of the others.

Owns these judgements. Must never print what it found. In doubt a file is left out.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

from caxton.config.sections import KEYS

_NAMES: Final = re.compile(r".*\.(env|key|p12|pfx|jks|secret|token|password)|\.env|id_[a-z0-9]+|.*\.key\..*")
_MARKS: Final = (b"PRIVATE KEY-----", b"AGE-SECRET-KEY-", b"PuTTY-User-Key-File")
SECRET_KEYS: Final = tuple(key for key, kind in KEYS.items() if kind.secret)
_PATHS_OF_SECRETS: Final = ("networking.tls_key_path", *(f"{key}_file" for key in SECRET_KEYS))


def secret_paths(production: Path) -> set[Path]:
    """The files that the configuration names as secrets, absolute; none when it cannot be read."""
    try:
        document = tomllib.loads(production.read_text("utf-8"))
    except (OSError, ValueError):
        return set()
    named = [_value(document, key) for key in _PATHS_OF_SECRETS]
    return {Path(name).resolve() for name in named if isinstance(name, str)}


def is_secret(path: Path, content: bytes) -> bool:
    """Whether a file is a secret by its name or by what it holds."""
    return _NAMES.fullmatch(path.name) is not None or any(mark in content for mark in _MARKS)


def without_secrets(path: Path, content: bytes) -> tuple[bytes | None, list[str]]:
    """A TOML file without its secret values, and their keys; None when they cannot be taken out."""
    if path.suffix != ".toml":
        return content, []
    found: dict[str, str] = {}
    try:
        text = content.decode("utf-8")
        found = _inline(tomllib.loads(text))
        for key in found:
            name = re.escape(key.split(".", 1)[1])
            text = re.sub(rf"(?m)^([ \t]*){name}[ \t]*=.*$", rf"\1# {name}: left out of the backup", text)
        if _inline(tomllib.loads(text)) or any(value in text for value in found.values()):
            return None, list(found)
    except ValueError:  # no TOML or no UTF-8: who knows what it holds
        return None, list(found)
    return text.encode(), list(found)


def _inline(document: dict[str, object]) -> dict[str, str]:
    """Secrets that stand in the file itself; `${VARIABLE}` is none."""
    values = {key: _value(document, key) for key in SECRET_KEYS}
    return {k: v for k, v in values.items() if isinstance(v, str) and not re.fullmatch(r"\$\{\w+\}", v)}


def _value(document: dict[str, object], key: str) -> object:
    section, name = key.split(".", 1)
    table = document.get(section)
    return table.get(name) if isinstance(table, dict) else None
