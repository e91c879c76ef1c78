"""`caxton audit`: lists, checks and exports what is on this host; other commands leave their records there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from caxton.audit.log import Log
from caxton.audit.record import Draft
from caxton.protocol.audit import Phase
from caxton.store import datalock
from support.audit_files import SOMEBODY, files, make_audit, records, rewrite
from support.backup_world import World, fill, make_world
from support.served_node import ServedNode, run_cli

STRANGE = "\x1b]0;title\x07\x1b[2Jname\u202e\nsecond"


def listed(directory: Path, *options: str) -> list[dict[str, Any]]:
    done = run_cli("audit", "list", "--directory", str(directory), "--output", "json", *options)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_a_terminal_is_never_driven_by_a_record(tmp_path: Path) -> None:
    actor = type(SOMEBODY)(STRANGE, "admin", None, "none", STRANGE)
    log = Log(tmp_path, "node")
    log.append([Draft("agent.stop", Phase.EVENT, actor, STRANGE, "ok", {STRANGE: STRANGE})])
    log.close()
    for form in ("table", "json"):
        done = run_cli("audit", "list", "--directory", str(tmp_path), "--output", form)
        assert done.returncode == 0
        assert all(char.isprintable() or char == "\n" for char in done.stdout)
        assert "name" in done.stdout
    [file] = files(tmp_path)
    file.write_bytes(file.read_bytes().replace(b"name", b"\x1b[2J"))
    done = run_cli("audit", "verify", "--directory", str(tmp_path))
    assert done.returncode == 1
    assert all(char.isprintable() or char == "\n" for char in done.stdout + done.stderr)


def test_lists_go_on_with_the_number_they_end_with(tmp_path: Path) -> None:
    make_audit(tmp_path, 30, file_bytes=3_000)
    assert [record["seq"] for record in listed(tmp_path, "--limit", "12")] == list(range(30, 18, -1))
    assert [record["seq"] for record in listed(tmp_path, "--limit", "3", "--before", "19")] == [18, 17, 16]
    assert listed(tmp_path, "--target", "team/agent-7", "--action", "agent.*")[0]["seq"] == 8
    assert listed(tmp_path, "--until", "2020-01-01") == []
    assert run_cli("audit", "list", "--directory", str(tmp_path), "--since", "soon").returncode == 2


def test_what_began_and_did_not_end_is_unfinished(tmp_path: Path) -> None:
    log = Log(tmp_path, "node")
    log.append([Draft("agent.stop", Phase.BEGUN, SOMEBODY, "a")])
    log.close()
    assert "unfinished" in run_cli("audit", "list", "--directory", str(tmp_path)).stdout


def test_verify_says_where_it_breaks(tmp_path: Path) -> None:
    made = make_audit(tmp_path, 9)
    good, bad = f"4:{made[3].hash}", f"4:{'0' * 64}"
    arguments = ("audit", "verify", "--directory", str(tmp_path))
    assert run_cli(*arguments, "--anchor", good).returncode == 0
    assert run_cli(*arguments, "--anchor", bad).returncode == 1
    assert run_cli(*arguments, "--anchor", "4").returncode == 2
    rewrite(files(tmp_path)[0], lambda lines: lines[:5] + lines[6:])
    done = run_cli(*arguments, "--output", "json")
    [fault] = json.loads(done.stdout)["faults"]
    assert (done.returncode, fault["kind"], fault["file"], fault["line"]) == (1, "missing", "000001.jsonl", 6)


def test_verify_takes_the_heads_out_of_a_log(tmp_path: Path) -> None:
    made = make_audit(tmp_path / "audit", 9)
    journal = tmp_path / "journal"
    journal.write_text(
        f'{{"message":"audit head 3:{made[2].hash}"}}\nnoise 5:{"0" * 64}\n'
        f"warning router: audit head 9:{made[8].hash}\n"
    )
    arguments = ("audit", "verify", "--directory", str(tmp_path / "audit"), "--anchors", str(journal))
    done = run_cli(*arguments, "--output", "json")
    assert (done.returncode, json.loads(done.stdout)["anchors"]) == (0, 2)
    rewrite(files(tmp_path / "audit")[0], lambda lines: lines[:-1])
    (tmp_path / "audit" / "head").unlink()
    assert run_cli("audit", "verify", "--directory", str(tmp_path / "audit")).returncode == 0
    assert run_cli(*arguments).returncode == 1


def test_an_export_is_checked_by_itself_and_by_its_audit(tmp_path: Path) -> None:
    make_audit(tmp_path / "audit", 20, file_bytes=3_000)
    where, file = ("--directory", str(tmp_path / "audit")), tmp_path / "some.jsonl"
    assert run_cli("audit", "export", *where, "--from", "5", "--to", "9", "--file", str(file)).returncode == 0
    proof = json.loads((tmp_path / "some.jsonl.proof.json").read_text())
    anchor = f"{proof['last']['seq']}:{proof['last']['hash']}"
    assert run_cli("audit", "verify", str(file), "--anchor", anchor).returncode == 0
    assert run_cli("audit", "verify", *where, "--anchor", anchor).returncode == 0
    assert run_cli("audit", "export", *where, "--file", str(file)).returncode == 1  # never over another
    assert len(run_cli("audit", "export", *where, "--format", "csv").stdout.splitlines()) == 21
    rewrite(file, lambda lines: [line.replace(b"agent-6", b"agent-0") for line in lines])
    assert run_cli("audit", "verify", str(file)).returncode == 1


def test_where_there_is_none(tmp_path: Path) -> None:
    done = run_cli("audit", "list", "--directory", str(tmp_path / "nothing"))
    assert (done.returncode, "NOT_FOUND" in done.stderr) == (1, True)


# ---- what other commands leave ---------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A stopped node with something in it, and a secret to sign with."""
    made = make_world(tmp_path, security={"auth_enabled": True, "jwt_secret": "Vq1bTz9rW3kLmXs7YpGh2NdFc8JaEu5R"})
    fill(made)
    return made


