"""The manual page and the shells' completion, which are made from the command line."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from caxton.cli.root import caxton as command_line


def verbs(command: click.Command, words: tuple[str, ...] = ()) -> set[str]:
    """Every leaf of the command line as words."""
    if not isinstance(command, click.Group):
        return {" ".join(words)}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {verb for name, one in found.items() if one is not None for verb in verbs(one, (*words, name))}


@pytest.fixture
def page(tree: Path) -> str:
    return gzip.decompress((tree / "usr/share/man/man1/caxton.1.gz").read_bytes()).decode()


def test_the_manual_page_has_every_verb_and_no_other(page: str) -> None:
    headings = re.findall(r"^\.SS caxton (.*)$", page.replace("\\-", "-"), re.MULTILINE)
    assert {re.split(r" (?=[\[A-Z.])", heading)[0] for heading in headings} == verbs(command_line)


def test_the_manual_page_has_the_options_of_the_command_and_of_its_verbs(page: str) -> None:
    plain = page.replace("\\-", "-")
    assert not [option for option in ("--config", "--output", "--subject", "--file") if option not in plain]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is missing")
def test_bash_completes_verbs(tree: Path, tmp_path: Path) -> None:
    fake = tmp_path / "caxton"
    fake.write_text('#!/bin/sh\nprintf "plain,agent\\nplain,%s\\n" "$COMP_CWORD"\n')
    fake.chmod(0o755)
    script = f"""
    source {tree}/usr/share/bash-completion/completions/caxton
    complete -p caxton >/dev/null
    COMP_WORDS=(caxton a) COMP_CWORD=1
    $(complete -p caxton | sed 's/.*-F \\([^ ]*\\).*/\\1/') {fake} a caxton
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["agent", "1"]
