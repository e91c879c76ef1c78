"""`caxton debug`: everything that a node knows of one agent, as one file; and that file, read.

Owns the verb. Must never change anything on a node.
"""

from __future__ import annotations

import tarfile
import time
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from caxton.cli.client import Client, connect
from caxton.cli.debug_archive import MANIFEST, RECORDINGS, Manifest, Parts, gather, write
from caxton.cli.failures import printable
from caxton.cli.render import note
from caxton.cli.state import State, output_options, pass_state
from caxton.protocol.errors import CaxtonError, Code

_MAX_BYTES: Final = 1 << 30
_SHOWN: Final = 10


_OPTIONS: Final = (
    click.option("--agent-id", "agent", help="Name or id of the agent."),
    click.option("--to", "file", type=click.Path(path_type=Path), help="Default: caxton-debug-AGENT-TIME.tar.gz."),
)


def _archive_options(verb: Any) -> Any:  # click's decorators have no narrower type
    for option in reversed(_OPTIONS):
        verb = option(verb)
    return verb


@click.group(invoke_without_command=True)
@_archive_options
@output_options
@pass_state
def debug(state: State, agent: str | None, file: Path | None) -> None:
    """Collect what the node knows of one agent: `caxton debug --agent-id ID`, then `caxton debug open FILE`.

    Configuration, versions, history, mailbox, ledger, executions, recordings, log, traps. What sounds like a secret
    is masked; messages and keys are in it as they are.
    """
    if click.get_current_context().invoked_subcommand is None:
        _collect(state, agent, file)


@debug.command()
@_archive_options
@output_options
@pass_state
def collect(state: State, agent: str | None, file: Path | None) -> None:
    """The same as without a verb."""
    _collect(state, agent, file)


def _collect(state: State, agent: str | None, file: Path | None) -> None:
    if agent is None:
        raise click.UsageError("--agent-id: which agent?")
    with connect(state) as client:
        name = _name(client, agent)
        manifest, parts = gather(client, name)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(manifest.at))
    target = file or Path(f"caxton-debug-{name.replace('/', '-')}-{stamp}.tar.gz")
    target.touch(mode=0o600)
    target.write_bytes(write(manifest, parts))
    for part, why in manifest.missing.items():
        note(state, f"not in it: {part}: {why}")
    click.echo(printable(str(target)))


@debug.command("open")
@click.argument("file", type=click.Path(path_type=Path, exists=True))
def open_file(file: Path) -> None:
    """Show what matters of an archive: state, last executions, traps, the end of the log."""
    manifest, parts = read(file)
    for line in _story(manifest, parts):
        click.echo(printable(line))


def read(file: Path) -> tuple[Manifest, Parts]:
    """An archive's contents; `INVALID_REQUEST` for any other file. Nothing of it is written anywhere."""
    try:
        with tarfile.open(file, "r:gz") as archive:
            members = [entry for entry in archive.getmembers() if entry.isfile()]
            if sum(entry.size for entry in members) > _MAX_BYTES:
                raise CaxtonError(Code.INVALID_REQUEST, f"{file} is too large", limit_bytes=_MAX_BYTES)
            parts = {entry.name: held.read() for entry in members if (held := archive.extractfile(entry)) is not None}
        return msgspec.json.decode(parts.pop(MANIFEST), type=Manifest), parts
    except (tarfile.TarError, OSError, EOFError, KeyError, msgspec.MsgspecError) as problem:
        raise CaxtonError(Code.INVALID_REQUEST, f"{file} is no archive of `caxton debug`: {problem}") from None


def _name(client: Client, agent: str) -> str:
    """Its name: as given, or that of the agent with this id. One that is gone keeps what it is called."""
    cursor = None
    while True:
        page = client.get("/agents", limit=200, cursor=cursor)
        for item in page["items"]:
            if item["agent_id"] == agent:
                return str(item["name"])
        cursor = page.get("next_cursor")
        if cursor is None:
            return agent


def _story(manifest: Manifest, parts: Parts) -> list[str]:
    about = _json(parts, "agent.json") or {}
    lines = [f"{manifest.agent} on {manifest.node}, {time.strftime('%F %TZ', time.gmtime(manifest.at))}"]
    for key in ("status", "status_reason", "version", "module_sha256", "quarantine", "counters"):
        if about.get(key) is not None:
            lines.append(f"  {key}  {_text(about[key])}")
    lines += [f"  not in it: {part}: {why}" for part, why in manifest.missing.items()]
    lines += _section("history", parts, ("at", "actor", "action", "outcome"))
    lines += _section("executions", parts, ("at", "id", "status", "code", "duration_seconds", "message_id"))
    lines += _section("dead_letters", parts, ("message_id", "sender", "dead_code", "attempts"))
    for name in sorted(part for part in parts if part.startswith(RECORDINGS) and part.endswith(".json")):
        ended = _json(parts, name)["ended"]
        if ended["status"] == "error":
            lines += [f"trap in {name}: {ended['code']}: {ended['detail']}", *(ended["backtrace"] or "").splitlines()]
    return lines + _section("log", parts, ("at", "stream", "text"))


def _section(name: str, parts: Parts, keys: tuple[str, ...]) -> list[str]:
    items = (_json(parts, f"{name}.json") or {}).get("items", [])
    if not items:
        return []
    newest = items[-_SHOWN:] if name == "log" else items[:_SHOWN]
    shown = [" ".join(_text(item[key]) for key in keys if item.get(key) is not None) for item in newest]
    return [f"{name}: {len(items)}", *(f"  {line}" for line in shown)]


def _json(parts: Parts, name: str) -> Any:
    return msgspec.json.decode(parts[name]) if name in parts else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
