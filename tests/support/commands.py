"""Command lines that documents name: found in Markdown, and parsed as `caxton` parses them.

Owns finding them. Must never run one.
"""

from __future__ import annotations

import re
import shlex

import click

from caxton.cli.root import caxton as command_line


def quoted(text: str) -> list[str]:
    """Everything in back-quotes, also over the end of a line, and each line of a block of commands."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    rest = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found = [*lines, *(" ".join(part.split()) for part in re.findall(r"`([^`]+)`", rest))]
    return [one.replace("\\|", "|") for one in found]


def ours(text: str) -> list[list[str]]:
    """The words behind `caxton` of each of our commands in a shell's line."""
    parts = [part.strip() for part in re.split(r"[|;]|&&", text)]
    return [shlex.split(part)[1:] for part in parts if part.startswith("caxton ")]


def complaint(words: list[str]) -> str | None:
    """What the command line would say of verbs and options; arguments may be missing, as a text leaves them out."""
    command: click.Command = command_line
    while True:
        context = click.Context(command)
        context.allow_interspersed_args = not isinstance(command, click.Group)
        try:
            _, words, _ = command.make_parser(context).parse_args(list(words))
        except click.UsageError as error:
            return error.format_message()
        if not isinstance(command, click.Group):
            return None
        if not words:
            return None if command.invoke_without_command else "a verb is missing"
        found = command.get_command(context, words[0])
        if found is None:
            return f"there is no verb {words[0]}"
        command, words = found, words[1:]
