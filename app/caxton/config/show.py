"""The effective configuration as rows for people and programs, secrets masked.

Owns how a value is shown. Must never reveal a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from caxton.config.loading import Loaded
from caxton.config.sections import KEYS, RELOADABLE, value_of

MASK: Final = "********"


@dataclass(frozen=True)
class Shown:
    """One key. `value` is JSON-ready, durations and sizes in their units; `reloadable`: SIGHUP applies a change."""

    key: str
    value: object
    origin: str
    reloadable: bool


def show(loaded: Loaded) -> list[Shown]:
    """Every key with its effective value and where it came from, in the order of the sections."""
    return [Shown(key, _shown(loaded, key), loaded.origins[key], key in RELOADABLE) for key in KEYS]


def _shown(loaded: Loaded, key: str) -> object:
    value, kind = value_of(loaded.config, key), KEYS[key]
    if value is None:
        return None
    return MASK if kind.secret else kind.show(value)
