"""Small modules, small functions, and a docstring that says what a module owns and must never do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[2] / "app"
MODULES = sorted((APP / "caxton").rglob("*.py"))
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_VIEW_LINES = 15


def name_of(path: Path) -> str:
    return str(path.relative_to(APP))


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, the docstring not counted."""
    first = node.body[0]
    documented = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - docstring


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_small_and_says_what_it_owns(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_MODULE_LINES
    docstring = ast.get_docstring(ast.parse(text)) or ""
    assert "never" in docstring.lower(), "say what the module must never do"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_small(path: Path) -> None:
    long = {node.name: length(node) for node in functions(path) if length(node) > MAX_FUNCTION_LINES}
    assert not long


@pytest.mark.parametrize("path", sorted((APP / "caxton" / "api").glob("*.py")), ids=name_of)
def test_views_are_thin(path: Path) -> None:
    def is_view(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
        calls = [one.func for one in node.decorator_list if isinstance(one, ast.Call)]
        return any(
            isinstance(one, ast.Attribute) and one.attr in {"get", "post", "put", "delete", "route"} for one in calls
        )

    assert not {
        node.name: length(node) for node in functions(path) if is_view(node) and length(node) > MAX_VIEW_LINES
    }


def test_ignores_have_their_reason() -> None:
    bare = [
        f"{name_of(path)}:{number}"
        for path in MODULES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if ("type: ignore" in line or "noqa" in line)
        and not any(len(part.strip()) > 7 for part in line.split("#")[2:])
    ]
    assert not bare
