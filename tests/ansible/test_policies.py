"""What holds for every play and every task: facts/style.md, section 4, as far as a program can tell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from support.ansible_tree import PLAYBOOKS, ROLES, ROOT, TASK_FILES, Task, load, plays, tasks

VERBS = "add_node backup deploy drain remove_node restore rollback rotate_secrets site undrain upgrade verify"
COMMANDS = {f"ansible.builtin.{name}" for name in ("command", "shell", "raw", "script", "expect")}
MOST_COMMANDS = 14
MOST_TASK_LINES, MOST_PLAYBOOK_LINES = 80, 120
# Variables that hold a secret beside those that a role's specification marks no_log.
INTERNAL_SECRETS = {
    *("__caxton_node_secrets", "__caxton_node_key_made", "__caxton_node_key_headers", "__caxton_node_key"),
    *("__caxton_backup_offsite_secrets", "__headers", "__deploy_key", "__key_before", "__remove_key"),
}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_verb_has_its_playbook() -> None:
    assert {path.stem for path in PLAYBOOKS} == set(VERBS.split())


def test_the_operator_s_page_has_every_verb() -> None:
    page = (ROOT / "app" / "docs" / "operations.md").read_text()
    assert set(re.findall(r"playbooks/(\w+)\.yml", page)) == set(VERBS.split())


@pytest.mark.parametrize(("path", "play"), plays(), ids=lambda value: value.stem if isinstance(value, Path) else "")
def test_a_play_stops_at_the_first_error(path: Path, play: dict[str, Any]) -> None:
    assert play.get("any_errors_fatal") is True
    assert play.get("max_fail_percentage") == 0
    assert play.get("ignore_errors") is None


def test_rolling_plays_keep_the_order_of_the_inventory() -> None:
    assert not [str(path) for path, play in plays() if "serial" in play and play.get("order") != "inventory"]


@pytest.mark.parametrize("path", TASK_FILES, ids=relative)
def test_task_files_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_TASK_LINES


@pytest.mark.parametrize("path", PLAYBOOKS, ids=relative)
def test_playbooks_are_small_and_say_what_they_do(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= MOST_PLAYBOOK_LINES
    assert lines[1].startswith("# ")


def commands() -> list[Task]:
    return [task for task in tasks() if task.module in COMMANDS]


def test_few_commands() -> None:
    assert len(commands()) <= MOST_COMMANDS


@pytest.mark.parametrize("task", commands(), ids=str)
def test_a_command_says_why_and_when_it_changes_something(task: Task) -> None:
    assert "changed_when" in task.fields
    assert "argv" in task.arguments, "no shell splits the words"
    before = task.file.read_text().split(f"- name: {task.fields['name']}\n")[0].rstrip().splitlines()
    assert before[-1].lstrip().startswith("#"), "a comment above it says why no module does it"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_roles_read_no_groups(role: Path) -> None:
    files = [path for path in role.rglob("*") if path.is_file() and path.suffix in {".yml", ".j2"}]
    assert not [relative(path) for path in files if re.search(r"\bgroups\s*[\[.]", path.read_text())]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_main_only_includes(role: Path) -> None:
    listed = load(role / "tasks" / "main.yml")
    assert {key for task in listed for key in task if "." in key} <= {
        "ansible.builtin.import_tasks",
        "ansible.builtin.include_tasks",
    }
    assert not [task for task in listed if role.name not in task.get("tags", [])]


def questions_to_a_node() -> list[Task]:
    """What is asked of a node's API, which may have a private authority behind it and want certificates itself."""
    asked = [task for task in tasks() if task.module == "ansible.builtin.uri"]
    return [task for task in asked if re.search(r"__caxton_node_url|networking_tls_enabled", str(task.fields))]


@pytest.mark.parametrize("task", questions_to_a_node(), ids=str)
def test_whoever_asks_a_node_believes_its_authority_and_shows_a_certificate(task: Task) -> None:
    deploy = next(play for path, play in plays() if path.stem == "deploy")
    given = deploy["module_defaults"]["ansible.builtin.uri"] if task.file.stem == "deploy_agent" else {}
    assert {"ca_path", "client_cert", "client_key"} <= {*task.arguments, *given}


def test_nothing_is_ignored() -> None:
    assert not [str(task) for task in tasks() if "ignore_errors" in task.fields or task.module.endswith("set_stats")]


def secrets_of_roles() -> set[str]:
    found: set[str] = set()
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in load(path)["argument_specs"].values():
            found |= {name for name, option in (entry.get("options") or {}).items() if is_secret(option)}
    return found


def is_secret(option: dict[str, Any]) -> bool:
    return bool(option.get("no_log")) or any(is_secret(inner) for inner in (option.get("options") or {}).values())


SECRET = re.compile("|".join(rf"\b{name}\b(?!\.key_id)" for name in sorted(secrets_of_roles() | INTERNAL_SECRETS)))
DIGEST = re.compile(r"\{\{[^}]*\| hash\([^}]*\}\}")
WRITTEN = re.compile(r"\{\{.*?\}\}|\{% for .*?(?: if .*?)?%\}")


def written_by(template: Path) -> str:
    """The expressions whose values a template writes; what it only asks about, and digests, are left out."""
    text = DIGEST.sub("", template.read_text())
    return " ".join(re.sub(r" if .*", "", found) for found in WRITTEN.findall(text))


def shows_a_secret(task: Task) -> bool:
    """Whether its arguments, its loop or its template name one (a digest of one is none)."""
    said = DIGEST.sub("", repr(task.arguments) + repr(task.fields.get("loop", "")))
    text = " ".join([*WRITTEN.findall(said), task.fields.get("register", "")])
    if task.module.endswith(".template"):
        sources = [task.file.parents[1] / "templates" / task.arguments["src"]]
        text += "".join(written_by(path) for path in sources if path.exists())
    if task.module.endswith(".copy") and re.search(
        "caxton_(lb|node)_tls_key", said
    ):  # a path; but this copies what lies there
        return True
    if task.module.endswith(".slurp"):  # keys; and modules, which are long
        return True
    return SECRET.search(text) is not None


def test_no_log_is_exactly_where_secrets_are() -> None:
    hidden = {str(task) for task in tasks() if task.fields.get("no_log") is True}
    assert hidden == {str(task) for task in tasks() if shows_a_secret(task)}
