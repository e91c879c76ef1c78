"""Writes caxton(1) from the command line itself: every verb, with its options.

Owns the page's order and its escapes. Must never know a verb by name.

    python3 manpage.py >caxton.1        (the bundled tree on PYTHONPATH; $SOURCE_DATE_EPOCH is the page's date)
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from typing import Final

import click

from caxton import __version__
from caxton.cli.root import caxton

_ABOUT: Final = """\
.SH DESCRIPTION
Caxton runs untrusted WebAssembly agents behind durable mailboxes. This command talks to a node over HTTP, and
does what needs the node's own files (backups, the database, keys) on the host of the node.
"""
_REST: Final = """\
.SH EXIT STATUS
.TP
.B 0
done
.TP
.B 1
failed; the message says why, and its code is in \\-\\-output json
.TP
.B 2
wrong usage
.TP
.B 3
node not reachable
.SH ENVIRONMENT
.TP
.B CAXTON_URL
The node's address; http://127.0.0.1:8080 without it.
.TP
.BR CAXTON_API_KEY ", " CAXTON_TOKEN
Credentials.
.TP
.B CAXTON_CONFIG_PATH
The configuration file of a node on this host.
.SH FILES
.TP
.I /opt/caxton/config/production.toml
The node's configuration.
.TP
.I /opt/caxton/config/caxton.env
Variables that it may refer to.
.TP
.I /etc/credstore/caxton.jwt_secret
The secret that signs tokens, if it is kept as a systemd credential.
.TP
.I /opt/caxton/data/local.db
Everything that the node has promised.
.TP
.I /opt/caxton/backups
Snapshots.
.TP
.I ~/.config/caxton/config.toml
Nodes that you use, by name.
.SH SEE ALSO
.BR systemctl (1),
.BR journalctl (1).
The node is the unit
.B caxton.service
with those it wants; journalctl \\-u 'caxton*' shows all of them.
"""


def page() -> str:
    """The whole page as roff."""
    date = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", "0"))))
    lines = [
        f'.TH CAXTON 1 "{date}" "Caxton {__version__}" "User Commands"',
        ".SH NAME",
        "caxton \\- run WebAssembly agents behind durable mailboxes",
        ".SH SYNOPSIS",
        ".B caxton",
        "[\\fIOPTION\\fR]... \\fICOMMAND\\fR [\\fIARGUMENT\\fR]...",
        _ABOUT.rstrip(),
        ".SH OPTIONS",
        *_options(caxton, click.Context(caxton, info_name="caxton")),
        ".SH COMMANDS",
    ]
    for words, command, context in leaves(caxton, click.Context(caxton, info_name="caxton")):
        usage = _escape(" ".join(command.collect_usage_pieces(context)))
        lines += [f".SS caxton {_escape(words)} {usage}", _escape(_help(command)), *_options(command, context)]
    return "\n".join([*lines, _REST])


def leaves(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every verb that does something, with the words that lead to it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        own = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from leaves(command, own)
        else:
            yield own.command_path.removeprefix("caxton "), command, own


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    """What is worth a line: options that every verb takes are with the command, arguments are in the heading."""
    shared = {name for option in caxton.get_params(context) for name in option.opts} if context.parent else set()
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if (
            record is not None
            and record[1]
            and not (set(parameter.opts) <= shared and "--config" not in parameter.opts)
        ):
            yield from (".TP", f"\\fB{_escape(record[0])}\\fR", _escape(record[1]))


def _help(command: click.Command) -> str:
    """The verb's help as one paragraph a block; click's `\\b` marks and indentation are for terminals."""
    text = (command.help or "").partition("\f")[0].replace("\b", "")
    return re.sub(r"\n[ \t]+", "\n", text).strip()


def _escape(text: str) -> str:
    """Text for roff: a hyphen that can be copied, no line that looks like a request, one blank line at most."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"(?m)^([.'])", r"\\&\1", text)
    return re.sub(r"\n\s*\n", "\n.PP\n", text)


if __name__ == "__main__":
    sys.stdout.write(page())
