"""What a run without a node shows: every answer as it comes, then what it cost against the limits.

Owns the text. Must never leave out a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click
import msgspec

from caxton.cli.failures import printable
from caxton.cli.render import cell, emit_line, emit_rows, note
from caxton.cli.state import State
from caxton.dev import Agent, Report
from caxton.protocol.agents import EffectiveLimits

COLUMNS: Final = {
    "MESSAGE": "message",
    "ENDED": "ended",
    "WALL": "wall",
    "CPU": "cpu",
    "FUEL": "fuel",
    "MEMORY": "memory",
    "OUTPUT": "output",
    "HOST CALLS": "calls",
}


def show_agent(state: State, agent: Agent) -> None:
    """What was taken, before its first message."""
    if state.as_json:
        emit_line({"agent": agent.name, "shape": agent.shape, "limits": agent.limits})
    else:
        note(state, f"{agent.name}, a {agent.shape}, runs on an executor of its own; no node")


def show_report(state: State, number: int, report: Report) -> None:
    """One message's answer, log and effects."""
    if state.as_json:
        usage = msgspec.structs.asdict(report.usage)
        emit_line({"message": number, **msgspec.to_builtins(report), "usage": usage})
        return
    answer = printable(report.content) if isinstance(report.content, str) else cell(report.content)
    click.echo(f"{number}  {report.ended}  {answer if report.content is not None else ''}".rstrip())
    if state.quiet:
        return
    for line in _details(report):
        click.echo(f"   {line}")


def show_costs(state: State, limits: EffectiveLimits, reports: Sequence[Report]) -> None:
    """The table of all messages, below the limits."""
    if state.as_json or state.quiet:
        return
    emit_rows(state, [_limits(limits), *(_row(number, one) for number, one in enumerate(reports, 1))], COLUMNS)


def _details(report: Report) -> list[str]:
    lines = [f"why  {cell(report.detail)}"] if report.detail else []
    lines += [f"at   {cell(line)}" for line in (report.backtrace or "").splitlines()]
    lines += [f"log  {cell(line)}" for line in report.log]
    if report.log_dropped:
        lines.append(f"log  {report.log_dropped} lines more than log_bytes allows, dropped")
    for one in report.passed:
        told = "was told UNAVAILABLE: it needs a node, try caxton serve" if one.waited else "not delivered: no node"
        verb = "asked" if one.waited else "sent"
        lines.append(f"{verb} {one.performative} to {cell(one.receiver)}: {cell(one.content)} ({told})")
    lines += [
        f"key  {cell(key)}: {'deleted' if size is None else f'{size} bytes'}" for key, size in report.stored.items()
    ]
    lines += [f"timer in {seconds:g} s (not run: no node)" for seconds in report.timers]
    return lines


def _row(number: int, report: Report) -> dict[str, Any]:
    usage = report.usage
    return {
        "message": number,
        "ended": report.ended,
        "wall": _seconds(usage.duration_seconds),
        "cpu": _seconds(usage.cpu_seconds),
        "fuel": usage.fuel,
        "memory": _bytes(usage.peak_memory_bytes),
        "output": _bytes(usage.output_bytes),
        "calls": usage.host_calls,
    }


def _limits(limits: EffectiveLimits) -> dict[str, Any]:
    return {
        "message": "limit",
        "ended": None,
        "wall": _seconds(limits.execution_timeout_seconds),
        "cpu": None if limits.cpu_time_seconds is None else _seconds(limits.cpu_time_seconds),
        "fuel": limits.fuel,
        "memory": _bytes(limits.memory_bytes),
        "output": _bytes(limits.output_bytes),
        "calls": limits.host_calls_per_execution,
    }


def _seconds(value: float) -> str:
    return f"{value:g} s" if value >= 1 else f"{value * 1000:.2f} ms"


def _bytes(value: int) -> str:
    for unit, size in (("MB", 1_000_000), ("KB", 1_000)):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 1_000 * size else f"{value // size} {unit}"
    return f"{value} B"
