"""The shape of a finding, and what checks are given.

Owns these types. Must never examine anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from caxton.config import Config, Loaded
from caxton.protocol.errors import CaxtonError


class Status(StrEnum):
    """How a check ended. `warn`: look at it; `fail`: the node does not do what it must."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One finding. `hint` says what helps, where something does."""

    name: str
    status: Status
    detail: str
    hint: str = ""


@dataclass
class Patient:
    """The node on this host. `ask(op)`, `ask(op, arguments)`: one operation of its router; raises `CaxtonError`."""

    loaded: Loaded
    ask: Callable[..., Any]

    @property
    def config(self) -> Config:
        """Its configuration."""
        return self.loaded.config

    @cached_property
    def stats(self) -> dict[str, Any] | CaxtonError:
        """The router's numbers, asked once; the error where it does not give them."""
        try:
            found: dict[str, Any] = self.ask("stats")
        except CaxtonError as error:
            return error
        return found


Examination = Callable[[Patient], Iterable[Check]]


def worst(checks: Iterable[Check]) -> Status:
    """The gravest status."""
    found = {check.status for check in checks}
    return next((status for status in (Status.FAIL, Status.WARN) if status in found), Status.OK)
