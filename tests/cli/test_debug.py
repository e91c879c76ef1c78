"""`caxton debug`: of a running, a quarantined and a removed agent; and its archives, opened."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caxton.cli.debug_archive import Manifest
from caxton.cli.debug_story import MAX_PARTS, read
from support.served_node import ServedNode, until

SECRET = "sesame, open"
TRAPS = """(module (memory (export "memory") 1)
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 1024))
 (func $culprit (unreachable))
 (func (export "handle_message") (param i32 i32) (result i32) (call $culprit) (i32.const 0)))"""


def deployed(node: ServedNode, name: str, *, record: bool) -> str:
    """An agent that traps with a name in its backtrace, and is quarantined for it. Its sender knows its secrets."""
    supervision = {"dead_letters": 1, "senders": 1, "pause_seconds": 3_600}
    secrets = {"API_TOKEN": SECRET, "PASSWORD": "true", "PIN_TOKEN": "1000", "PRIVATE": "*****"}
    config = {"record": record, "supervision": supervision, "env": secrets}
    file, options = node.write(f"{name}.wat", TRAPS), node.write(f"{name}.json", msgspec.json.encode(config).decode())
    assert node.cli("agent", "deploy", file, "--config-file", options).returncode == 0
    content = msgspec.json.encode({"say": SECRET, "sure": True, "times": 1000}).decode()
    assert node.cli("message", "send", name, content).returncode == 0
    until(lambda: node.json("agent", "show", name)["status"] == "quarantined", "quarantine")
    return name


@pytest.fixture(scope="module")
def recorded(node: ServedNode) -> str:
    return deployed(node, "recorded", record=True)


@pytest.fixture(scope="module")
def broken(node: ServedNode) -> str:
    return deployed(node, "broken", record=False)


def collected(node: ServedNode, agent: str, *, gone: bool = False) -> tuple[Path, dict[str, Any], dict[str, str]]:
    """The archive, its JSON parts, and what is missing in it. Of one that is `gone` nobody knows what was secret."""
    file = node.directory / "collected.tar.gz"
    done = node.cli("debug", "--agent-id", agent, "--output", str(file))
    assert (done.returncode, done.stdout.strip()) == (0, str(file)), done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    manifest, parts = read(file)
    assert sorted(parts) == manifest.parts
    assert gone or not [name for name, data in parts.items() if SECRET.encode() in data]
    found = {name: msgspec.json.decode(data) for name, data in parts.items() if name.endswith(".json")}
    return file, found | {"metrics.txt": parts.get("metrics.txt")}, manifest.missing


def statuses(parts: dict[str, Any]) -> list[str]:
    return [one["status"] for one in parts["history.json"]["items"]]


def test_of_a_running_agent_by_its_id_with_its_node(node: ServedNode, echo: str) -> None:
    node.json("agent", "invoke", echo, "1")
    agent = node.json("agent", "show", echo)
    file, parts, missing = collected(node, agent["agent_id"])
    assert missing == {}
    assert (parts["agent.json"]["name"], parts["agent.json"]["status"], statuses(parts)[0]) == (
        echo,
        "running",
        "running",
    )
    assert {"versions.json", "mailbox.json", "executions.json", "ledger.json", "keys.json", "log.json"} < set(parts)
    facts = parts["node.json"]
    assert facts["versions"].keys() >= {"router", "executor", "python", "wasmtime", "sqlite"}
    assert facts["memory_bytes"] > facts["memory_available_bytes"] > 0
    assert facts["disk_bytes"] > facts["disk_free_bytes"] > 0
    origins = {one["key"]: one["origin"] for one in parts["config.json"]}
    assert origins["runtime.executor_workers"].startswith("environment")
    assert parts["figures.json"]["agents"]["running"] >= 1
    assert f'caxton_agent_messages{{agent="{echo}",state="done"}} 1.0' in parts["metrics.txt"].decode()
    shown = node.cli("debug", "open", str(file), "history.json")
    assert msgspec.json.decode(shown.stdout) == parts["history.json"]
    assert node.cli("debug", "open", str(file), "nothing.json").returncode == 1


def test_the_history_of_one_that_was_stopped_says_so(node: ServedNode, echo: str) -> None:
    for verb in ("stop", "start"):
        node.json("agent", verb, echo)
    steps = [(one["status"], one.get("reason")) for one in node.json("agent", "history", echo)][:3]
    stopped = "an operator stopped it"
    assert steps == [("running", None), ("stopped", stopped), ("draining", stopped)]


def test_of_a_quarantined_agent_with_its_trap_though_nothing_was_recorded(node: ServedNode, broken: str) -> None:
    file, parts, _ = collected(node, broken)
    assert statuses(parts)[:2] == ["quarantined", "running"]
    assert "dead letters" in parts["history.json"]["items"][0]["reason"]
    (trap,) = parts["traps.json"]
    assert "culprit" in trap["attempts"][0]["backtrace"]
    assert trap["executions"] == [one["id"] for one in parts["executions.json"]["items"]]
    shown = node.cli("debug", "open", str(file)).stdout
    assert ("quarantined" in shown, "culprit" in shown) == (True, True)


def test_a_recorded_trap_is_carried_away_and_replayed(node: ServedNode, recorded: str) -> None:
    file, parts, _ = collected(node, recorded)
    (execution,) = [one["id"] for one in parts["executions.json"]["items"]]
    part, target = f"recordings/{execution}", node.directory / "carried.rec"
    assert "culprit" in parts[f"{part}.json"]["ended"]["backtrace"]
    assert node.cli("debug", "open", str(file), f"{part}.rec", "--output", str(target)).returncode == 0
    assert target.stat().st_mode & 0o777 == 0o600
    # Built again: the memory that the recorded one went on from may hold what is masked, and is left out.
    module = node.write("again.wat", f"{TRAPS} ;; the same")
    done = node.cli("replay", str(target), "--module", module, "--output", "json", timeout=120.0)
    assert done.returncode == 0, done.stderr
    assert msgspec.json.decode(done.stdout)["execution"] == execution


def test_of_an_agent_that_is_gone_what_it_left(node: ServedNode, broken: str) -> None:
    agent_id = node.json("agent", "show", broken)["agent_id"]
    assert node.cli("agent", "remove", broken, "-y").returncode == 0
    for called in (broken, agent_id):
        _, parts, missing = collected(node, called, gone=True)
        assert "agent.json" in missing
        assert statuses(parts)[0] == "removed"
        assert "quarantined" in statuses(parts)
        assert len(parts["dead_letters.json"]["items"]) == 1
        assert "culprit" in parts["traps.json"][0]["attempts"][0]["backtrace"]
    assert [one["status"] for one in node.json("agent", "history", broken)] == statuses(parts)


def test_of_an_agent_that_never_was_there_is_nothing(node: ServedNode) -> None:
    file = node.directory / "never.tar.gz"
    done = node.cli("debug", "--agent-id", "never", "--output", str(file))
    assert (done.returncode, "AGENT_NOT_FOUND" in done.stderr, file.exists()) == (1, True, False)


def archive(path: Path, parts: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as made:
        for name, data in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    return str(path)


def folder(*, size: int = 0) -> bytes:
    """A directory's entry."""
    entry = tarfile.TarInfo("folder")
    entry.type, entry.size = tarfile.DIRTYPE, size
    return entry.tobuf(tarfile.GNU_FORMAT)


