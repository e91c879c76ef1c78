"""`caxton backup drill`: proves that the newest backup restores, by doing it beside the node.

Owns the scratch node's configuration and what it must show. Must never touch the node's own data, let a restored
message run, or open a port.

The router of the scratch node starts alone and is paused before there is an executor; then every agent of the
backup is started once, with its own module, and stopped again; with all of them stopped scheduling goes on, and a
probe agent takes one durable message through mailbox, execution and commit.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from caxton.backup import files, layout, probe, status
from caxton.backup.faults import refusals
from caxton.backup.restore import Restored, restore
from caxton.backup.state import reserve_of
from caxton.config import Config
from caxton.config.sections import KEYS, value_of
from caxton.protocol.agents import AgentConfig
from caxton.protocol.backup_status import Drill, Status
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Delivery, Message, Performative
from caxton.protocol.operations import Deploy, Invoke, Named, Nothing, Stop
from caxton.store import db_upgrade

SOCKET_ROOM: Final = 90
"""Bytes that the path of the run directory may have: a socket's whole path has at most 107."""
READY_SECONDS: Final = 60.0
CALL_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.05
_LOG_LINES: Final = 20


class Processes(Protocol):
    """A scratch node's router and executor."""

    def start(self, name: str) -> None:
        """Starts `router` or `executor`."""

    def require_alive(self) -> None:
        """`RESTORE_FAILED` when one of them ended."""


Boot = Callable[[Config, Path], AbstractContextManager[Processes]]
"""From a configuration and its file to processes that are gone at the end."""
Ask = Callable[[Path, str, msgspec.Struct, float], Any]
"""One operation on a router: socket, name, arguments, seconds to wait; its result as plain data."""


def drill(config: Config, directory: Path, boot: Boot, ask: Ask) -> Drill:
    """Runs the drill and notes it in `status.json`. `RESTORE_FAILED` or what else went wrong."""
    started, at, source = time.monotonic(), time.time(), None
    try:
        with refusals(Code.RESTORE_FAILED, f"run the drill in {directory}"):
            source = _newest(directory)
            files.sweep(directory)
            with files.work_directory(directory) as work:
                agents, proof = _drill(config, source, work, boot, ask)
    except CaxtonError as error:
        name = source.name if source else None
        failure = Drill(at, time.monotonic() - started, name, code=error.code.value, reason=error.message)
        _note(directory, failure)
        raise
    found = Drill(at, time.monotonic() - started, source.name, agents, proof)
    _note(directory, found)
    return found


def _note(directory: Path, found: Drill) -> None:
    def change(old: Status) -> Status:
        succeeded = found if found.code is None else old.drill_succeeded
        return msgspec.structs.replace(old, drill=found, drill_succeeded=succeeded)

    if directory.is_dir():
        with refusals(Code.RESTORE_FAILED, f"note the drill in {directory}"):
            status.update(directory, change)


def _newest(directory: Path) -> Path:
    """The newest backup of the state that no verification found wanting."""
    checked = status.read(directory).checked
    for entry in layout.entries(directory, layout.STATE):
        check = checked.get(entry.path.name)
        if check is None or check.fault is None:
            return entry.path
    raise CaxtonError(Code.RESTORE_FAILED, f"{directory} holds no backup of the state", path=str(directory))


def _drill(config: Config, source: Path, work: Path, boot: Boot, ask: Ask) -> tuple[int, str]:
    """How many agents were started, and the probe's answer."""
    with tempfile.TemporaryDirectory(prefix="cx") as short:
        run = work / "run" if len(str(work / "run")) < SOCKET_ROOM else Path(short)
        scratch = scratch_config(config, work, run)
        restored = restore(scratch, source, paused=True, reserve=reserve_of(config, work.parent))
        db_upgrade(scratch.paths.database)  # one that is older than this release would be upgraded too
        file = work / "drill.toml"
        file.write_text(as_toml(scratch))
        with boot(scratch, file) as processes:
            node = _Node(processes, lambda op, args, seconds: ask(scratch.paths.router_socket, op, args, seconds))
            try:
                return _prove(node, restored)
            except CaxtonError as error:
                raise _with_log(error, work / "log") from error


def _prove(node: _Node, restored: Restored) -> tuple[int, str]:
    node.processes.start("router")
    node.until_answers()
    node.ask("node.pause", Nothing())
    before = node.ask("ledger", Nothing())["node"]
    _require(before["imbalance"] == 0, f"the ledger of the restored node is out of balance by {before['imbalance']}")
    node.processes.start("executor")
    node.until_executor()
    for name, state in restored.agents.items():
        if state == "quarantined":  # it would take a message for its probe
            node.ask("agent.stop", Stop(name, 0.0))
    started = [name for name, state in restored.agents.items() if state == "running" and _start_once(node, name)]
    proof = _run_probe(node)
    after = node.ask("ledger", Nothing())["node"]
    _require(after["imbalance"] == 0, f"after the probe the ledger is out of balance by {after['imbalance']}")
    _require(after["done"] == before["done"] + 1, "more was executed than the probe's message")
    return len(started), proof


