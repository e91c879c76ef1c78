"""How `caxton top` looks: a frame and a size in, lines of text out.

Owns columns, orders and wording. Must never let a line be wider than the terminal, nor text of others drive it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.cells import cell_len, set_cell_size

from caxton.cli.render import cell
from caxton.cli.top_figures import Frame, Row

BOLD: Final = "\x1b[1m"
REVERSE: Final = "\x1b[7m"
RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"
ORDERS: Final[Mapping[str, Callable[[Row], tuple[float, ...]]]] = {
    "rate": lambda row: (row.executions or 0.0, row.messages or 0.0),
    "cpu": lambda row: (row.cpu or 0.0,),
    "memory": lambda row: (row.memory_bytes,),
    "queue": lambda row: (row.queue, row.in_flight),
    "failures": lambda row: (row.failures or 0.0, row.failed),
}
"""The largest first; equals by name."""
KEYS: Final = {"r": "rate", "c": "cpu", "m": "memory", "w": "queue", "f": "failures"}
HELP: Final = "r rate  c cpu  m memory  w waiting  f failures  / filter  arrows  q quit"
_NAME_WIDTH: Final = 16
_DAY: Final = 86_400
_UNITS: Final = ("B", "KB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Column:
    """One figure of an agent. `order`: which order it belongs to; `in_cluster`: shown where nodes differ."""

    heading: str
    width: int
    text: Callable[[Row], str]
    order: str = ""
    in_cluster: bool = False


COLUMNS: Final = (
    Column("EXEC/S", 8, lambda row: rate(row.executions), "rate"),
    Column("CPU%", 6, lambda row: rate(None if row.cpu is None else row.cpu * 100), "cpu"),
    Column("MEMORY", 8, lambda row: size(row.memory_bytes), "memory"),
    Column("QUEUE", 7, lambda row: str(row.queue), "queue"),
    Column("FAIL/S", 7, lambda row: rate(row.failures), "failures"),
    Column("FAILED", 7, lambda row: str(row.failed), "failures"),
    Column("RUN", 5, lambda row: str(row.in_flight)),
    Column("STATUS", 12, lambda row: row.status),
    Column("MSG/S", 8, lambda row: rate(row.messages)),
    Column("DEAD", 7, lambda row: str(row.dead)),
    Column("NODE", 14, lambda row: row.node, in_cluster=True),
)
"""In the order in which a narrow terminal keeps them."""


@dataclass(frozen=True)
class Sight:
    """What of it is looked at: the order, the first agent shown, names with `only` in them; is that typed now?"""

    order: str = "rate"
    top: int = 0
    only: str = ""
    typing: bool = False


def ordered(frame: Frame, order: str, only: str = "") -> list[Row]:
    """The agents, the largest first."""
    key = ORDERS[order]
    rows = [row for row in frame.rows if only in row.name]
    return sorted(rows, key=lambda row: (tuple(-value for value in key(row)), row.name, row.node))


def screen(frame: Frame, sight: Sight, width: int, height: int, problem: str, *, colours: bool) -> list[str]:
    """At most `height` lines, each of at most `width` cells; escape sequences are only our own."""
    rows = ordered(frame, sight.order, sight.only)
    head = [fitted(line, width) for line in node_lines(frame)]
    if problem:
        head.append(_styled(fitted(problem, width), RED, colours))
    columns = _chosen(frame, width)
    head.append(_styled(_headings(columns, sight.order, width), REVERSE, colours))
    room = max(height - len(head) - 1, 0)
    shown = [_line(row, columns, width) for row in rows[sight.top : sight.top + room]]
    foot = f"/{sight.only}_" if sight.typing else _foot(sight, len(rows), room)
    return [*head, *shown, *[""] * (room - len(shown)), _styled(fitted(foot, width), BOLD, colours)][:height]


def room_for(frame: Frame, height: int, problem: str) -> int:
    """How many agents `screen` shows."""
    return max(height - len(node_lines(frame)) - bool(problem) - 2, 0)


def node_lines(frame: Frame) -> list[str]:
    """The node in three lines, or why it is not there."""
    node = frame.node
    if node is None:
        return [f"no figures of the node: {frame.why}", *_missing(frame)]
    ready = "ready" if node["ready"] else f"NOT READY ({', '.join(node['reasons'])})"
    lines = [
        f"{node['node']}  {ready}  caxton {node['version']}  up {age(node['uptime_seconds'])}{_members(node)}",
        f"{rate(frame.executions)} executions/s  {rate(frame.messages)} messages/s  {node['in_flight']} in flight  "
        f"queue {node['queued']} of {node['queue_limit']}",
        f"workers {node['workers']}: {size(node['resident_bytes'])} of {size(node['memory_limit_bytes'])}  "
        f"commit {_milliseconds(frame.commit_seconds)}  dead letters {node['dead_letters']}  "
        f"agents {_by_status(node['agents'])}",
    ]
    return [*lines, *_missing(frame)]


def rate(value: float | None) -> str:
    """A figure with as many digits as are worth reading."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def size(count: float) -> str:
    """Bytes, as the configuration writes them: 1 KB is 1000 B."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f}{unit}" if count >= 10 or unit == "B" else f"{count:.1f}{unit}"
        count /= 1000
    return f"{count:.1f}{_UNITS[-1]}"


def age(seconds: float) -> str:
    """Of a process: `3d 04:05`, `04:05:06`."""
    days, rest = divmod(int(seconds), _DAY)
    hours, minutes = rest // 3600, rest // 60 % 60
    return f"{days}d {hours:02}:{minutes:02}" if days else f"{hours:02}:{minutes:02}:{rest % 60:02}"


def fitted(text: str, width: int) -> str:
    """Text of others, harmless, cut to the width."""
    text = cell(text)
    return text if cell_len(text) <= width else set_cell_size(text, width)


def _chosen(frame: Frame, width: int) -> list[Column]:
    several = len({row.node for row in frame.rows}) > 1
    chosen, left = [], width - _NAME_WIDTH
    for column in COLUMNS:
        if column.in_cluster and not several:
            continue
        left -= column.width + 1
        if left < 0:
            break
        chosen.append(column)
    return chosen


def _headings(columns: list[Column], order: str, width: int) -> str:
    texts = [f"*{one.heading}" if one.order == order else one.heading for one in columns]
    return _laid("AGENT", texts, columns, width)


def _line(row: Row, columns: list[Column], width: int) -> str:
    return _laid(row.name, [column.text(row) for column in columns], columns, width)


def _laid(name: str, texts: list[str], columns: list[Column], width: int) -> str:
    """The name first, as wide as there is room; the figures right-aligned."""
    rest = sum(column.width + 1 for column in columns)
    laid = set_cell_size(cell(name), max(width - rest, 0))
    for column, text in zip(columns, texts, strict=True):
        text = cell(text)
        free = column.width - cell_len(text)
        laid += " " + (" " * free + text if free >= 0 else set_cell_size(text, column.width))
    return laid


def _foot(sight: Sight, count: int, room: int) -> str:
    last = min(sight.top + room, count)
    filtered = f" with {sight.only!r}" if sight.only else ""
    return f"{min(sight.top + 1, count)}-{last} of {count}{filtered}  {HELP}"


def _members(node: Mapping[str, Any]) -> str:
    if not node["members"]:
        return ""
    states = ", ".join(f"{count} {state}" for state, count in sorted(node["members"].items()))
    minority = "" if node["majority"] else "  NO MAJORITY"
    return f"  cluster: {states} of {node['expected_nodes']}{minority}"


def _missing(frame: Frame) -> list[str]:
    lines = [f"no answer from {', '.join(frame.unreachable)}: their agents are missing"] if frame.unreachable else []
    return lines + ([f"only the first {len(frame.rows)} agents are shown"] if frame.more else [])


def _by_status(agents: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(agents.items())) or "none"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def _styled(text: str, style: str, colours: bool) -> str:
    return f"{style}{text}{_PLAIN}" if colours else text
