"""What a key or a token may do, as options.

Owns `--role`, `--namespace` and `--agents`. Must never choose a role for somebody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from caxton.protocol.access import Role, Scope

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class ScopeOptions:
    """The options' values."""

    role: str
    namespace: str | None
    agents: str | None

    def scope(self) -> Scope:
        """The scope, or a usage error that says what is wrong."""
        agents = None if self.agents is None else tuple(filter(None, (one.strip() for one in self.agents.split(","))))
        scope = Scope(Role(self.role), self.namespace, agents)
        problem = scope.problem()
        if problem is not None:
            raise click.UsageError(f"--{problem[0]}: expected {problem[1]}")
        return scope


def scope_options(role_variable: str | None = None) -> Callable[[F], F]:
    """Adds the three options.

    `role_variable` may give the role too: for scripts that also meet a release which knows no roles.
    """

    def add(verb: F) -> F:
        options = (
            click.option(
                "--role",
                type=click.Choice([role.value for role in Role]),
                required=True,
                envvar=role_variable,
                help="What it may do.",
            ),
            click.option("--namespace", help="The only namespace it reaches (default: all)."),
            click.option("--agents", help="For agent-client: glob patterns of the agents, separated by commas."),
        )
        for option in reversed(options):
            verb = option(verb)
        return verb

    return add
