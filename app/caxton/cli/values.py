"""Values on the command line: contents of messages, limits, grants, ages.

Owns how they are written. Must never send them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from caxton.config import parse_duration, parse_size
from caxton.config.problems import Rejected
from caxton.protocol.agents import Limits

_FLAGS: Final = {"true": True, "yes": True, "false": False, "no": False}
_LISTS: Final = ("send", "topics", "http", "secrets")
_SWITCHES: Final = ("kv", "scratch", "clocks", "random")


def content_of(given: str | None, file: str | None, text: bool) -> Any:
    """What a message carries: JSON if it is JSON, else the text itself; `-` or a file instead of the argument."""
    if given is not None and file is not None:
        raise click.UsageError("give the content as an argument or with --file, not both")
    raw = given if file is None and given != "-" else _read(file or "-")
    if raw is None:
        return None
    if text:
        return raw
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return raw


def duration(text: str) -> float:
    """Seconds of `30s`; a plain number is seconds too."""
    try:
        return float(text) if text.replace(".", "", 1).isdigit() and text.isascii() else parse_duration(text)
    except Rejected as rejected:
        raise click.BadParameter(f"{text!r}: expected {rejected.expected}") from None


class Size(click.ParamType[int]):
    """An option in bytes, such as `500MB`; a plain number is bytes too."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        if isinstance(value, int) or (value.isascii() and value.isdigit()):
            return int(value)
        try:
            return parse_size(value)
        except Rejected as rejected:
            raise click.BadParameter(f"{value!r}: expected {rejected.expected}") from None


class Duration(click.ParamType[float]):
    """A duration option."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        return float(value) if isinstance(value, int | float) else duration(value)


def limit(text: str) -> tuple[str, int | float]:
    """`memory=64MB`, `execution_timeout=5s`, `fuel=1000`: the field's name and its value."""
    name, equals, value = text.partition("=")
    known = Limits.__struct_fields__
    full = next((n for n in (name, f"{name}_bytes", f"{name}_seconds") if n in known), None)
    if not equals or full is None:
        raise click.BadParameter(f"{text!r}: expected NAME=VALUE with a NAME of {', '.join(known)}")
    if full.endswith("_seconds"):
        return full, duration(value)
    if value.isascii() and value.isdigit():
        return full, int(value)
    if not full.endswith("_bytes"):
        raise click.BadParameter(f"{text!r}: expected a whole number")
    try:
        return full, parse_size(value)
    except Rejected as rejected:
        raise click.BadParameter(f"{text!r}: expected {rejected.expected}") from None


def merge_grants(given: tuple[str, ...], into: dict[str, Any]) -> None:
    """`scratch`, `kv=no`, `send=billing-*,audit`, `dir=/srv/in:/in[:rw]` into a `grants` table."""
    for text in given:
        name, _, value = text.partition("=")
        if name in _SWITCHES and (not value or value in _FLAGS):
            into[name] = _FLAGS.get(value, True)
        elif name in _LISTS:
            into[name] = [*into.get(name, []), *(part for part in value.split(",") if part)]
        elif name == "dir" and value.count(":") in (1, 2):
            host, guest, mode = [*value.split(":"), "ro"][:3]
            if mode not in ("ro", "rw"):
                raise click.BadParameter(f"{text!r}: expected dir=HOST:GUEST[:ro|rw]")
            into["dirs"] = [*into.get("dirs", []), {"host": host, "guest": guest, "read_only": mode == "ro"}]
        else:
            raise click.BadParameter(
                f"{text!r}: expected {', '.join(_SWITCHES)} (or NAME=no), {'=…, '.join(_LISTS)}=…, "
                "dir=HOST:GUEST[:rw]"
            )


def pairs(given: tuple[str, ...], *, as_json: bool = False) -> dict[str, Any]:
    """`KEY=VALUE` options as a table; with `as_json` a value that is JSON counts as such."""
    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{text!r}: expected KEY=VALUE")
        found[key] = content_of(value, None, not as_json) if value != "-" else value
    return found


def read_file(path: str | Path) -> bytes:
    """A file's bytes (`-` is stdin); a usage error when it cannot be read."""
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise click.UsageError(f"cannot read {path}: {reason}") from None


def _read(path: str) -> str:
    try:
        return read_file(path).decode("utf-8")
    except UnicodeDecodeError:
        raise click.UsageError(f"{path} is not UTF-8; send bytes as base64 with --language bytes") from None
