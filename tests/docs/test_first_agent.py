"""The page "write your first agent": its sources and command lines are the ones that are built and tested."""

from __future__ import annotations

import re

import pytest

from support.examples import EXAMPLES, build_script
from support.node import APP

PAGE = (APP / "docs" / "first-agent.md").read_text()
SHOWN = {
    "rust": "votes/votes.rs",
    "ts": "averager/averager.ts",
    "zig": "primes/primes.zig",
    "toml": "votes/votes.toml",
}

OURS = {"-m", "-Wl,--strip-all"}
"""How this machine's compiler is called, not what it is asked for."""


@pytest.mark.parametrize(("language", "source"), SHOWN.items())
def test_what_is_shown_is_what_is_built(language: str, source: str) -> None:
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert blocks == [(EXAMPLES / source).read_text()]


@pytest.mark.parametrize("name", ["votes", "averager", "primes", "counter"])
def test_its_command_lines_have_the_flags_of_the_build(name: str) -> None:
    script = build_script()
    source = EXAMPLES / script.MODULES[name]
    begins = (f"asc {name}", "rustc ", "python -m ziglang build-exe", "clang ")
    line = next(line for line in PAGE.splitlines() if line.startswith(begins) and source.name in line)
    built = script.command(source, source.with_suffix(".wasm"), "command" if name in script.COMMANDS else "reactor")
    flags = {word for word in built if word.startswith("-") and "/" not in word} - OURS
    assert flags <= set(line.split())


def test_every_example_is_on_the_page_or_in_make_run() -> None:
    script = build_script()
    folders = {source.split("/")[0] for source in script.MODULES.values()} - set(script.EXAMPLES)
    assert not [folder for folder in folders if f"app/examples/{folder}" not in PAGE]
    assert set(script.EXAMPLES) <= set(script.MODULES)
