"""`caxton doctor` on real nodes, well and unwell."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from caxton.config import load
from caxton.doctor import EXAMINATIONS, Patient, Status, backups, examine, log_file, permissions, worst
from caxton.store import SCHEMA_VERSION
from support.collector import Collector, running_collector
from support.served_node import ECHO, SOURCE, TRAP, ServedNode, free_ports, run_cli, until

SECRET = "Vq1bTz9rW3kLmXs7YpGh2NdFc8JaEu5R"


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running_collector(tmp_path_factory.mktemp("collector")) as running:
        yield running


@pytest.fixture(scope="module")
def node(collector: Collector) -> Iterator[ServedNode]:
    served = ServedNode(
        CAXTON_OBSERVABILITY__ENABLE_TRACING="true",
        CAXTON_OBSERVABILITY__TRACE_SAMPLE_RATE="1",
        CAXTON_OBSERVABILITY__OTLP_ENDPOINT=collector.endpoint,
        CAXTON_OBSERVABILITY__OTLP_TIMEOUT="1s",
        CAXTON_MESSAGING__RETRY_DELAY="0s",
        CAXTON_MESSAGING__MAX_DELIVERIES="1",
    )
    served.environ["CAXTON_BACKUP__DIRECTORY"] = str(served.directory / "backups")
    try:
        yield served.start()
    finally:
        served.close()


def examined(node: ServedNode, *checks: str, **environ: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The exit code, and findings by name; of `checks` or of all."""
    chosen = [word for check in checks for word in ("--check", check)]
    done = run_cli("doctor", *chosen, "--output", "json", env={**node.environ, **environ})
    answer = json.loads(done.stdout)
    found: dict[str, list[dict[str, Any]]] = {}
    for check in answer["checks"]:
        found.setdefault(check["name"], []).append(check)
    statuses = [check["status"] for checks in found.values() for check in checks]
    assert answer["status"] == next(one for one in ("fail", "warn", "ok") if one in statuses)
    return done.returncode, found


def statuses(found: dict[str, list[dict[str, Any]]], name: str) -> list[str]:
    return [check["status"] for check in found[name]]


def test_a_healthy_node_passes(node: ServedNode) -> None:
    code, found = examined(node)
    assert code == 0
    assert not [check for checks in found.values() for check in checks if check["status"] == "fail"]
    well = ("router", "ready", "probe", "schema", "ports", "ledger", "disk", "maintenance", "permissions", "metrics")
    for name in (*well, "agents", "dead letters", "cluster", "traces", "spans", "log file", "recordings"):
        assert statuses(found, name) == ["ok"], found[name]
    for component in ("api", "router", "executor"):
        assert statuses(found, f"version of {component}") == ["ok"]
    assert statuses(found, "backup") == statuses(found, "restore drill") == ["warn"]
    assert {"configuration", "units", "clock"} <= set(found)
    table = node.cli("doctor")
    assert table.returncode == 0
    assert "probe" in table.stdout


def test_one_check_by_its_name(node: ServedNode) -> None:
    assert node.cli("doctor", "--list", "-q").stdout.split("\n")[:-1] == list(EXAMINATIONS)
    assert set(examined(node, "log file", "clock")[1]) == {"log file", "clock"}
    assert node.cli("doctor", "--check", "nothing").returncode == 2


def test_metrics_of_somebody_else_are_none(node: ServedNode, collector: Collector) -> None:
    (nobody,) = free_ports(1)
    for address in (urlsplit(collector.endpoint).netloc, f"127.0.0.1:{nobody}"):
        code, found = examined(node, "metrics", CAXTON_NETWORKING__METRICS_ADDRESS=address)
        assert (code, statuses(found, "metrics")) == (1, ["fail"]), found
    assert statuses(examined(node, "metrics", CAXTON_OBSERVABILITY__ENABLE_METRICS="false")[1], "metrics") == ["ok"]


def test_a_collector_that_refuses_or_is_away_is_told_and_so_are_lost_spans(
    node: ServedNode, collector: Collector
) -> None:
    collector.answer(503)
    found = examined(node, "traces")[1]
    assert (statuses(found, "traces"), "503" in found["traces"][0]["detail"]) == (["warn"], True)

    def lost() -> bool:
        assert node.cli("ledger").returncode == 0
        return statuses(examined(node, "traces")[1], "spans") == ["warn"]

    until(lost, "spans are lost", 60)
    collector.answer(401)
    assert statuses(examined(node, "traces")[1], "traces") == ["ok"], "who it is only the exporter knows"
    collector.kill()
    code, found = examined(node, "traces")
    assert (code, statuses(found, "traces")) == (0, ["warn"])
    assert found["traces"][0]["hint"]


