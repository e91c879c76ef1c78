"""What part of the rows a query is about: one namespace's, one sender's.

Owns the conditions. Must never decide who may see what.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

Condition = tuple[str, list[Any]]
"""SQL text that begins with " AND " (or is empty), and its parameters."""
PREFIXES: Final = ("", "topic:", "capability:")
"""A receiver is an agent, a topic or a capability; each belongs to the namespace before the slash."""


class Extent(NamedTuple):
    """`namespace` None: all; `sender` None: everybody's."""

    namespace: str | None = None
    sender: str | None = None

    def messages(self, *, by_receiver: bool = True) -> Condition:
        """Of the table `message`. `by_receiver` False: the caller has bounded the receiver already."""
        text = ""
        values: list[Any] = []
        if self.namespace is not None and by_receiver:
            text, values = within(self.namespace, "receiver", prefixes=PREFIXES)
        if self.sender is not None:
            text, values = f"{text} AND sender = ?", [*values, self.sender]
        return text, values

    def named(self, *columns: str) -> Condition:
        """Rows with a name of the namespace in one of the columns."""
        return ("", []) if self.namespace is None else within(self.namespace, *columns)


EVERYTHING: Final = Extent()


def bounds(namespace: str, prefix: str = "") -> tuple[str, str]:
    """The least name in a namespace, and what comes after the last: `0` is the character behind `/`."""
    return f"{prefix}{namespace}/", f"{prefix}{namespace}0"


def within(namespace: str, *columns: str, prefixes: tuple[str, ...] = ("",)) -> Condition:
    """One of the columns holds a name (behind one of the prefixes) of the namespace."""
    places = [(column, prefix) for column in columns for prefix in prefixes]
    text = " OR ".join(f"({column} >= ? AND {column} < ?)" for column, _ in places)
    return f" AND ({text})", [value for _, prefix in places for value in bounds(namespace, prefix)]