def last(world: World) -> dict[str, Any]:
    return listed(world.data / "audit", "--limit", "1")[0]


def test_on_a_stopped_node_a_command_writes_its_record_itself(world: World) -> None:
    run = ("--config", str(world.file))
    done = run_cli(*run, "token", "create", "--subject", "ci", "--role", "viewer", "--ttl", "60s", "--output", "json")
    token = json.loads(done.stdout)["token"]
    assert (last(world)["action"], last(world)["target"]) == ("token.create", "ci")
    assert run_cli(*run, "backup", "state").returncode == 0
    assert last(world)["action"] == "backup.state"
    assert run_cli(*run, "backup", "config").returncode == 0
    assert last(world)["action"] == "backup.config"
    before = records(world.data / "audit")
    assert run_cli(*run, "restore", "latest", "--yes").returncode == 0
    assert (last(world)["action"], last(world)["outcome"]) == ("node.restore", "ok")
    assert records(world.data / "audit")[: len(before)] == before  # a restore takes nothing back
    assert run_cli(*run, "restore", str(world.file), "--yes").returncode == 1
    assert (last(world)["action"], last(world)["outcome"]) == ("node.restore", "BACKUP_INVALID")
    assert run_cli(*run, "audit", "verify").returncode == 0
    assert token.encode() not in b"".join(path.read_bytes() for path in files(world.data / "audit"))


def test_the_audit_is_in_the_configurations_backup(world: World, tmp_path: Path) -> None:
    run = ("--config", str(world.file))
    make_audit(world.data / "audit", 30, file_bytes=3_000)
    made = json.loads(run_cli(*run, "backup", "config", "--output", "json").stdout)
    assert "audit/000001.jsonl" in made["files"]
    assert run_cli(*run, "backup", "verify", "latest").returncode == 0
    subprocess.run(["tar", "--extract", "--one-top-level=unpacked", "--file", made["file"]], cwd=tmp_path, check=True)
    found = run_cli(
        "audit", "verify", "--directory", str(tmp_path / "unpacked" / "config" / "audit"), "--output", "json"
    )
    assert (found.returncode, json.loads(found.stdout)["records"]) == (0, 30)


def test_what_cannot_be_recorded_is_said_and_the_work_is_done(world: World) -> None:
    run = ("--config", str(world.file))
    with datalock.hold(world.data):  # a node that does not answer
        done = run_cli(*run, "token", "create", "--subject", "ci", "--role", "viewer")
    assert done.returncode == 0
    assert "not in the audit" in done.stderr
    assert not (world.data / "audit").exists()


def test_beside_a_node_the_router_writes(node: ServedNode) -> None:
    assert node.cli("backup", "state", "--directory", str(node.directory / "aside")).returncode == 0
    found = json.loads(node.cli("audit", "list", "--limit", "1", "--output", "json").stdout)[0]
    assert found["action"] == "backup.state"
    assert found["actor"]["subject"].startswith("local:")
    assert node.cli("audit", "verify").returncode == 0
