"""What an alert tells the person who is woken: how grave, what, what to do, and where to read on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from caxton.config.sections import KEYS
from support.commands import complaint, ours, quoted
from support.monitoring import Alert, alerts, with_prefix

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "app" / "docs" / "operations.md"
ALERTS = alerts()
TEXTS = {PAGE.name: PAGE.read_text(), **{alert.name: alert.text for alert in ALERTS}}
SECTIONS = dict(re.findall(r"^### (Caxton\w+)\n(.*?)(?=^###? |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))
METRICS = ROOT / "app" / "docs" / "metrics.md"
ROLES = ("caxton_lb_", "caxton_monitoring_", "caxton_certificates_")
each = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)


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
        assert not (found := [complaint(words) for words in ours(word) if complaint(words)]), (word, found)
        if re.fullmatch(r"(runtime|messaging|networking|backup|observability)\.\w+", word):
            assert word in KEYS, word


def test_the_page_has_each_alert_and_no_other() -> None:
    named = re.findall(r"^### (Caxton\w+)$", PAGE.read_text(), re.MULTILINE)
    assert sorted(named) == sorted(alert.name for alert in ALERTS)
    links = {alert.rule["annotations"]["runbook"] for alert in ALERTS}
    assert links == {f"/usr/share/doc/caxton/operations.md#{name.lower()}" for name in named}


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_says_what_it_means_how_to_see_it_what_to_do_and_when_it_is_over(name: str) -> None:
    meaning, *parts = re.split(r"^- \*\*(See|Do|Over):\*\* ", SECTIONS[name], flags=re.MULTILINE)
    assert len(meaning.split()) > 4
    assert parts[::2] == ["See", "Do", "Over"]
    seen, done, over = (text.strip() for text in parts[1::2])
    assert any(" " in command for command in quoted(seen)), "how to see it is a command"
    assert len(done.split()) > 3
    assert over.endswith(".")


@pytest.mark.parametrize("text", ["caxton doctor --nothing", "caxton nothing", "x | caxton top --sort", "caxton dlq"])
def test_a_command_that_is_none_is_noticed(text: str) -> None:
    [words] = ours(text)
    assert complaint(words)


def test_metrics_that_the_runbook_names_exist() -> None:
    """The node's own; of others only what the rules read."""
    documented = set(re.findall(r"`(caxton_\w+)` \|", METRICS.read_text()))
    named = {word for word in quoted("".join(SECTIONS.values())) if re.fullmatch(r"caxton_[a-z_]+", word)}
    roles = {word for word in named if (ROOT / "roles" / word).is_dir() or word.startswith(ROLES)}
    assert {word.removesuffix("_total") for word in named - roles} <= documented


def test_alerts_name_alerts_that_exist() -> None:
    named = set(re.findall(r"\bCaxton[A-Z]\w+", "".join(TEXTS.values())))
    assert named == {alert.name for alert in ALERTS}


def test_another_prefix_changes_metrics_and_nothing_else() -> None:
    text = 'caxton_ready{a="b"} + on (x) caxton_http_total `caxton_lb_tls_key` caxton_monitoring_webhooks caxton-node'
    assert with_prefix(text, "acme") == text.replace("caxton_ready", "acme_ready").replace("caxton_h", "acme_h")
