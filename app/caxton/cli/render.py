"""Results on stdout: tables for people, JSON for programs; notes on stderr.

Owns what output looks like. Must never let text from elsewhere through that could drive a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import click
import msgspec

from caxton.cli.failures import printable
from caxton.cli.state import State


def emit_json(value: object) -> None:
    """One JSON document; indented when a person looks at it."""
    text = msgspec.json.encode(value)
    if sys.stdout.isatty():
        text = msgspec.json.format(text, indent=2)
    click.echo(ascii_controls(text.decode()))


def emit_line(value: object) -> None:
    """One JSON document on one line, for streams."""
    click.echo(ascii_controls(msgspec.json.encode(value).decode()))


def ascii_controls(text: str) -> str:
    """JSON text whose strings hold no character that is not printable; JSON's own escapes stand for them."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _json_escape(char) for char in text)


def emit_rows(
    state: State, items: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, more: bool = False
) -> None:
    """A list: `columns` maps headings to dotted keys of the items. `more`: further pages exist."""
    if state.as_json:
        emit_json(list(items))
        return
    if state.quiet:
        first = next(iter(columns.values()))
        for item in items:
            click.echo(cell(dig(item, first)))
        return
    _table(list(columns), [[cell(dig(item, key)) for key in columns.values()] for item in items])
    if more:
        note(state, "there are more: --limit, or --output json")


def emit_page(state: State, page: Mapping[str, Any], columns: Mapping[str, str]) -> None:
    """One page of a list, as the API gives it."""
    emit_rows(state, page["items"], columns, more=bool(page.get("next_cursor")))


def emit_one(state: State, item: Mapping[str, Any], columns: Mapping[str, str]) -> None:
    """One thing: heading and value, line by line."""
    if state.as_json:
        emit_json(item)
        return
    shown = {heading: dig(item, key) for heading, key in columns.items()}
    width = max(map(len, shown))
    for heading, value in shown.items():
        if value is not None and value != []:
            click.echo(f"{heading:<{width}}  {cell(value)}")


def note(state: State, text: str) -> None:
    """A remark for people, on stderr; silent with -q."""
    if not state.quiet:
        click.echo(printable(text), err=True)


def dig(item: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, or None."""
    value: Any = item
    for part in key.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def cell(value: object) -> str:
    """A value as text on one line; what is structured as JSON."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return printable(value).replace("\n", "\\n")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(map(cell, value)) or "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return ascii_controls(msgspec.json.encode(value).decode())


class Progress(Protocol):
    """A bar that goes from 0 to 1."""

    def __call__(self, fraction: float, /) -> None:
        """Shows the fraction."""


@contextmanager
def progress(state: State, title: str) -> Iterator[Progress]:
    """A progress bar on stderr when that is a terminal; nothing otherwise."""
    if state.quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(printable(title), total=1.0)
        yield lambda fraction: bar.update(task, completed=fraction)


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{int.from_bytes(units[at : at + 2], 'big'):04x}" for at in range(0, len(units), 2))


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    # A pipe has no width: nothing is folded there.
    Console(width=None if sys.stdout.isatty() else 10_000).print(table)
