"""`caxton replay`: a recorded execution, run again on this machine.

Owns the verb and how a replay is shown. Must never change anything on a node.
"""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path
from typing import Any

import click
import msgspec

from caxton.cli.client import Client, connect, segment
from caxton.cli.failures import EXIT_FAILED, printable
from caxton.cli.interrupts import terminable
from caxton.cli.private_files import write_private
from caxton.cli.render import emit_json, note
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.values import read_file
from caxton.dev import desk
from caxton.dev.replays import Replayed, replayed
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import is_uuid
from caxton.protocol.recordings import MAX_FILE_BYTES, Carried, read_carried, unpack, write_carried


@click.command()
@click.argument("execution")
@click.option("--module", "module_file", help="Another module (.wasm or .wat) instead of the recorded one.")
@click.option("--save", type=click.Path(path_type=Path), help="Write recording and module to a file; replay nothing.")
@click.option("--file", "node_file", type=click.Path(path_type=Path), help="A node's TOML file: its limits count.")
@output_options
@pass_state
def replay(state: State, execution: str, module_file: str | None, save: Path | None, node_file: Path | None) -> int:
    """Run EXECUTION again: an id as `caxton agent recordings` shows it, a message's (its last one), or a file.

    A file is what --save wrote.

    It runs on this machine, in an executor of its own, and does nothing: what it asks for is answered from the
    recording, what it sends goes nowhere. Exit 1 when it did not do the same.
    """
    carried = _carried(state, execution)
    if save is not None:
        write_private(save, write_carried(carried))
        note(state, f"{save}: {carried.execution}, to be replayed anywhere with `caxton replay {save}`")
        return 0
    module = carried.module if module_file is None else read_file(module_file)

    async def once() -> Replayed:
        async with desk(node_file or state.config_file, os.environ) as at:
            return await replayed(at, carried.execution, carried.recording, module)

    with terminable():
        found = asyncio.run(once())
    if state.as_json:
        emit_json(found)
    else:
        for line in told(found):
            click.echo(printable(line))
    return 0 if found.same else EXIT_FAILED


def _carried(state: State, execution: str) -> Carried:
    file = Path(execution)
    if file.is_file():
        return read_carried(_bytes(file))
    with connect(state) as client:
        return fetch(client, _last(client, execution) if is_uuid(execution) else execution)


def _bytes(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MAX_FILE_BYTES + 1)


def _last(client: Client, message_id: str) -> str:
    """The last execution of a message; `NOT_FOUND` when none of it is known."""
    message = client.get(f"/messages/{segment(message_id)}")
    known = [*message.get("executions", ()), *([message["execution"]["id"]] if message.get("execution") else ())]
    if not known:
        raise CaxtonError(
            Code.NOT_FOUND, f"no execution of the message {message_id} is known", state=message["state"]
        )
    return str(known[-1])


def fetch(client: Client, execution: str, *, module: bool = True) -> Carried:
    """The recording from a node; `NOT_FOUND` when it or its module is not there any more."""
    query: dict[str, Any] = {} if module else {"module": "false"}
    answer = client.get(f"/executions/{segment(execution)}/recording", **query)
    if module and answer["module"] is None:
        raise CaxtonError(Code.NOT_FOUND, "the node has no longer the module that it ran; give it with --module")
    recording = unpack(base64.b64decode(answer["recording"]))
    return Carried(execution, recording, base64.b64decode(answer["module"] or ""))


def told(found: Replayed) -> list[str]:
    """For people, line by line."""
    verdict = "the same" if found.same else "NOT the same"
    lines = [f"{found.execution}  {found.agent} version {found.version}: {verdict}"]
    if found.host_call is not None:
        lines.append(f"  host call {found.host_call} differs")
        lines += [f"    recorded  {found.recorded_call or 'no further call'}"]
        lines += [f"    replayed  {found.replayed_call or 'no further call'}"]
    for one in found.differences:
        lines += [f"  {one.what}", f"    recorded  {_shown(one.recorded)}", f"    replayed  {_shown(one.replayed)}"]
    lines.append(f"  seconds {found.seconds[0]:.6f} → {found.seconds[1]:.6f}")
    if found.fuel[0] is not None:
        lines.append(f"  fuel    {found.fuel[0]} → {found.fuel[1]}")
    lines.append(f"  memory  {found.memory[0]} → {found.memory[1]} bytes")
    return lines + [f"  note: {remark}" for remark in found.remarks]


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()
