"""Which request a line is about: its ids are in every line that is written while it is served.

Owns that one variable, which follows a greenlet, a task and what they start, until the request is over. Must never
hold anything but ids.
"""

from __future__ import annotations

from contextvars import ContextVar


class Concern:
    """One request's ids. What was started for it may live on: once it is over, lines are not about it any more."""

    __slots__ = ("is_over", "request_id", "trace_id")

    def __init__(self, request_id: str, trace_id: str) -> None:
        self.request_id = request_id
        self.trace_id = trace_id
        self.is_over = False

    def end(self) -> None:
        """It is over, for everything that was started for it too."""
        self.is_over = True


_now: ContextVar[Concern | None] = ContextVar("caxton_concern", default=None)


def concerns(request_id: str, trace_id: str = "") -> Concern:
    """From here on, in this greenlet or task and in what it starts, lines are about this request, until its `end`."""
    about = Concern(request_id, trace_id)
    _now.set(about)
    return about


def concern() -> dict[str, str]:
    """The fields that a line gets beside its own."""
    about = _now.get()
    if about is None or about.is_over:
        return {}
    ids = {"request_id": about.request_id, "trace_id": about.trace_id}
    return {name: value for name, value in ids.items() if value}
