"""What is wrong with a configuration, and the error that carries all of it.

Owns the shape of a complaint: where, what was found, what is expected, what to do. Must never hold a secret:
callers describe secrets, they do not quote them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from caxton.protocol.errors import CaxtonError, Code

_QUOTE_LIMIT = 120


@dataclass(frozen=True)
class Problem:
    """One complaint. `path` is the dotted key; `hint` says what would be right, or is empty."""

    path: str
    found: str
    expected: str
    hint: str = ""

    def line(self) -> str:
        """The complaint as one line of text."""
        text = f"{self.path}: found {self.found}, expected {self.expected}"
        return f"{text} ({self.hint})" if self.hint else text


class Absent(Problem):
    """A complaint about what the environment did not give: a variable, or a secret's file that cannot be read."""


class Exposed(Problem):
    """A complaint about a secret that others can read: the node does not start with it; who looks after it may."""


class Rejected(Exception):
    """A value that a key does not take; the caller knows the key and makes a `Problem` of it."""

    def __init__(self, expected: str, hint: str = "", found: str | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint
        self.found = found


def quoted(value: object) -> str:
    """`value` as it is shown in a complaint: printable, on one line, of bounded length."""
    text = ascii(value) if not isinstance(value, str) else f'"{escaped(value[: _QUOTE_LIMIT + 1])}"'
    return text if len(text) <= _QUOTE_LIMIT + 2 else text[:_QUOTE_LIMIT] + "…"


def escaped(text: str) -> str:
    """`text` with whatever is not printable written as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def invalid(source: str, problems: Iterable[Problem]) -> CaxtonError:
    """The error for everything that is wrong in the configuration that came from `source`."""
    listed = list(problems)
    head = f"{source}: {len(listed)} problem{'' if len(listed) == 1 else 's'} in the configuration"
    text = "\n".join([head, *(f"  {problem.line()}" for problem in listed)])
    return CaxtonError(Code.CONFIG_INVALID, text, source=source, problems=[asdict(problem) for problem in listed])
