"""`caxton cluster …`: who is there, whether the cluster is whole, drain and undrain any node, what cuts meant.

Owns these verbs. Must never judge a cluster itself: the node that is asked does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

from caxton.cli.adopt_verb import adopt
from caxton.cli.client import TIMEOUT_SECONDS, connect, segment
from caxton.cli.cluster_show import REPORTS, show_drained, show_members, show_status
from caxton.cli.failures import EXIT_FAILED
from caxton.cli.local import ask_router
from caxton.cli.render import emit_json, emit_page, note
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.values import Duration
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Named, Nothing

POLL_SECONDS: Final = 0.5
Ask = Callable[[], Any]
here_option = click.option(
    "--here", is_flag=True, help="Ask this host's node over its router's socket: needs no key, but the node's user."
)


@click.group()
def cluster() -> None:
    """See the cluster, and take nodes out of it and back."""


@cluster.command()
@here_option
@output_options
@pass_state
def members(state: State, here: bool) -> None:
    """List the nodes, as the one that is asked sees them."""
    with _asking(state, here, "cluster.nodes", "/cluster/nodes") as ask:
        show_members(state, ask())


cluster.add_command(members, "nodes")


@cluster.command()
@here_option
@click.option("--wait", type=Duration(), default="0s", help="How long to wait until the cluster is whole.")
@click.option("--without", metavar="NODE", help="Judge the others: what is wrong with this one does not count.")
@click.option("--about", metavar="NODE", help="Judge this one: what is wrong with others does not count.")
@output_options
@pass_state
def status(state: State, here: bool, wait: float, without: str | None, about: str | None) -> int:
    """Show the cluster; exit 1 unless it is whole.

    Whole: every expected node is there, reachable and active, all have the same registry, nothing waits for long.
    """
    deadline = time.monotonic() + wait
    with _asking(state, here, "cluster.status", "/cluster") as ask:
        view = _judged(ask(), without, about)
        while not view["whole"] and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            view = _judged(ask(), without, about)
    show_status(state, view)
    return 0 if view["whole"] else EXIT_FAILED


@cluster.command()
@click.argument("node")
@click.option(
    "--wait", "wait", type=Duration(), default="60s", show_default=True, help="How long what runs may take to end."
)
@output_options
@pass_state
def drain(state: State, node: str, wait: float) -> int:
    """Drain a node: it takes no new work, and hands over what lives there; exit 1 if something did not end."""
    with connect(state) as client:
        path = f"/cluster/nodes/{segment(node)}/drain"
        answer = client.post(path, {"wait_seconds": wait}, timeout=wait + TIMEOUT_SECONDS)
    if state.as_json:
        emit_json(answer)
    else:
        show_drained(state, answer, f"{node}: ")
    return EXIT_FAILED if answer["running"] or answer.get("kept") or not answer["drained"] else 0


@cluster.command()
@click.argument("node")
@output_options
@pass_state
def undrain(state: State, node: str) -> None:
    """Put a node back to work."""
    with connect(state) as client:
        client.post(f"/cluster/nodes/{segment(node)}/undrain")
    note(state, f"{node}: undrained")


@cluster.command()
@click.argument("node")
@click.option("--wait", type=Duration(), default="0s", help="How long to wait until it counts as gone.")
@output_options
@pass_state
def forget(state: State, node: str, wait: float) -> None:
    """Count a node that is gone for good as one that has left; asked of this host's node, it holds for all.

    The number of nodes that are expected stays: lower coordination.expected_nodes everywhere.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            ask_router(state, "cluster.forget", Named(node))
            break
        except CaxtonError as error:
            if error.code is not Code.CONFLICT or time.monotonic() >= deadline:
                raise
            time.sleep(POLL_SECONDS)
    note(state, f"{node}: forgotten, until it comes back")


cluster.add_command(adopt)


@cluster.command()
@here_option
@output_options
@pass_state
def report(state: State, here: bool) -> None:
    """List what each cut between the node that is asked and another meant, the latest first."""
    with _asking(state, here, "cluster.report", "/cluster/reports") as ask:
        emit_page(state, ask(), REPORTS)


def _judged(view: dict[str, Any], without: str | None, about: str | None) -> dict[str, Any]:
    """The verdict without the problems of some nodes; what is wrong with the whole (no majority) always counts."""
    there = {member["node_id"] for member in view["members"] if member["state"] != "left"}
    others_missing = len(there - {without}) < view["expected_nodes"] - (without is not None)

    def counts(problem: dict[str, Any]) -> bool:
        if (node := problem.get("node")) is not None:
            return node != without and about in (None, node)
        return problem["problem"] != "missing" or (about is None and others_missing)

    problems = [problem for problem in view["problems"] if counts(problem)]
    if about is not None and about not in there:
        problems.append({"problem": "missing", "node": about})
    return {**view, "problems": problems, "whole": not problems}


@contextmanager
def _asking(state: State, here: bool, op: str, path: str) -> Iterator[Ask]:
    """How to ask: over the router's socket, or over HTTP."""
    if here:
        yield lambda: ask_router(state, op, Nothing())
        return
    with connect(state) as client:
        yield lambda: client.get(path)