def with_entries(file: Path, entries: bytes, headers: dict[str, str] | None = None) -> str:
    """A sound archive, with `entries` before its manifest and `headers` of that."""
    entry = tarfile.TarInfo("manifest.json")
    data = msgspec.json.encode(Manifest("a", "n", "1", 1.0, [], {}))
    entry.size, entry.pax_headers = len(data), headers or {}
    body = entry.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)
    file.write_bytes(gzip.compress(entries + body + bytes(tarfile.RECORDSIZE), 1))
    return str(file)


def test_what_is_no_archive_is_refused(node: ServedNode, tmp_path: Path) -> None:
    def whole(file: str, **parts: bytes) -> str:
        named = {name.replace("_", "."): data for name, data in parts.items()}
        manifest = msgspec.json.encode(Manifest("a", "n", "1", 1.0, sorted(named), {}))
        return archive(tmp_path / file, {"manifest.json": manifest, **named})

    wrong = [
        node.write("no.tar.gz", "nothing"),
        archive(tmp_path / "empty.tar.gz", {}),
        archive(tmp_path / "manifest.tar.gz", {"manifest.json": b"[" * 100_000}),
        whole("history.tar.gz", history_json=b'{"items":[7]}'),
        whole("node.tar.gz", node_json=b"{}"),
        whole("many.tar.gz", **{f"part{number}": b"" for number in range(MAX_PARTS + 1)}),
        with_entries(tmp_path / "headers.tar.gz", b"", {"comment": "x" * 50_000_000}),
        with_entries(tmp_path / "negative.tar.gz", folder(size=-(1 << 40))),
        with_entries(tmp_path / "folders.tar.gz", folder() * (MAX_PARTS + 1)),
    ]
    assert node.cli("debug", "open", with_entries(tmp_path / "right.tar.gz", folder())).returncode == 0
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "many.tar.gz").read_bytes()[:500])
    for file in [*wrong, str(tmp_path / "cut.tar.gz")]:
        done = node.cli("debug", "open", file)
        assert (done.returncode, done.stderr.startswith("error: "), "INVALID_REQUEST" in done.stderr) == (
            1,
            True,
            True,
        )
    assert node.cli("debug").returncode == 2
