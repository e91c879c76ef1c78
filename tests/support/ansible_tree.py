"""What the policy tests look at: roles, playbooks, their plays and tasks, read as plain YAML.

Owns where the files are. Must never judge them: the tests do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
ROLES: Final = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS: Final = sorted((ROOT / "playbooks").glob("*.yml"))
TASK_FILES: Final = sorted(
    [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml"), *ROOT.glob("playbooks/tasks/*.yml")]
)
INVENTORIES: Final = sorted((ROOT / "inventories").iterdir())
_NESTING: Final = ("block", "rescue", "always")
_PLAY_TASKS: Final = ("pre_tasks", "tasks", "post_tasks", "handlers")


@dataclass(frozen=True)
class Task:
    """One task. `module`: the key that is no keyword of a task, `arguments` its value."""

    file: Path
    fields: dict[str, Any]
    module: str
    arguments: Any

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}: {self.fields.get('name')}"


def load(path: Path) -> Any:
    """A YAML file; an empty one is None."""
    return yaml.safe_load(path.read_text("utf-8"))


def variables(role: Path, directory: str) -> dict[str, Any]:
    """What `defaults` or `vars` of a role hold together."""
    found: dict[str, Any] = {}
    for path in sorted((role / directory).rglob("*.yml")):
        found |= load(path) or {}
    return found


def plays() -> list[tuple[Path, dict[str, Any]]]:
    """Every play of every playbook; what imports another playbook is no play."""
    return [(path, play) for path in PLAYBOOKS for play in load(path) if "hosts" in play]


def tasks() -> list[Task]:
    """Every task of roles and playbooks, those in blocks included."""
    found = [task for path in TASK_FILES for task in _flatten(path, load(path) or [])]
    for path, play in plays():
        for part in _PLAY_TASKS:
            found += _flatten(path, play.get(part) or [])
    return found


def _flatten(path: Path, listed: list[dict[str, Any]]) -> Iterator[Task]:
    for fields in listed:
        nested = [part for part in _NESTING if part in fields]
        if nested:
            for part in nested:
                yield from _flatten(path, fields[part])
        else:
            module = next(key for key in fields if "." in key)
            yield Task(path, fields, module, fields[module])
