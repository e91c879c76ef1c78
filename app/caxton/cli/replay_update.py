"""`caxton agent update --replay-last N`: what would change, before anything does.

Owns how a new module's replays are summed up. Must never change anything on a node.
"""

from __future__ import annotations

import asyncio
import os
from statistics import median

from caxton.cli.client import connect, segment
from caxton.cli.interrupts import terminable
from caxton.cli.render import emit_rows, note
from caxton.cli.replay_verb import fetch, show_replayed
from caxton.cli.state import State
from caxton.dev import desk
from caxton.dev.replays import Replayed, replayed
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.recordings import Recording

PAGE = 200
SHOWN = 10
COLUMNS = {"WHAT": "what", "RECORDED": "recorded", "NEW": "new"}


def rehearse(state: State, name: str, module: bytes, count: int, *, accept: bool) -> None:
    """Runs the last `count` recorded executions with `module`. `CONFLICT` when what others see of one changes."""
    with terminable():
        found = asyncio.run(_run(state, _recordings(state, name, count), module))
    if not found:
        raise CaxtonError(Code.NOT_FOUND, f"nothing of {name!r} is recorded (`record = true`)", name=name)
    changed = [one for one in found if not one.same]
    for one in changed[:SHOWN]:
        show_replayed(one)
    if not state.as_json:
        emit_rows(state, _costs(found), COLUMNS)
    note(state, f"{len(found)} executions replayed, {len(changed)} would end otherwise")
    if changed and not accept:
        raise CaxtonError(
            Code.CONFLICT,
            f"{len(changed)} of {len(found)} replies would change; --accept-changes updates all the same",
            changed=len(changed),
            replayed=len(found),
        )


def _recordings(state: State, name: str, count: int) -> list[tuple[str, Recording]]:
    found: list[tuple[str, Recording]] = []
    cursor = None
    with connect(state) as client:
        while len(found) < count:
            page = client.get(
                f"/agents/{segment(name)}/recordings", limit=min(count - len(found), PAGE), cursor=cursor
            )
            for item in page["items"]:
                try:
                    carried = fetch(client, item["execution"], module=False)
                except CaxtonError as error:
                    if error.code is not Code.NOT_FOUND:  # newer ones took its place meanwhile
                        raise
                else:
                    found.append((carried.execution, carried.recording))
            cursor = page.get("next_cursor")
            if cursor is None:
                break
    return found


async def _run(state: State, recordings: list[tuple[str, Recording]], module: bytes) -> list[Replayed]:
    if not recordings:
        return []
    async with desk(state.config_file, os.environ) as at:
        return [await replayed(at, execution, recording, module) for execution, recording in recordings]


def _costs(found: list[Replayed]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {"what": "seconds, median", **_pair([one.seconds for one in found])},
        {"what": "memory, median bytes", **_pair([(float(a), float(b)) for a, b in (one.memory for one in found)])},
    ]
    fuel = [(float(one.fuel[0]), float(one.fuel[1])) for one in found if one.fuel[0] and one.fuel[1]]
    if fuel:
        rows.append({"what": "fuel, median", **_pair(fuel)})
    return rows


def _pair(values: list[tuple[float, float]]) -> dict[str, object]:
    return {"recorded": median(before for before, _ in values), "new": median(after for _, after in values)}
