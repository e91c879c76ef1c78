"""What a role takes is said three times, for Ansible, for the program and for people: the three agree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from support.ansible_tree import ROLES, load, variables

FILES = ("README.md", "meta/argument_specs.yml", "meta/main.yml", "defaults", "tasks/main.yml")


def options(role: Path) -> dict[str, dict[str, Any]]:
    specs: dict[str, Any] = load(role / "meta" / "argument_specs.yml")["argument_specs"]
    found: dict[str, dict[str, Any]] = specs["main"].get("options", {})
    return found


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_role_has_its_parts(role: Path) -> None:
    assert not [part for part in FILES if not (role / part).exists()]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_specification_and_defaults_name_the_same(role: Path) -> None:
    specified = options(role)
    required = {name for name, option in specified.items() if option.get("required")}
    defaults = variables(role, "defaults")
    assert set(specified) == set(defaults) | required
    assert not required & set(defaults)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_readme_has_every_variable_and_no_other(role: Path) -> None:
    rows = re.findall(rf"^\| `({role.name}_\w+)` \|", (role / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(options(role))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_names_belong_to_the_role(role: Path) -> None:
    assert not [name for name in options(role) if not name.startswith(f"{role.name}_")]
    assert not [name for name in variables(role, "vars") if not name.startswith(f"__{role.name}_")]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_option_has_a_type_and_says_what_it_is(role: Path) -> None:
    assert not [
        name for name, option in options(role).items() if not option.get("type") or not option.get("description")
    ]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_entry_points_that_others_use_are_specified(role: Path) -> None:
    specified = set(load(role / "meta" / "argument_specs.yml")["argument_specs"])
    files = [*role.parent.parent.glob("playbooks/**/*.yml")]
    text = "\n".join(path.read_text() for path in files)
    used = set(re.findall(rf"name: {role.name}\n\s+tasks_from: (\w+)", text))
    steps = {"preflight", "install", "configure", "service"}  # of main, whose options they share
    assert used - steps <= specified
    assert not [entry for entry in specified if not (role / "tasks" / f"{entry}.yml").exists()]