def _start_once(node: _Node, name: str) -> bool:
    """Its module is compiled and its instance initialised, as on a start of the node; then it stops again.

    False for one that has directories of the host: the drill must not reach them.
    """
    node.ask("agent.stop", Stop(name, 0.0))
    if node.ask("agent.get", Named(name))["grants"]["dirs"]:
        return False
    try:
        node.ask("agent.start", Named(name))
    except CaxtonError as error:
        raise CaxtonError(
            Code.RESTORE_FAILED, f"the restored agent {name} does not start: {error.message}", agent=name
        ) from error
    node.ask("agent.stop", Stop(name, 0.0))
    return True


def _run_probe(node: _Node) -> str:
    """One durable message through a node on which nothing else runs."""
    name, token = f"{probe.NAME}-{secrets.token_hex(4)}", secrets.token_hex(16)
    node.ask("agent.deploy", Deploy(AgentConfig(name=name), probe.MODULE, CALL_SECONDS))
    node.ask("node.resume", Nothing())
    message = Message(
        message_id=new_id(),
        performative=Performative.REQUEST.value,
        sender="client:restore-drill",
        receiver=name,
        content=msgspec.json.encode(token),
        conversation_id=new_id(),
    )
    answer = node.ask("invoke", Invoke(message, READY_SECONDS, Delivery.DURABLE))
    content = (answer.get("reply") or {}).get("content")
    _require(
        isinstance(content, dict) and content.get("content") == token,
        "the probe agent did not answer what it was sent",
    )
    return token


class _Node:
    """Asks the scratch node; a process that has ended is the error then."""

    def __init__(self, processes: Processes, ask: Callable[[str, msgspec.Struct, float], Any]) -> None:
        self.processes = processes
        self._ask = ask

    def ask(self, op: str, args: msgspec.Struct) -> Any:
        """One operation."""
        try:
            return self._ask(op, args, CALL_SECONDS)
        except CaxtonError as error:
            if error.code is Code.UNREACHABLE:
                self.processes.require_alive()
            raise

    def until_answers(self) -> dict[str, Any]:
        """Waits for the router."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            self.processes.require_alive()
            try:
                answer: dict[str, Any] = self._ask("ready", Nothing(), CALL_SECONDS)
                return answer
            except CaxtonError as error:
                if error.code is not Code.UNREACHABLE or time.monotonic() > deadline:
                    raise
            time.sleep(_POLL_SECONDS)

    def until_executor(self) -> None:
        """Waits until executions are possible."""
        deadline = time.monotonic() + READY_SECONDS
        while "executor" in self.until_answers()["reasons"]:
            _require(time.monotonic() < deadline, f"the executor was not ready within {READY_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)


def scratch_config(config: Config, work: Path, run: Path) -> Config:
    """The node's configuration, with everything that reaches outside replaced."""
    loopback = "127.0.0.1:1"
    return dataclasses.replace(
        config,
        runtime=dataclasses.replace(config.runtime, executor_workers=1, max_agents=1_000_000, shareable_dirs=()),
        networking=dataclasses.replace(
            config.networking,
            bind_address=loopback,
            metrics_address="127.0.0.1:2",
            admin_address="127.0.0.1:3",
            tls_enabled=False,
        ),
        coordination=dataclasses.replace(
            config.coordination, local_state_path=str(work / "data" / "local.db"), cluster_enabled=False
        ),
        messaging=dataclasses.replace(config.messaging, low_disk_bytes=0, queue_size=100_000_000),
        observability=dataclasses.replace(
            config.observability, log_file=str(work / "log"), log_format="text", enable_tracing=False
        ),
        security=dataclasses.replace(config.security, auth_enabled=False, jwt_secret=None),
        run_dir=str(run),
        executor_run_dir=str(run),
    )


def as_toml(config: Config) -> str:
    """A configuration as a file; secrets are not in it."""
    lines, section = [], ""
    for key, kind in KEYS.items():
        value = value_of(config, key)
        if value is None or kind.secret:
            continue
        if key.split(".")[0] != section:
            section = key.split(".")[0]
            lines.append(f"[{section}]")
        lines.append(f"{key.split('.')[1]} = {json.dumps(kind.show(value))}")
    return "\n".join(lines) + "\n"


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CaxtonError(Code.RESTORE_FAILED, otherwise)


def _with_log(error: CaxtonError, log: Path) -> CaxtonError:
    """The error, with what the scratch node said last."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    except OSError:
        lines = []
    return CaxtonError(error.code, error.message, **error.details, log=lines)
