"""The tables of access.md are made of the tables of the code: what is printed here when they differ belongs there."""

from __future__ import annotations

import re
from pathlib import Path

from caxton.api.permissions import OPEN, PERMISSION_OF
from caxton.protocol.access import NODE_WIDE, PERMISSIONS, Permission, Role

PAGE = Path(__file__).resolve().parents[2] / "app" / "docs" / "access.md"
BEGIN, END = "<!-- tables: tests/docs/test_access.py -->\n", "<!-- end of the tables -->\n"


def tables() -> str:
    """Roles by permission, then routes by permission."""
    lines = [f"| permission | {' | '.join(f'`{role}`' for role in Role)} |", f"|---|{'---|' * len(Role)}"]
    for permission in Permission:
        marks = " | ".join("yes" if permission in PERMISSIONS[role] else "" for role in Role)
        star = " \\*" if permission in NODE_WIDE else ""
        lines.append(f"| `{permission}`{star} | {marks} |")
    lines += ["", "| permission | routes |", "|---|---|"]
    for permission in Permission:
        routes = [_route(*route) for route, needed in PERMISSION_OF.items() if needed is permission]
        lines.append(f"| `{permission}` | {' · '.join(routes)} |")
    lines.append(f"| none | {' · '.join(_route(*route) for route in sorted(OPEN))} |")
    return "\n".join(lines) + "\n"


def _route(method: str, rule: str) -> str:
    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)
    return f"`{method} {path}`"


def test_the_tables_are_those_of_the_code() -> None:
    text = PAGE.read_text()
    assert text.partition(BEGIN)[2].partition(END)[0] == tables()


def test_every_role_and_every_permission_is_explained() -> None:
    text = PAGE.read_text().partition(BEGIN)[0]
    explained = set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE))
    assert explained == {role.value for role in Role} | {permission.value for permission in Permission}
