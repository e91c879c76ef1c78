"""`caxton plan …`: which agents would move, and what waits for them, before members change.

Owns these verbs. Must never move anything.
"""

from __future__ import annotations

from typing import Any

import click

from caxton.cli.client import connect
from caxton.cli.cluster_show import MOVES
from caxton.cli.cluster_verbs import here_option
from caxton.cli.local import ask_router
from caxton.cli.render import emit_json, emit_page, note
from caxton.cli.state import State, output_options, pass_state
from caxton.protocol.cluster_moves import Plan


@click.group()
def plan() -> None:
    """Say which agents would move, before a drain or a change of members."""


@plan.command()
@click.argument("node")
@here_option
@output_options
@pass_state
def drain(state: State, node: str, here: bool) -> None:
    """What moves when NODE is drained."""
    _show(state, Plan(without=[node]), here)


@plan.command()
@click.argument("node")
@here_option
@output_options
@pass_state
def remove(state: State, node: str, here: bool) -> None:
    """What moves when NODE is removed: as with a drain, for good."""
    _show(state, Plan(without=[node]), here)


@plan.command()
@click.argument("nodes", nargs=-1, required=True)
@here_option
@output_options
@pass_state
def add(state: State, nodes: tuple[str, ...], here: bool) -> None:
    """What moves when nodes of these names are added."""
    _show(state, Plan(added=list(nodes)), here)


def _show(state: State, asked: Plan, here: bool) -> None:
    if here:
        view = ask_router(state, "cluster.plan", asked)
    else:
        with connect(state) as client:
            view = client.get("/cluster/plan", without=_list(asked.without), added=_list(asked.added))
    if state.as_json:
        emit_json(view)
        return
    moves = view["moves"]
    emit_page(state, {"items": [{"stateful": False, **move} for move in moves]}, MOVES)
    note(state, _words(view, moves))


def _words(view: dict[str, Any], moves: list[dict[str, Any]]) -> str:
    homes = sum(bool(move.get("stateful")) and "why" not in move for move in moves)
    waiting = sum(move.get("waiting", 0) for move in moves)
    running = sum(move.get("in_flight", 0) for move in moves)
    words = [
        f"{len(moves)} agents, {homes} of them with their state; {waiting} messages wait, {running} are in flight"
    ]
    if stays := [move["agent"] for move in moves if "why" in move]:
        words.append(f"{len(stays)} would stay where they are: {', '.join(stays[:5])}")
    if view["unknown"]:
        words.append(f"not counted, for they did not answer: {', '.join(view['unknown'])}")
    if not view["majority"]:
        words.append("there is no majority now: nothing would move")
    return "\n".join(words)


def _list(nodes: list[str]) -> str | None:
    return ",".join(nodes) or None
