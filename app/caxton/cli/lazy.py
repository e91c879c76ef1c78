"""Groups whose verbs are imported when they are used: `caxton --help` must not cost half a second.

Owns the loading of verbs, and where verbs may be abbreviated. Must never import a verb for a help line.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group that knows its verbs as `name → ("module:attribute", "help line")`."""

    def __init__(self, *args: Any, verbs: dict[str, tuple[str, str]], aliases: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._verbs = verbs
        self._aliases = aliases

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all verbs, without their aliases."""
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports and returns one verb."""
        found = self._verbs.get(self._aliases.get(cmd_name, cmd_name))
        if found is None:
            return None
        module, _, attribute = found[0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs in the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._verbs.items()])
