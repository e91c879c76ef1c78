"""`caxton agent …`: everything about agents but the call of one, and their versions.

Owns the verbs of agents. Must never know how a node keeps them.
"""

from __future__ import annotations

from typing import Any

import click
import msgspec

from caxton.cli.agent_lists import executions, history, http_calls, recordings, schedules
from caxton.cli.agent_use import invoke, logs
from caxton.cli.client import connect, segment
from caxton.cli.deployment import assemble, config_options, deploy, read_config
from caxton.cli.render import emit_json, emit_one, emit_page, note, progress
from caxton.cli.sign_verbs import keygen, read_signature, sign, signature_option
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.validation import inspect
from caxton.cli.values import Duration, read_file
from caxton.cli.version_verbs import rollback, rollout, update, versions

COLUMNS = {
    "NAME": "name",
    "STATUS": "status",
    "SHAPE": "shape",
    "VERSION": "version",
    "PENDING": "counters.pending",
    "DONE": "counters.done",
    "DEAD": "counters.dead",
    "DEPLOYED": "deployed_at",
}
DETAILS = {
    "name": "name",
    "id": "agent_id",
    "status": "status",
    "reason": "status_reason",
    "next probe": "quarantine.probe_at",
    "shape": "shape",
    "instance": "instance",
    "version": "version",
    "rollout": "rollout",
    "node": "node",
    "module": "module_sha256",
    "module bytes": "module_bytes",
    "signed by": "signed_by",
    "capabilities": "capabilities",
    "counters": "counters",
    "resources": "resources",
    "limits": "limits",
    "grants": "grants",
    "deployed": "deployed_at",
}
MODULE = {"shape": "shape", "sha256": "sha256", "bytes": "size_bytes", "functions": "function_count"}
MODULE |= {"memory min": "memory_min_bytes", "memory max": "memory_max_bytes", "compiled in": "compile_seconds"}
MODULE |= {"exports": "exports", "imports": "imports"}


@click.group()
def agent() -> None:
    """Deploy and use agents."""


_LISTS = (schedules, http_calls, executions, recordings, history)
for verb in (invoke, logs, *_LISTS, update, rollback, rollout, versions, keygen, sign):
    agent.add_command(verb)


@agent.command("deploy")
@click.argument("file")
@click.option("--name", help="The agent's name (default: the file's).")
@signature_option
@config_options
@output_options
@pass_state
def deploy_verb(state: State, file: str, config_file: str | None, signature_file: str | None, **options: Any) -> None:
    """Deploy FILE (.wasm or .wat) and wait until it runs."""
    config = assemble(file, read_config(config_file), options)
    module, signature = read_file(file), read_signature(file, signature_file)
    with connect(state) as client, progress(state, f"deploying {config['name']}") as show:
        made = deploy(client, config, module, show, signature)
    if state.as_json:
        emit_json(made)
    elif state.quiet:
        click.echo(made["name"])
    else:
        emit_one(
            state, made, {key: DETAILS[key] for key in ("name", "status", "shape", "version", "module", "deployed")}
        )
        note(state, f"try: caxton agent invoke {made['name']} '\"hello\"'")


@agent.command("list")
@click.option("--status", type=click.Choice(["deploying", "running", "draining", "stopped", "failed", "quarantined"]))
@click.option("--capability", help="Only agents that offer it.")
@click.option("--limit", type=click.IntRange(1, 200), default=200, show_default=True)
@output_options
@pass_state
def list_verb(state: State, **query: Any) -> None:
    """List agents."""
    with connect(state) as client:
        page = client.get("/agents", **query)
    emit_page(state, page, COLUMNS)


@agent.command()
@click.argument("name")
@output_options
@pass_state
def show(state: State, name: str) -> None:
    """Show one agent."""
    with connect(state) as client:
        emit_one(state, client.get(f"/agents/{segment(name)}"), DETAILS)


@agent.command()
@click.argument("name")
@click.option("--grace", type=Duration(), default=30.0, help="How long running work may take to end (30s).")
@output_options
@pass_state
def stop(state: State, name: str, grace: float) -> None:
    """Drain an agent, then stop it; its mailbox keeps what is pending."""
    with connect(state) as client:
        path, body = f"/agents/{segment(name)}/stop", {"grace_period_seconds": grace}
        _changed(state, client.post(path, body, timeout=grace + 60))


@agent.command()
@click.argument("name")
@output_options
@pass_state
def start(state: State, name: str) -> None:
    """Start a stopped agent."""
    with connect(state) as client:
        _changed(state, client.post(f"/agents/{segment(name)}/start"))


@agent.command()
@click.argument("name")
@click.option("--purge", is_flag=True, help="Throw its messages away instead of keeping them as dead letters.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_options
@pass_state
def remove(state: State, name: str, purge: bool, yes: bool) -> None:
    """Remove an agent; its mailbox becomes dead letters."""
    if purge and not yes:
        click.confirm(f"throw away the messages of {name} for good?", abort=True, err=True)
    with connect(state) as client:
        answer = client.delete(f"/agents/{segment(name)}", purge=purge)
    if state.as_json:
        emit_json(answer)
    else:
        fate = "thrown away" if purge else "now dead letters"
        note(state, f"{name} is removed, {answer['count']} messages {fate}")


@agent.command()
@click.argument("file")
@click.option("--config-file", help="agent.toml or agent.json: profile, state and limits count.")
@click.option("--file", "node_file", type=click.Path(), help="The node's TOML file: its limits and features count.")
@output_options
@pass_state
def validate(state: State, file: str, config_file: str | None, node_file: str | None) -> None:
    """Inspect FILE as a deployment would, in the same jail, without a node."""
    found = inspect(state, read_file(file), read_config(config_file), node_file)
    emit_one(state, msgspec.to_builtins(found), MODULE)


def _changed(state: State, made: dict[str, Any]) -> None:
    if state.as_json:
        emit_json(made)
    else:
        note(state, f"{made['name']} is {made['status']}")
