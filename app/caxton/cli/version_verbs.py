"""`caxton agent update|rollback|rollout|versions`.

Owns these verbs. Must never change more of a configuration than was asked for: what the options do not name is the
node's, and a change in between is refused.
"""

from __future__ import annotations

from typing import Any

import click
import msgspec

from caxton.cli.client import Client, connect, decoded, segment
from caxton.cli.deployment import DEPLOY_SECONDS, assemble, config_options, read_config, signature_part, wait_for
from caxton.cli.render import emit_json, emit_one, emit_rows, note, progress
from caxton.cli.sign_verbs import read_signature, signature_option
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.values import Duration, read_file

COLUMNS = {
    "VERSION": "version",
    "STATE": "state",
    "DEPLOYED": "deployed_at",
    "PROFILE": "profile",
    "BYTES": "module_bytes",
    "MODULE": "module_sha256",
    "SIGNED BY": "signed_by",
    "REASON": "reason",
}
ROLLOUT = {
    "strategy": "strategy",
    "state": "state",
    "from version": "from_version",
    "to version": "to_version",
    "started": "started_at",
    "ended": "ended_at",
    "reason": "reason",
    "canary": "canary",
    "blue_green": "blue_green",
    "new version": "new",
    "old version": "old",
}
CANARY = ("percent", "min_executions", "max_error_rate", "max_latency_ratio", "duration_seconds")


@click.command()
@click.argument("name")
@click.argument("file", required=False)
@signature_option
@config_options
@click.option("--strategy", type=click.Choice(["rolling", "canary", "blue_green"]), default="rolling")
@click.option("--percent", type=click.FloatRange(0, 100, min_open=True), help="canary: share of the conversations.")
@click.option("--min-executions", type=click.IntRange(1), help="canary: nothing is decided before these.")
@click.option("--max-error-rate", type=click.FloatRange(0, 1), help="canary: taken back above it.")
@click.option("--max-latency-ratio", type=click.FloatRange(1), help="canary: median against the old version's.")
@click.option("--duration", "duration_seconds", type=Duration(), help="canary: promoted after it.")
@click.option(
    "--replay-last",
    type=click.IntRange(1, 1_000),
    help="First run so many recorded executions as it was and as it would be, here and without effect; "
    "stop when what others see would change.",
)
@click.option("--accept-changes", is_flag=True, help="--replay-last: go on all the same.")
@click.option("--keep", "keep_seconds", type=Duration(), help="blue_green: how long the old version stays warm.")
@output_options
@pass_state
def update(
    state: State, name: str, file: str | None, config_file: str | None, signature_file: str | None, **options: Any
) -> None:
    """Make a new version of NAME: a module FILE (.wasm or .wat), options, or both."""
    module = read_file(file) if file is not None else None
    rollout = _rollout(options)
    with connect(state) as client:
        before = client.get(f"/agents/{segment(name)}")
    base = {**before["config"], **read_config(config_file)}
    wanted = assemble(name, _without_named_lists(base, options), options)
    change = {key: value for key, value in wanted.items() if before["config"].get(key) != value}
    _rehearse(state, before, wanted, module, options)
    with connect(state) as client, progress(state, f"updating {name}") as show:
        parts = signature_part(read_signature(file, signature_file))
        if module is not None:
            parts["wasm"] = ("module", module, "application/wasm")
        made = _put(client, before, parts, {**change, **rollout}, show)
    _changed(state, made)


@click.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="Default: the one before.")
@output_options
@pass_state
def rollback(state: State, name: str, version: int | None) -> None:
    """Go back to an earlier version, module and configuration."""
    with connect(state) as client:
        body = {} if version is None else {"version": version}
        _changed(state, client.post(f"/agents/{segment(name)}/rollback", body))


@click.command()
@click.argument("name")
@output_options
@pass_state
def versions(state: State, name: str) -> None:
    """List the kept versions of an agent, newest first."""
    with connect(state) as client:
        emit_rows(state, client.get(f"/agents/{segment(name)}/versions")["items"], COLUMNS)


@click.command()
@click.argument("name")
@click.argument("action", type=click.Choice(["promote", "abort"]), required=False)
@output_options
@pass_state
def rollout(state: State, name: str, action: str | None) -> None:
    """Show the latest rollout with two versions up, or end it: promote or abort."""
    path = f"/agents/{segment(name)}/rollout"
    with connect(state) as client:
        if action is not None:
            _changed(state, client.post(path, {"action": action}))
        else:
            emit_one(state, client.get(path), ROLLOUT)


def _rehearse(
    state: State, before: dict[str, Any], wanted: dict[str, Any], module: bytes | None, options: dict[str, Any]
) -> None:
    """What the agent as it would be makes of what it was asked; `CONFLICT` when it answers otherwise."""
    if options["replay_last"] is None:
        return
    from caxton.cli.replay_update import rehearse  # it brings an executor with it
    from caxton.dev.rehearsing import Update

    made = Update(before, wanted, module)
    rehearse(state, before["name"], made, options["replay_last"], accept=options["accept_changes"])


def _rollout(options: dict[str, Any]) -> dict[str, Any]:
    """What the body says about the rollout; an option of another strategy is a usage error."""
    canary = {key: options[key] for key in CANARY if options[key] is not None}
    blue_green = {} if options["keep_seconds"] is None else {"keep_seconds": options["keep_seconds"]}
    strategy = options["strategy"]
    for wanted, given in (("canary", canary), ("blue_green", blue_green)):
        if given and strategy != wanted:
            raise click.UsageError(f"{', '.join(sorted(given))}: only with --strategy {wanted}")
    found: dict[str, Any] = {"strategy": strategy}
    return found | ({"canary": canary} if canary else {}) | ({"blue_green": blue_green} if blue_green else {})


def _without_named_lists(base: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Lists that an option names are replaced, not added to: `--grant send=billing` must be able to narrow."""
    named = {text.partition("=")[0] for text in options["grants"]}
    gone = {"dirs" if name == "dir" else name for name in named}
    grants = {key: value for key, value in base.get("grants", {}).items() if key not in gone}
    return {key: value for key, value in base.items() if not options.get(key)} | {"grants": grants}


def _put(client: Client, before: dict[str, Any], parts: dict[str, Any], config: dict[str, Any], show: Any) -> Any:
    path = f"/agents/{segment(before['name'])}"
    files = {"config": (None, msgspec.json.encode(config)), **parts}
    headers = {"If-Match": f'"{before["etag"]}"'}
    response = client.send("PUT", path, files=files, headers=headers, timeout=DEPLOY_SECONDS)
    if response.status_code != 202:
        return decoded(response)
    wait_for(client, decoded(response), show)
    return client.get(path)


def _changed(state: State, made: dict[str, Any]) -> None:
    if state.as_json:
        emit_json(made)
        return
    going = made.get("rollout")
    note(state, f"{made['name']} is {made['status']}, version {made['version']}")
    if going is not None:
        note(state, f"{going['strategy']}: version {going['to_version']} beside {going['from_version']}")
