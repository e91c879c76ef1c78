"""The kinds of value a key can have: how each is checked, read from text, and shown again.

Owns types and ranges of single values. Must never compare two keys: that is `rules`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from caxton.config.problems import Rejected
from caxton.config.units import format_duration, format_size, parse_duration, parse_size

T = TypeVar("T")

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
_HOST: Final = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9]+)?\]", re.ASCII
)


@dataclass(frozen=True)
class Kind:
    """How one key is read. `check` takes a TOML value, `from_text` a string from outside the file."""

    name: str
    check: Callable[[object], object]
    from_text: Callable[[str], object]
    show: Callable[[object], object]
    reloadable: bool = False
    secret: bool = False


def kind_of(item: dataclasses.Field[object]) -> Kind:
    """The kind that a section's field was declared with."""
    return cast("Kind", item.metadata["kind"])


def _declare(kind: Kind, default: T) -> T:
    """A dataclass field of this kind; typed as its value, as `dataclasses.field` is."""
    return dataclasses.field(default=default, repr=not kind.secret, metadata={"kind": kind})


def _bounds(unit: str, low: object, high: object) -> str:
    if low is not None and high is not None:
        return f"{unit} from {low} to {high}"
    return f"{unit} of at least {low}" if low is not None else unit


def flag(default: bool, *, reload: bool = False) -> bool:
    """A boolean key."""

    def check(value: object) -> object:
        if not isinstance(value, bool):
            raise Rejected("true or false")
        return value

    def from_text(text: str) -> object:
        if text.lower() not in _TRUE | _FALSE:
            raise Rejected("true or false")
        return text.lower() in _TRUE

    return _declare(Kind("boolean", check, from_text, _same, reload), default)


def integer(default: int, low: int, high: int, *, reload: bool = False) -> int:
    """A whole number from `low` to `high`."""
    expected = _bounds("a whole number", low, high)

    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Rejected(expected)
        return value

    def from_text(text: str) -> object:
        if re.fullmatch(r"-?[0-9]{1,20}", text, re.ASCII) is None:
            raise Rejected(expected)
        return check(int(text))

    return _declare(Kind("integer", check, from_text, _same, reload), default)