def test_a_log_that_the_node_cannot_write(node: ServedNode, tmp_path: Path) -> None:
    def found(file: Path) -> list[str]:
        return statuses(examined(node, "log file", CAXTON_OBSERVABILITY__LOG_FILE=str(file))[1], "log file")

    assert found(tmp_path / "node.log") == ["ok"]
    assert found(tmp_path / "missing" / "node.log") == ["fail"]
    own = patient(tmp_path, f'[observability]\nlog_file = "{tmp_path}/logs/node.log"')
    (tmp_path / "logs").mkdir()
    if os.getuid() == 0:  # root may write everywhere: the node is somebody else then
        os.chown(tmp_path / "data", 65534, 65534)
    else:
        (tmp_path / "logs").chmod(0o500)
    assert worst(log_file.examine(own)) is Status.FAIL
    (tmp_path / "logs").chmod(0o707)
    assert os.getuid() != 0 or worst(log_file.examine(own)) is Status.OK


def test_a_quarantined_agent_and_what_it_killed(node: ServedNode) -> None:
    options = node.write("trap.json", json.dumps({"supervision": {"dead_letters": 1, "senders": 1}}))
    assert node.cli("agent", "deploy", node.write("trap.wat", TRAP), "--config-file", options).returncode == 0
    assert node.cli("message", "send", "trap", "1").returncode == 0
    until(lambda: node.json("agent", "show", "trap")["status"] == "quarantined", "quarantine")
    code, found = examined(node, "agents")
    assert code == 0
    for name in ("agents", "dead letters"):
        assert (statuses(found, name), "trap" in found[name][0]["detail"]) == (["warn"], True), found
    assert node.cli("agent", "remove", "trap", "-y", "--purge").returncode == 0


def test_recordings_on_a_disk_without_room(node: ServedNode) -> None:
    assert node.cli("agent", "deploy", node.write("echo.wat", ECHO), "--record").returncode == 0
    assert node.cli("agent", "invoke", "echo", "1").returncode == 0
    until(lambda: node.json("agent", "recordings", "echo"), "a recording")
    found = examined(node, "recordings")[1]
    assert (statuses(found, "recordings"), found["recordings"][0]["detail"].startswith("1 take")) == (["ok"], True)
    found = examined(node, "recordings", CAXTON_MESSAGING__LOW_DISK_BYTES="1024TB")[1]
    assert (statuses(found, "recordings"), "--no-record" in found["recordings"][0]["hint"]) == (["warn"], True)


def test_a_drained_node_is_a_warning_and_the_probe_still_runs(node: ServedNode) -> None:
    assert node.cli("drain").returncode == 0
    try:
        code, found = examined(node)
    finally:
        node.cli("undrain")
    assert code == 0
    assert (found["ready"][0]["status"], found["ready"][0]["hint"]) == ("warn", "caxton undrain")
    assert statuses(found, "probe") == ["ok"]


def test_what_runs_and_is_not_what_is_installed_fails(node: ServedNode, tmp_path: Path) -> None:
    shutil.copytree(SOURCE / "caxton", tmp_path / "caxton", ignore=shutil.ignore_patterns("__pycache__"))
    init = tmp_path / "caxton" / "__init__.py"
    init.write_text(init.read_text() + '\n__version__ = "99.0.0"\n')
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), **node.environ}
    command = [sys.executable, "-m", "caxton", "doctor", "--output", "json"]
    done = subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    failed = {
        check["name"]: check["hint"] for check in json.loads(done.stdout)["checks"] if check["status"] == "fail"
    }
    assert failed == {f"version of {one}": "systemctl restart caxton" for one in ("api", "router", "executor")}


def test_a_maintenance_flag_left_over_fails(node: ServedNode) -> None:
    flag = node.directory / "data" / "maintenance"
    flag.touch()
    try:
        code, found = examined(node)
    finally:
        flag.unlink()
    assert code == 1
    assert statuses(found, "maintenance") == ["fail"]


def test_a_disk_below_its_mark_fails(node: ServedNode) -> None:
    code, found = examined(node, CAXTON_MESSAGING__LOW_DISK_BYTES="1024TB")
    assert code == 1
    assert statuses(found, "disk")[0] == "fail"


def test_a_node_that_is_not_there_fails_in_every_way_that_shows_it() -> None:
    away = ServedNode()
    try:
        code, found = examined(away)
        assert code == 1
        assert statuses(found, "router") == statuses(found, "probe") == ["fail"]
        assert statuses(found, "ports") == ["fail"] * 3
        assert statuses(found, "version of api") == ["warn"]
        assert statuses(found, "schema") == ["warn"]
        assert "ledger" not in found
        assert all(check["hint"] for name in ("router", "probe", "ports") for check in found[name])
    finally:
        away.close()


