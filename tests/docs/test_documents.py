"""The documents name everything that the code has, and nothing that it has not."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import click
import pytest

from caxton import config as configuration
from caxton.api.app import create_admin_app, create_app
from caxton.cli.root import caxton as command_line
from caxton.executor.offered import HOST_FUNCTIONS
from caxton.protocol.agents import Grants, Limits
from caxton.protocol.errors import Code

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "app" / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def quoted(page: str) -> set[str]:
    """Everything in back-quotes on a page."""
    return set(re.findall(r"`([^`\n]+)`", (DOCS / page).read_text()))


def test_every_error_code_and_no_other() -> None:
    named = set(re.findall(r"^\| `([A-Z_]+)` \|", (DOCS / "api.md").read_text(), re.MULTILINE))
    assert named == {code.value for code in Code}


def test_every_setting_and_no_other() -> None:
    defaults = configuration.defaults()
    settings = {
        f"{section.name}.{key.name}"
        for section in dataclasses.fields(defaults)
        if dataclasses.is_dataclass(value := getattr(defaults, section.name)) and section.name != "paths"
        for key in dataclasses.fields(value)
    }
    named = {text for text in quoted("configuration.md") if re.fullmatch(r"[a-z]+\.[a-z_0-9]+", text)}
    assert named - {"production.toml", "caxton.env"} == settings


def test_every_route_and_no_other() -> None:
    routes = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for make in (create_app, create_admin_app)
        for rule in make(configuration.defaults()).flask.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    text = (DOCS / "api.md").read_text()
    named = set(re.findall(r"^\| `(GET|POST|PUT|DELETE) (/\S*)`", text, re.MULTILINE))
    assert named == routes


def verbs(command: click.Command, words: tuple[str, ...] = ()) -> set[str]:
    """Every leaf of the command line as words, and every group that does something by itself."""
    if not isinstance(command, click.Group):
        return {" ".join(words)}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    own = {" ".join(words)} if command.invoke_without_command and words else set()
    return own | {
        verb for name, one in found.items() if one and not one.hidden for verb in verbs(one, (*words, name))
    }


def test_every_verb_and_no_other() -> None:
    text = (DOCS / "api.md").read_text()
    named = set(re.findall(r"^\| `caxton ([a-z -]+?)`", text, re.MULTILINE))
    assert named == verbs(command_line)


def test_every_host_function_limit_and_grant() -> None:
    named = quoted("agents.md") | set(re.findall(r'"(\w+)":', (DOCS / "agents.md").read_text()))
    expected = {*HOST_FUNCTIONS, *Limits.__struct_fields__, *Grants.__struct_fields__}
    assert not expected - named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert not [link for link in links if not link.startswith("http") and not (page.parent / link).exists()]


def test_the_readme_keeps_its_promises() -> None:
    text = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^)make ([a-z][a-z_-]*)", text, re.MULTILINE):
        either = rf"^(?:{target}|{target.split('-')[0]}-%):"  # scenario-default is made by the rule scenario-%
        assert re.search(either, makefile, re.MULTILINE), target
    listed = set(re.findall(r"^  (\w+)/ ", text, re.MULTILINE))
    assert {"protocol", "api", "router", "store", "executor", "cli"} <= listed
