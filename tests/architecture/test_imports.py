"""The arrows between packages point one way, and dangerous libraries stay in their rooms."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CAXTON = Path(__file__).resolve().parents[2] / "app" / "caxton"

MAY_IMPORT = {
    "protocol": set(),
    "config": {"protocol.errors"},  # the one exception root; nothing else of ours
    "telemetry": {"protocol", "config"},
    "provenance": {"protocol"},
    "store": {"protocol", "config"},
    "audit": {"protocol", "telemetry"},
    "executor": {"protocol", "config", "telemetry"},
    "router": {"protocol", "config", "telemetry", "store", "provenance", "audit", "cluster"},
    "api": {"protocol", "config", "telemetry"},
    "cluster": {"protocol", "config", "telemetry"},
    "backup": {"protocol", "config", "store", "telemetry", "audit"},
    "serve": {"protocol", "config", "telemetry"},
    "systemd": {"protocol", "config"},
    "doctor": {"protocol", "config", "store", "audit"},
    "selftest": {"protocol"},
    "dev": {"protocol", "config", "router", "serve"},  # the executor as a node starts it and as its router uses it
    "cli": {
        "serve",
        "doctor",
        "systemd",
        "protocol",
        "config",
        "telemetry",
        "store",
        "router",
        "api",
        "executor",
        "backup",
        "audit",
        "selftest",
        "dev",
        "provenance",
        "cluster",
    },
}
ONLY_IN = {
    "wasmtime": {"executor"},
    "cffi": {"executor"},
    "ctypes": {"executor", "serve", "doctor"},  # serve: PR_SET_PDEATHSIG for its children; doctor: adjtimex
    "peewee": {"store"},
    "playhouse": {"store"},
    "sqlite3": {"store"},
    "flask": {"api"},
    "werkzeug": {"api"},
    "gevent": {"api"},
    "asyncio": {"router", "executor", "cluster", "cli", "dev"},
    "httpx": {"cli"},
    "httpcore": {"router"},
    "opentelemetry": {"telemetry"},
    "click": {"cli"},
    "rich": {"cli"},
    "jwt": {"api", "cli"},
    "websockets": {"api"},
}


def modules() -> list[Path]:
    return sorted(CAXTON.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Dotted names of everything that a module imports, also inside functions and TYPE_CHECKING blocks."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room_of(path: Path) -> str:
    return path.relative_to(CAXTON).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(CAXTON)))
def test_arrows_point_one_way(path: Path) -> None:
    room = room_of(path)
    if room in {"__init__", "__main__"}:
        return
    allowed = MAY_IMPORT[room] | {room}
    ours = {name.removeprefix("caxton.") for name in imported(path) if name.startswith("caxton.")} - {"__version__"}
    wrong = {name for name in ours if not any(name == one or name.startswith(one + ".") for one in allowed)}
    assert not wrong


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(CAXTON)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    room = room_of(path)
    top = {name.split(".")[0] for name in imported(path)}
    assert not {name for name in top if room not in ONLY_IN.get(name, {room})}


def test_every_room_is_known() -> None:
    assert {path.name for path in CAXTON.iterdir() if (path / "__init__.py").exists()} == set(MAY_IMPORT)
