"""Inventories can be read, and give every role what it needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from support.ansible_tree import INVENTORIES, ROLES, load, variables

Call = Callable[..., CompletedProcess[str]]
GROUPS = {"caxton_nodes", "caxton_balancers", "caxton_monitoring"}


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.name)
def test_groups_have_hosts(inventory: Path, call: Call) -> None:
    done = call("ansible-inventory", "-i", str(inventory), "--list")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert {name for name in GROUPS if listed[name]["hosts"]} == GROUPS


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.name)
def test_every_variable_is_one_of_a_role(inventory: Path) -> None:
    known = {name for role in ROLES for name in variables(role, "defaults")}
    for role in ROLES:
        known |= set(load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"].get("options", {}))
    prefixes = tuple(f"{role.name}_" for role in ROLES)
    said = {name for path in inventory.rglob("*.yml") for name in (load(path) or {}) if name.startswith(prefixes)}
    own = {"caxton_node_addresses", "caxton_monitoring_addresses"}
    assert said - own <= known


def test_the_vault_example_names_every_secret_of_the_inventory() -> None:
    example = next(path for path in INVENTORIES if path.name == "example_production")
    used = {
        word.strip('"{} ')
        for path in example.rglob("*.yml")
        for word in path.read_text().split()
        if word.startswith("vault_caxton_")
    }
    assert used == set(load(example / "group_vars" / "all" / "vault.yml.example"))
