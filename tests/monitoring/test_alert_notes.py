"""What an alert tells the person who is woken: how grave, what, what to do, and where to read on."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from caxton.cli.root import caxton as command_line
from caxton.config.sections import KEYS
from support.monitoring import Alert, alerts, with_prefix

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "app" / "docs" / "operations.md"
ALERTS = alerts()
TEXTS = {PAGE.name: PAGE.read_text(), **{alert.name: alert.text for alert in ALERTS}}
each = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)


def quoted(text: str) -> list[str]:
    """Everything in back-quotes, also over the end of a line, and each line of a block of commands."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    rest = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [*lines, *(" ".join(part.split()) for part in re.findall(r"`([^`]+)`", rest))]


def is_verb(words: list[str]) -> bool:
    """Whether `caxton …` is a verb of the command line."""
    command: click.Command | None = command_line
    for word in words:
        if not isinstance(command, click.Group):
            return True  # options and arguments
        command = command.get_command(click.Context(command), word)
        if command is None:
            return False
    return not isinstance(command, click.Group)


@each
def test_it_is_complete(alert: Alert) -> None:
    rule = alert.rule
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert "for" in rule or re.search(r"\[\d+[mhd]\]|_expiry|_drill_seconds", alert.expr), "one sample is no alert"
    assert "$labels." in rule["annotations"]["summary"] or alert.name == "CaxtonAlertmanagerDown"


@each
def test_it_says_what_to_do(alert: Alert) -> None:
    commands = [text for text in quoted(alert.rule["annotations"]["description"]) if " " in text or "/" in text]
    assert commands


@pytest.mark.parametrize("where", TEXTS)
def test_what_it_names_exists(where: str) -> None:
    for word in quoted(TEXTS[where]):
        assert all((ROOT / name).exists() for name in re.findall(r"playbooks/\w+\.yml", word)), word
        if word.startswith("caxton "):
            assert is_verb(word.split()[1:]), word
        elif re.fullmatch(r"(runtime|messaging|networking|backup|observability)\.\w+", word):
            assert word in KEYS, word


def test_the_page_has_each_alert_and_no_other() -> None:
    named = re.findall(r"^### (Caxton\w+)$", PAGE.read_text(), re.MULTILINE)
    assert sorted(named) == sorted(alert.name for alert in ALERTS)
    assert {f"operations.md#{name.lower()}" for name in named} == {
        alert.rule["annotations"]["runbook"] for alert in ALERTS
    }


def test_alerts_name_alerts_that_exist() -> None:
    named = set(re.findall(r"\bCaxton[A-Z]\w+", "".join(TEXTS.values())))
    assert named == {alert.name for alert in ALERTS}


def test_another_prefix_changes_metrics_and_nothing_else() -> None:
    text = 'caxton_ready{a="b"} + on (x) caxton_http_total `caxton_lb_tls_key` caxton_monitoring_webhooks caxton-node'
    assert with_prefix(text, "acme") == text.replace("caxton_ready", "acme_ready").replace("caxton_h", "acme_h")
