"""What one run of the command line knows: target, output format, quietness.

Owns the options that every verb takes. Must never open a connection.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class State:
    """Filled from the options, wherever on the command line they stand."""

    config_file: Path | None = None
    url: str | None = None
    context: str | None = None
    ca_file: str | None = None
    output: str | None = None
    quiet: bool = False

    @property
    def as_json(self) -> bool:
        """Whether programs read the output."""
        return self.output == "json"


def output_options(function: F) -> F:
    """`--output table|json` and `-q`, at the root and after every verb; they end up in the `State`."""

    @click.option(
        "--output", type=click.Choice(["table", "json"]), help="Tables for people (default), JSON for programs."
    )
    @click.option("-q", "--quiet", is_flag=True, help="Print results only.")
    @functools.wraps(function)
    def wrapped(*args: Any, output: str | None, quiet: bool, **kwargs: Any) -> Any:
        state = click.get_current_context().ensure_object(State)
        state.output = output or state.output
        state.quiet = quiet or state.quiet
        return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]  # click's decorators keep the call shape


def page_options(function: F) -> F:
    """`--limit` and `--cursor` of a list that comes in pages."""
    function = click.option("--cursor", help="Where the page before ended.")(function)
    return click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)(function)


def pass_state(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hands the run's `State` to a verb as its first argument."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return function(click.get_current_context().ensure_object(State), *args, **kwargs)

    return wrapped
