"""The document of security claims nothing that no test shows."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "app" / "docs" / "security.md"
ATTACKS = ROOT / "tests" / "attacks"

AWAITED: frozenset[str] = frozenset(
    {
        "tests/ansible/test_certificates.py",
        "tests/api/test_client_certificates.py",
        "tests/api/test_cors.py",
        "tests/api/test_key_timing.py",
        "tests/api/test_login_storm.py",
        "tests/api/test_rate_limits.py",
        "tests/api/test_security_headers.py",
        "tests/api/test_tls.py",
        "tests/api/test_tls_renewal.py",
        "tests/audit/test_verify.py",
        "tests/backup/test_secrets.py",
        "tests/executor/test_confinement.py",
        "tests/executor/test_pulley.py",
        "tests/packaging/test_hostile_code.py",
        "tests/router/test_agent_clients.py",
        "tests/router/test_audit.py",
        "tests/router/test_bounded_deployers.py",
        "tests/router/test_namespace_border.py",
        "tests/router/test_namespace_isolation.py",
        "tests/router/test_quotas.py",
        "tests/system/test_no_secret_shows.py",
    }
)
"""Tests of what is built beside this page: each leaves this list when it is here, and the list goes with the last."""


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
        missing = {name for name in tests if not (ROOT / name).is_file()}
        assert missing <= AWAITED, attack
        assert all("def test_" in (ROOT / name).read_text() for name in tests - missing), attack


def test_nothing_is_awaited_that_is_here() -> None:
    assert not {name for name in AWAITED if (ROOT / name).is_file()}
    assert named(PAGE.read_text()) >= AWAITED


def test_every_attack_that_is_tried_is_in_it() -> None:
    tried = {f"tests/attacks/{path.name}" for path in ATTACKS.glob("test_*.py")}
    assert tried <= named(PAGE.read_text())


def test_what_it_must_say_is_said() -> None:
    for title in ("What is at stake", "Who attacks", "Borders", "What is not defended", "For operators: hardening"):
        assert section(title).strip(), title
    report = (ROOT / "SECURITY.md").read_text()
    for title in ("Supported versions", "Telling us"):
        assert f"## {title}\n" in report, title
