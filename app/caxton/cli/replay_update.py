"""`caxton agent update --replay-last N`: what would change, before anything does.

Owns how the replays of both sides are summed up. Must never change anything on a node, nor hold more than one
recording at a time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from statistics import median
from typing import Final

import click

from caxton.cli.client import Client, connect, segment
from caxton.cli.failures import printable
from caxton.cli.interrupts import terminable
from caxton.cli.render import Progress, note, progress
from caxton.cli.replay_verb import fetch, told
from caxton.cli.state import State
from caxton.dev import desk
from caxton.dev.rehearsing import Update, rehearsed
from caxton.dev.replays import Replayed
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.recordings import Carried

PAGE: Final = 200
SHOWN: Final = 10


class Summary:
    """Of what was replayed: costs of all, and the first that differ."""

    def __init__(self) -> None:
        self.count = self.changed = 0
        self.shown: list[Replayed] = []
        self.skipped: list[str] = []
        self._seconds: list[tuple[float, float]] = []
        self._memory: list[tuple[float, float]] = []
        self._fuel: list[tuple[float, float]] = []

    def add(self, one: Replayed) -> None:
        """One execution, both sides of it."""
        self.count += 1
        self._seconds.append(one.seconds)
        self._memory.append(one.memory)
        if one.fuel[0] is not None and one.fuel[1] is not None:
            self._fuel.append((one.fuel[0], one.fuel[1]))
        if not one.same:
            self.changed += 1
            if len(self.shown) < SHOWN:
                self.shown.append(one)

    def lines(self) -> list[str]:
        """For people."""
        lines = [line for one in self.shown for line in told(one)]
        measured = (
            ("seconds", self._seconds, ".6f"),
            ("memory bytes", self._memory, ",.0f"),
            ("fuel", self._fuel, ",.0f"),
        )
        for what, pairs, form in measured:
            if pairs:
                before, after = ([pair[side] for pair in pairs] for side in (0, 1))
                median_, most = (f"{of(before):{form}} → {of(after):{form}}" for of in (median, max))
                lines.append(f"{what}: median {median_}, most {most}")
        return [*lines, *(f"not replayed: {why}" for why in self.skipped[:SHOWN])]


def rehearse(state: State, name: str, update: Update, count: int, *, accept: bool) -> None:
    """Runs the last `count` recorded executions as the agent was and as it would be. `CONFLICT` when what others see
    of one changes, and when none could be compared.
    """
    found = Summary()
    with terminable(), connect(state) as client, progress(state, f"replaying {name}") as show:
        asyncio.run(_run(state, _Source(client, name, count), update, found, show))
    if not found.count and not found.skipped:
        raise CaxtonError(Code.NOT_FOUND, f"nothing of {name!r} is recorded (`record = true`)", name=name)
    for line in found.lines():
        click.echo(printable(line), err=state.as_json or state.quiet)
    note(state, f"{found.count} executions replayed, {found.changed} would end otherwise")
    if not found.count and not accept:
        raise CaxtonError(
            Code.CONFLICT, "nothing could be compared; --accept-changes updates all the same", replayed=0
        )
    if found.changed and not accept:
        raise CaxtonError(
            Code.CONFLICT,
            f"{found.changed} of {found.count} executions would change; --accept-changes updates all the same",
            changed=found.changed,
            replayed=found.count,
        )


async def _run(state: State, source: _Source, update: Update, found: Summary, show: Progress) -> None:
    async with desk(state.config_file, os.environ) as at:
        async for carried in source.newest():
            old = await source.module_of(carried)
            try:
                found.add(await rehearsed(at, carried.execution, carried.recording, old, update))
            except CaxtonError as error:
                if error.code is not Code.CONFLICT:  # it left nothing to compare
                    raise
                found.skipped.append(error.message)
            show(source.passed / max(source.total, 1))


class _Source:
    """Recordings of an agent, one after the other; fetched beside the loop, for that has an executor to serve."""

    def __init__(self, client: Client, name: str, count: int) -> None:
        self._client, self._name, self._count = client, name, count
        self._modules: dict[str, bytes | None] = {}
        self.passed = self.total = 0

    async def newest(self) -> AsyncIterator[Carried]:
        """At most `count`, the newest first; those that made room for others meanwhile are left out."""
        executions = await asyncio.to_thread(self._executions)
        self.total = len(executions)
        for execution in executions:
            self.passed += 1
            try:
                yield await asyncio.to_thread(fetch, self._client, execution, module=False)
            except CaxtonError as error:
                if error.code is not Code.NOT_FOUND:
                    raise

    def _executions(self) -> list[str]:
        found: list[str] = []
        cursor = None
        while len(found) < self._count:
            limit = min(self._count - len(found), PAGE)
            page = self._client.get(f"/agents/{segment(self._name)}/recordings", limit=limit, cursor=cursor)
            found += [item["execution"] for item in page["items"]]
            cursor = page.get("next_cursor")
            if cursor is None:
                break
        return found

    async def module_of(self, carried: Carried) -> bytes | None:
        """The module that ran it, fetched once for each; None when the node has it no more."""
        sha256 = carried.recording.spec.module_sha256
        if sha256 not in self._modules:
            self._modules[sha256] = await asyncio.to_thread(self._module, carried.execution)
        return self._modules[sha256]

    def _module(self, execution: str) -> bytes | None:
        try:
            return fetch(self._client, execution).module
        except CaxtonError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            return None
