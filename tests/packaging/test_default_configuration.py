"""packaging/production.toml: every key with its default, and nothing in force."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from caxton.config import load
from caxton.config.sections import KEYS, build, value_of
from support.served_node import run_cli

FILE = Path(__file__).resolve().parents[2] / "packaging" / "production.toml"
OF_THE_HOST = {"runtime.executor_workers", "networking.workers"}
"""Their defaults are this host's cores."""


def switched_on() -> dict[str, object]:
    """The file with every comment that is a key made one."""
    text = re.sub(r"^# ([a-z_]+ = )", r"\1", FILE.read_text(), flags=re.MULTILINE)
    document = tomllib.loads(text)
    return {f"{section}.{name}": value for section, table in document.items() for name, value in table.items()}


def test_it_holds_and_changes_no_default() -> None:
    assert run_cli("config", "check", "--file", str(FILE)).returncode == 0
    loaded = load(FILE, {})
    assert set(loaded.origins.values()) == {"default"}


def test_it_names_every_key_once_and_no_other() -> None:
    named = re.findall(r"^# ([a-z_]+) = ", FILE.read_text(), flags=re.MULTILINE)
    assert len(named) == len(KEYS)
    assert set(switched_on()) == set(KEYS)


def test_the_values_shown_are_the_defaults() -> None:
    defaults = build({})
    for key, written in switched_on().items():
        if written == "...":
            assert value_of(defaults, key) is None, key
        elif key not in OF_THE_HOST:
            assert KEYS[key].check(written) == value_of(defaults, key), key
