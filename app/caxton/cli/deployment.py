"""A deployment from files and options, and the wait for it.

Owns how the parts become one configuration. Must never look into a module: the node does.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from caxton.cli.client import PREFIX, Client, decoded
from caxton.cli.render import Progress
from caxton.cli.values import limit, merge_grants, pairs, read_file
from caxton.protocol.errors import CaxtonError, Code, ErrorBody

POLL_SECONDS: Final = 0.2
DEPLOY_SECONDS: Final = 300.0
"""Upload and answer; compilation goes on as a job."""


_OPTIONS: Final = (
    click.option("--config-file", help="agent.toml or agent.json with the fields of a deployment."),
    click.option("--shape", type=click.Choice(["command", "reactor"]), help="Default: what the exports say."),
    click.option("--instance", type=click.Choice(["persistent", "per_message"])),
    click.option(
        "--state", "memory_state", type=click.Choice(["memory", "snapshot"]), help="snapshot: memory survives."
    ),
    click.option("--profile", type=click.Choice(["standard", "deterministic", "threads"])),
    click.option(
        "--record/--no-record", default=None, help="Whether executions can be replayed. Default: deterministic ones."
    ),
    click.option("--max-concurrency", type=click.IntRange(1, 1024)),
    click.option("--grant", "grants", multiple=True, help="scratch, kv=no, send=a*,b, dir=HOST:GUEST[:rw] …"),
    click.option("--limit", "limits", multiple=True, help="memory=64MB, execution_timeout=5s, fuel=100000 …"),
    click.option("--arg", "args", multiple=True, help="An argument of a command agent."),
    click.option("--env", "env", multiple=True, help="KEY=VALUE of the agent's environment."),
    click.option("--set", "settings", multiple=True, help="KEY=VALUE of the agent's config table."),
    click.option("--capability", "capabilities", multiple=True),
)
Verb = TypeVar("Verb", bound=Callable[..., Any])


def config_options(verb: Verb) -> Verb:
    """The options that make up a configuration, for every verb that sends one."""
    for option in reversed(_OPTIONS):
        verb = option(verb)
    return verb


def read_config(path: str | None) -> dict[str, Any]:
    """The table of an agent.toml or agent.json; empty without one."""
    if path is None:
        return {}
    data = read_file(path)
    try:
        found = msgspec.json.decode(data) if path.endswith(".json") else tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # DecodeError and TOMLDecodeError are ValueErrors
        raise click.UsageError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise click.UsageError(f"{path}: expected a table with the agent's configuration")
    return found


def assemble(file: str, config: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The `config` part of POST /agents: the file's, the options on top; named after the module by default."""
    made = dict(config)
    for key in ("name", "shape", "instance", "profile", "record", "max_concurrency"):
        if options.get(key) is not None:
            made[key] = options[key]
    if options.get("memory_state") is not None:  # `state` is the command's own
        made["state"] = options["memory_state"]
    made.setdefault("name", Path(file).name.split(".")[0].lower().replace("_", "-"))
    if options["limits"]:
        made["limits"] = {**made.get("limits", {}), **dict(map(limit, options["limits"]))}
    if options["grants"]:
        made["grants"] = dict(made.get("grants", {}))
        merge_grants(options["grants"], made["grants"])
    if options["args"]:
        made["args"] = [*made.get("args", []), *options["args"]]
    if options["capabilities"]:
        made["capabilities"] = [*made.get("capabilities", []), *options["capabilities"]]
    if options["env"]:
        made["env"] = {**made.get("env", {}), **pairs(options["env"])}
    if options["settings"]:
        made["config"] = {**made.get("config", {}), **pairs(options["settings"], as_json=True)}
    return made


def deploy(
    client: Client, config: dict[str, Any], module: bytes, show: Progress, signature: str | None = None
) -> dict[str, Any]:
    """Uploads, waits for the job if there is one; answers the agent that runs."""
    files: dict[str, Any] = {
        "wasm": ("module", module, "application/wasm"),
        "config": (None, msgspec.json.encode(config)),
    }
    files |= signature_part(signature)
    response = client.send("POST", "/agents", files=files, timeout=DEPLOY_SECONDS)
    answer: dict[str, Any] = decoded(response)
    if response.status_code != 202:
        return answer
    wait_for(client, answer, show)
    shown: dict[str, Any] = client.get(f"/agents/{config['name']}")
    return shown


def signature_part(text: str | None) -> dict[str, Any]:
    """The part of a multipart body that carries a signature; none without one."""
    return {} if text is None else {"signature": (None, text.encode())}


def wait_for(client: Client, job: dict[str, Any], show: Progress) -> dict[str, Any]:
    """Follows a job to its end; its error is raised."""
    path = f"/jobs/{job['job_id']}"
    try:
        while job["state"] in ("queued", "running"):
            show(float(job.get("progress", 0.0)))
            time.sleep(POLL_SECONDS)
            job = client.get(path)
    except KeyboardInterrupt:
        click.echo(f"it goes on without us: GET {client.target.url}{PREFIX}{path}", err=True)
        raise
    if job["state"] == "failed":
        fallback = {"code": Code.INTERNAL_ERROR, "message": "the job failed without a reason"}
        raise CaxtonError.from_body(msgspec.convert(job.get("error", fallback), ErrorBody))
    return job
