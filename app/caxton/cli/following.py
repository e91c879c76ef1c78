"""Follows an agent's log over whatever happens to the node meanwhile.

Owns how a stream that ended is taken up again: what was shown is not shown again, what came meanwhile is, as far
as the node gives it. Must never leave lines out without a word, give up on a node that is away, nor go on where the
node says that it is over.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from caxton.cli.client import Client, problem_of
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.views import LogView

PAUSE_SECONDS: Final = 1.0
MOST_LINES: Final = 1_000
"""As many as the node gives at once."""
_AWAY: Final = frozenset({Code.UNREACHABLE, Code.NOT_READY, Code.DRAINING, Code.EXECUTION_TIMEOUT, Code.RATE_LIMITED})
_Key = tuple[str, str, str, str | None]
Show = Callable[[LogView], None]
Tell = Callable[[str], None]


def follow(
    client: Client, path: str, limit: int, show: Callable[[LogView], None], tell: Callable[[str], None]
) -> None:
    """Shows the last `limit` lines and those that come, until the agent is gone; `tell` says why it waits.

    Raises what the node refuses, and `UNREACHABLE` when it was not there in the first place.
    """
    last: LogView | None = None
    begun = told = False
    while True:
        try:
            for line in _again(client, path, last, tell) if begun else _lines(client, path, limit):
                begun, told = True, False
                if line is not None:
                    last = line
                    show(line)
            why = "the node ended the stream"
        except CaxtonError as error:
            if begun and error.code is Code.AGENT_NOT_FOUND:
                tell("the agent is gone")
                return
            if not begun or error.code not in _AWAY:
                raise
            why = error.message
        if not told:
            tell(f"{why}; trying again until Ctrl-C")
            told = True
        time.sleep(PAUSE_SECONDS)


def _lines(client: Client, path: str, limit: int) -> Iterator[LogView | None]:
    """The lines of one stream; None is a sign of life."""
    for line in client.lines(path, follow=True, limit=limit):
        if not line:
            yield None
            continue
        try:
            yield msgspec.json.decode(line, type=LogView)
        except msgspec.DecodeError:  # it ends with an error, or is no node's
            raise problem_of(line) or CaxtonError(Code.INTERNAL_ERROR, "the node sent what is no log") from None


def _again(client: Client, path: str, last: LogView | None, tell: Tell) -> Iterator[LogView | None]:
    """What came since `last`, and goes on to come."""
    page = msgspec.convert(client.get(path, limit=MOST_LINES)["items"], list[LogView])
    if len(page) == MOST_LINES and (last is None or _key(last) not in map(_key, page)):
        tell(f"too many lines came meanwhile: only the newest {MOST_LINES:,} of them are shown")
    yield from _after(page, last)
    known = Counter(map(_key, page))
    for line in _lines(client, path, MOST_LINES):
        if line is not None and known[_key(line)]:
            known[_key(line)] -= 1
        else:
            yield line


def _after(page: list[LogView], last: LogView | None) -> list[LogView]:
    """The lines behind `last`; where that is gone, those that are no older."""
    if last is None:
        return page
    places = [place for place, line in enumerate(page) if _key(line) == _key(last)]
    return page[places[-1] + 1 :] if places else [line for line in page if line.at >= last.at]


def _key(line: LogView) -> _Key:
    """The same on every node: an agent that moves takes its log along, under other numbers."""
    return line.at, line.stream, line.text, line.message_id