def number(default: float, low: float, high: float, *, quoted_too: bool = False, reload: bool = False) -> float:
    """A number from `low` to `high`; with `quoted_too` the file may write it as a string (the guide does)."""
    expected = _bounds("a number", low, high)

    def check(value: object) -> object:
        if quoted_too and isinstance(value, str):
            return from_text(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise Rejected(expected)
        return float(value)

    def from_text(text: str) -> object:
        if re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", text, re.ASCII) is None:
            raise Rejected(expected)
        return check(float(text))

    return _declare(Kind("number", check, from_text, _same, reload), default)


def duration(default: str, low: str, high: str, *, reload: bool = False) -> float:
    """A duration; the value is in seconds."""
    lowest, highest = parse_duration(low), parse_duration(high)
    expected = _bounds("a duration", f'"{low}"', f'"{high}"')

    def from_text(text: str) -> object:
        seconds = parse_duration(text)
        if not lowest <= seconds <= highest:
            raise Rejected(expected)
        return seconds

    def check(value: object) -> object:
        return from_text(_string(value, expected, hint=_unit_hint(value, "s")))

    return _declare(Kind("duration", check, from_text, _show_duration, reload), parse_duration(default))


def size(default: str, low: str, high: str, *, reload: bool = False) -> int:
    """A size; the value is in bytes."""
    lowest, highest = parse_size(low), parse_size(high)
    expected = _bounds("a size", f'"{low}"', f'"{high}"')

    def from_text(text: str) -> object:
        found = parse_size(text)
        if not lowest <= found <= highest:
            raise Rejected(expected)
        return found

    def check(value: object) -> object:
        return from_text(_string(value, expected, hint=_unit_hint(value, "B")))

    return _declare(Kind("size", check, from_text, _show_size, reload), parse_size(default))


def text(default: str, pattern: str, expected: str, *, reload: bool = False) -> str:
    """A string that matches `pattern` whole."""

    def check(value: object) -> object:
        found = _string(value, expected)
        if re.fullmatch(pattern, found, re.ASCII) is None:
            raise Rejected(expected)
        return found

    return _declare(Kind("string", check, check, _same, reload), default)


def optional_text(pattern: str, expected: str, *, secret: bool = False) -> str | None:
    """A string that matches `pattern` whole, or nothing; a secret is never shown and can come from a file."""

    def check(value: object) -> object:
        found = _string(value, expected)
        if re.fullmatch(pattern, found) is None:
            raise Rejected(expected)
        return found

    return _declare(Kind("string", check, check, _same, secret=secret), cast("str | None", None))


def choice(default: str, *allowed: str, reload: bool = False, upper: bool = False) -> str:
    """One of a few words; `upper`: any case is taken, the value is in upper case."""
    expected = "one of " + ", ".join(f'"{word}"' for word in allowed)

    def check(value: object) -> object:
        found = _string(value, expected)
        found = found.upper() if upper else found
        if found not in allowed:
            raise Rejected(expected)
        return found

    return _declare(Kind("choice", check, check, _same, reload), default)


def address(default: str) -> str:
    """A `host:port` to listen on or to reach; IPv6 in brackets."""

    def check(value: object) -> object:
        split_address(_string(value, 'an address "host:port"'))
        return value

    return _declare(Kind("address", check, check, _same), default)


def words(default: tuple[str, ...], pattern: str, expected: str, *, reload: bool = False) -> tuple[str, ...]:
    """A list of different strings, each matching `pattern`; from text: TOML, or separated by commas."""

    def check(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise Rejected(f"a list, each {expected}")
        for index, item in enumerate(value):
            if not isinstance(item, str) or re.fullmatch(pattern, item, re.ASCII) is None:
                raise Rejected(f"a list, each {expected}", f"item {index + 1} is not")
        if len(set(value)) != len(value):
            raise Rejected("a list without repetitions")
        return tuple(value)

    def from_text(found: str) -> object:
        if found.lstrip().startswith("["):
            return check(_toml_value(found))
        return check([item.strip() for item in found.split(",") if item.strip()])

    return _declare(Kind("list", check, from_text, _show_list, reload), default)


def numbers(default: tuple[float, ...], expected: str) -> tuple[float, ...]:
    """A list of positive, finite, growing numbers."""

    def check(value: object) -> object:
        if not isinstance(value, list | tuple) or not value:
            raise Rejected(expected)
        if any(isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in value):
            raise Rejected(expected)
        floats = tuple(float(n) for n in value)
        if floats[0] <= 0 or any(later <= earlier for earlier, later in itertools.pairwise(floats)):
            raise Rejected(expected)
        return floats

    def from_text(found: str) -> object:
        return check(_toml_value(found if found.lstrip().startswith("[") else f"[{found}]"))

    return _declare(Kind("list", check, from_text, _show_list), default)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `"host:port"` or `"[ipv6]:port"`, brackets removed; `Rejected` for anything else."""
    host, colon, port = address.rpartition(":")
    good = colon and _HOST.fullmatch(host) and re.fullmatch(r"[0-9]{1,5}", port, re.ASCII)
    if not good or not 1 <= int(port) <= 65_535:
        hint = "put an IPv6 address in brackets" if address.count(":") > 1 and "[" not in address else ""
        raise Rejected('an address "host:port" with a port from 1 to 65535', hint)
    return host.removeprefix("[").removesuffix("]"), int(port)


def reachable(address: str) -> str:
    """`address` as a client on this host writes it: the loopback address for a wildcard."""
    host, port = split_address(address)
    if host in ("0.0.0.0", "::"):  # nosec B104 # nothing is bound here
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # nosec B104 # nothing is bound here
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _string(value: object, expected: str, *, hint: str = "") -> str:
    if not isinstance(value, str):
        raise Rejected(expected, hint)
    return value


def _unit_hint(value: object, unit: str) -> str:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return f'write it with its unit, "{value}{unit}"' if plain else ""


def _toml_value(found: str) -> object:
    try:
        return tomllib.loads(f"value = {found}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        raise Rejected("a TOML list") from None


def _same(value: object) -> object:
    return value


def _show_list(value: object) -> object:
    return list(cast("tuple[object, ...]", value))


def _show_duration(value: object) -> object:
    return format_duration(cast("float", value))


def _show_size(value: object) -> object:
    return format_size(cast("int", value))
