"""Drop-ins as text.

Owns the syntax of unit files, quoting included. Must never read or write a file.
"""

from __future__ import annotations

from typing import Final

from caxton.systemd.limits import API, EXECUTOR, GOSSIP, ROUTER, SOCKET, UnitSettings

DROP_IN: Final = "50-settings.conf"
_HEAD: Final = "# Made from production.toml by `caxton unit-settings`: a change here is lost at the next start.\n"
LIMITED: Final = "CAXTON_UNIT_SETTINGS"
"""The executor's unit runs nothing without this variable, which it has from the same file as its limits."""
Lines = dict[str, list[str]]
"""Settings by section."""


def drop_ins(made: UnitSettings) -> dict[str, str]:
    """The text of every drop-in by unit."""
    units: dict[str, Lines] = {
        API: {"Service": [f"LimitNOFILE={made.api_files}", f"TasksMax={made.api_tasks}"]},
        SOCKET: {"Socket": _socket(made)},
        EXECUTOR: {"Service": _executor(made)},
    }
    if made.shared:  # it looks whether a granted directory exists
        _service(units, ROUTER).extend(f"BindReadOnlyPaths={_bound(path)}" for path in made.shared)
    if made.gossip is not None:
        _service(units, GOSSIP).append(f"BindPaths={_bound(made.gossip)}")
    for unit, paths in made.writable.items():
        _service(units, unit).extend(f"ReadWritePaths={_word(path)}" for path in paths)
    return {unit: _text(sections) for unit, sections in sorted(units.items())}


def _service(units: dict[str, Lines], unit: str) -> list[str]:
    return units.setdefault(unit, {"Service": []})["Service"]


def _socket(made: UnitSettings) -> list[str]:
    # the empty line first: what the shipped unit listens on is replaced, not added to
    lines = ["ListenStream=", f"ListenStream={made.listen}", f"Backlog={made.backlog}"]
    return [*lines, "FreeBind=yes"] if made.free_bind else lines


def _executor(made: UnitSettings) -> list[str]:
    return [
        f"Environment={LIMITED}=yes",
        f"CPUQuota={max(1, round(made.cpu_cores * 100))}%",
        # No MemoryHigh=: it slows every agent down to reclaim what nothing can reclaim. The router ends idle
        # instances from memory_pressure_threshold on; beyond the limit the kernel ends one worker, not the unit.
        f"MemoryMax={made.memory_bytes}",
        "OOMPolicy=continue",
        f"TasksMax={made.executor_tasks}",
        # only interpreted code does without memory that was written and is then executed
        *(["MemoryDenyWriteExecute=yes"] if made.no_new_code else []),
        *(f"BindPaths={_bound(path)}" for path in made.shared),
    ]


def _bound(path: str) -> str:
    """A path to bind; a colon would end it."""
    return _word(path).replace(":", "\\:")


def _word(path: str) -> str:
    """A path as one quoted word; `-`: a directory that is missing does not keep the unit from starting."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"-{escaped}"'


def _text(sections: Lines) -> str:
    parts = ["\n".join([f"[{section}]", *lines]) for section, lines in sections.items()]
    return _HEAD + "\n".join(parts) + "\n"
