"""Durations and sizes as people write them: `"30s"`, `"1h30m"`, `"512MB"`, `"1MiB"`.

Owns the units and their exact arithmetic. Must never know which key a value belongs to.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from caxton.config.problems import Rejected

_SECONDS: Final = {
    "us": Decimal("0.000001"),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86_400),
    "w": Decimal(604_800),
}
_BYTES: Final = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_NUMBER: Final = r"([0-9]{1,30}(?:\.[0-9]{1,30})?)"
_DURATION_PART: Final = re.compile(rf"{_NUMBER}(us|ms|s|m|h|d|w)", re.ASCII)
_DURATION: Final = re.compile(rf"(?:{_NUMBER}(?:us|ms|s|m|h|d|w))+", re.ASCII)
_SIZE: Final = re.compile(rf"{_NUMBER} ?([A-Za-z]{{1,3}})", re.ASCII)
_MAX_SECONDS: Final = Decimal(10) ** 11
_MAX_BYTES: Final = 2**63 - 1


def parse_duration(text: str) -> float:
    """Seconds of `"200ms"`, `"30s"`, `"1h30m"`, `"7d"`; `Rejected` for anything else."""
    if _DURATION.fullmatch(text) is None:
        hint = f'write "{text}s" for seconds' if re.fullmatch(_NUMBER, text, re.ASCII) else ""
        raise Rejected('a duration such as "200ms", "30s", "5m", "1h", "7d"', hint)
    total = sum((Decimal(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text)), Decimal(0))
    if total > _MAX_SECONDS:
        raise Rejected("a duration that a clock can hold")
    return float(total)


def parse_size(text: str) -> int:
    """Bytes of `"512MB"` (10⁶) or `"1MiB"` (2²⁰); `Rejected` for anything else, fractions of a byte included."""
    match = _SIZE.fullmatch(text)
    unit = _BYTES.get(match[2]) if match else None
    if match is None or unit is None:
        hint = f'write "{text}B" for bytes' if text.isascii() and text.isdigit() else ""
        raise Rejected('a size such as "64kB", "512MB" (10⁶), "1MiB" (2²⁰), "16GB"', hint)
    total = Decimal(match[1]) * unit
    if total != int(total) or total > _MAX_BYTES:
        raise Rejected("a whole number of bytes below 2⁶³")
    return int(total)


def format_duration(seconds: float) -> str:
    """The shortest single-unit text that `parse_duration` turns back into exactly `seconds` (≥ 0)."""
    exact = Decimal(repr(float(seconds)))
    for unit in ("d", "h", "m"):
        if exact and exact % _SECONDS[unit] == 0:
            return f"{int(exact / _SECONDS[unit])}{unit}"
    millis = exact * 1000
    if 0 < exact < 1 and millis == int(millis):
        return f"{int(millis)}ms"
    text = format(exact, "f")
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}s"


def format_size(size: int) -> str:
    """A text that `parse_size` turns back into exactly `size` (≥ 0), in the largest unit that fits."""
    for unit in ("TB", "TiB", "GB", "GiB", "MB", "MiB", "kB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"
