"""The alert rules of roles/caxton_monitoring as the tests see them, and what they need of this host.

Owns reading them. Must never change a rule on the way.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).resolve().parents[2] / "roles" / "caxton_monitoring"
RULES = ROLE / "files" / "rules"
_WORDS = frozenset({"and", "or", "unless", "bool", "offset"})
_LABELS = re.compile(r"\{[^}]*\}|\b(?:by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)")


@dataclass(frozen=True)
class Alert:
    """One alert rule. `rule` is everything that its file says of it."""

    name: str
    expr: str
    file: Path
    rule: dict[str, Any]

    @property
    def text(self) -> str:
        """Summary and description together."""
        notes = self.rule["annotations"]
        return f"{notes['summary']}\n{notes['description']}"


def alerts() -> list[Alert]:
    """Every alert of the role, in the order of its files."""
    return [
        Alert(rule["alert"], rule["expr"], path, rule)
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def metric_names(expr: str) -> set[str]:
    """The metrics that a PromQL expression or a series reads: names that are not functions, labels or words."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    bare = re.sub(r"\[[^\]]*\]", "", _LABELS.sub("", bare))
    names = re.findall(r"\b[a-zA-Z_:][a-zA-Z0-9_:]*\b(?!\s*\()", bare)
    return {name for name in names if name not in _WORDS}


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skips where a program of the Debian packages prometheus* is missing on this host."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed on this host: {', '.join(missing)}")


def with_prefix(text: str, prefix: str) -> str:
    """A rule file as the role writes it for nodes of another `metrics_prefix`."""
    pattern = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__caxton_monitoring_metric_pattern"]
    return re.sub(pattern, f"{prefix}_", text)
