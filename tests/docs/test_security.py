"""The document of security claims nothing that no test shows."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "app" / "docs" / "security.md"
ATTACKS = ROOT / "tests" / "attacks"


def section(title: str) -> str:
    """The text below a heading."""
    return PAGE.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its heading."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def named(text: str) -> set[str]:
    return set(re.findall(r"`(tests/[a-z_/]+\.py)`", text))


def test_every_defence_is_shown_by_tests_that_exist() -> None:
    table = rows("What is defended, and what shows it")
    assert len(table) > 20
    for attack, defence, shown in table:
        assert attack
        assert defence
        tests = named(shown)
        assert tests, attack
        assert all("def test_" in (ROOT / name).read_text() for name in tests), attack


def test_every_attack_that_is_tried_is_in_it() -> None:
    tried = {f"tests/attacks/{path.name}" for path in ATTACKS.glob("test_*.py")}
    assert tried <= named(PAGE.read_text())


def test_what_it_must_say_is_said() -> None:
    for title in ("What is at stake", "Who attacks", "Borders", "What is not defended", "For operators: hardening"):
        assert section(title).strip(), title
    report = (ROOT / "SECURITY.md").read_text()
    for title in ("Supported versions", "Telling us"):
        assert f"## {title}\n" in report, title