def test_a_schema_of_another_release_fails(tmp_path: Path) -> None:
    node = ServedNode()
    try:
        node.start()
        node.stop()
        with closing(sqlite3.connect(node.directory / "data" / "local.db")) as connection:
            connection.execute("UPDATE schema_info SET version = ?, compat = ?", (SCHEMA_VERSION + 1,) * 2)
            connection.commit()
        code, found = examined(node)
        assert code == 1
        assert statuses(found, "schema") == ["fail"]
    finally:
        node.close()


def test_a_router_that_waits_for_its_schema_says_its_version() -> None:
    node = ServedNode()
    try:
        node.start()
        node.stop()
        with closing(sqlite3.connect(node.directory / "data" / "local.db")) as connection:
            connection.execute("UPDATE schema_info SET version = ?, compat = ?", (SCHEMA_VERSION + 1,) * 2)
            connection.commit()
        node.launch()
        until(
            lambda: statuses(found := examined(node)[1], "version of api") == ["ok"] and "ready" in found, "waiting"
        )
        code, found = examined(node)
        assert code == 1
        assert "schema" in found["ready"][0]["detail"]
        assert statuses(found, "version of api") == statuses(found, "version of router") == ["ok"]
        assert [(one["status"], one["hint"]) for one in found["version of executor"]] == [
            ("warn", "caxton db status")
        ]
        assert "ledger" not in found
    finally:
        node.close()


def patient(tmp_path: Path, text: str = "") -> Patient:
    """A node of which nothing but files is looked at."""
    file = tmp_path / "production.toml"
    file.write_text(
        f'[coordination]\nlocal_state_path = "{tmp_path}/data/local.db"\n[backup]\ndirectory = "{tmp_path}"\n{text}'
    )
    file.chmod(0o640)
    (tmp_path / "data").mkdir(mode=0o750, exist_ok=True)
    return Patient(load(file, {}), lambda op: pytest.fail(f"{op} was asked"))


@pytest.mark.parametrize(
    ("verified_hours", "drilled_hours", "expected"),
    [(1, 1, ["ok", "ok"]), (30, 200, ["warn", "warn"]), (24 * 8, 1, ["fail", "ok"]), (None, None, ["warn", "warn"])],
)
def test_the_age_of_backups(
    tmp_path: Path, verified_hours: float | None, drilled_hours: float | None, expected: list[str]
) -> None:
    def ago(hours: float | None) -> float | None:
        return None if hours is None else time.time() - hours * 3600

    drill = None if drilled_hours is None else {"at": ago(drilled_hours), "seconds": 1.0}
    status = {"verified_taken_at": ago(verified_hours), "drill_succeeded": drill, "state": None}
    (tmp_path / "status.json").write_text(json.dumps(status))
    assert [check.status for check in backups.examine(patient(tmp_path))] == expected


@pytest.mark.parametrize("text", ["", "{", "[]", '{"verified_taken_at": "yesterday"}'])
def test_a_status_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "status.json").write_text(text)
    assert {check.status for check in backups.examine(patient(tmp_path))} == {Status.WARN}


def test_secrets_open_to_everybody_fail(tmp_path: Path) -> None:
    own = patient(tmp_path, f'[security]\njwt_secret = "{SECRET}"')
    assert worst(permissions.examine(own)) is Status.OK
    (tmp_path / "production.toml").chmod(0o644)
    assert worst(permissions.examine(own)) is Status.FAIL
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secret").chmod(0o600)
    other = patient(tmp_path, f'[security]\njwt_secret_file = "{tmp_path}/secret"')
    for path, mode, expected in [
        ("secret", 0o644, Status.FAIL),
        ("secret", 0o600, Status.OK),
        ("caxton.env", 0o604, Status.FAIL),
        ("caxton.env", 0o640, Status.OK),
        ("production.toml", 0o644, Status.WARN),
        ("production.toml", 0o640, Status.OK),
        ("data", 0o755, Status.WARN),
    ]:
        (tmp_path / path).touch()
        (tmp_path / path).chmod(mode)
        assert worst(permissions.examine(other)) is expected, (path, oct(mode))


def test_one_examination_that_breaks_does_not_keep_the_others(tmp_path: Path) -> None:
    own = patient(tmp_path)
    (tmp_path / "data" / "local.db").write_text("no database at all, but long enough to be taken for one" * 40)
    own.ask = lambda op: {"reasons": []} if op == "ready" else {"duration_seconds": 1.0, "execution_seconds": 0.5}
    found = {check.name: check.status for check in examine(own)}
    assert found["schema"] is Status.FAIL
    assert {"disk", "clock", "backup", "probe"} <= set(found)


def test_a_systemd_that_does_not_answer_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text("#!/bin/sh\nexec sleep 1000\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("caxton.doctor.units._RUNNING", tmp_path)
    monkeypatch.setattr("caxton.doctor.units._SECONDS", 0.2)
    found = {check.name: check.status for check in examine(patient(tmp_path), {"units", "disk", "clock"})}
    assert found["units"] is Status.FAIL
    assert {"disk", "clock"} <= set(found)
