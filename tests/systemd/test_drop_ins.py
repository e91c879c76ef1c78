"""From production.toml to drop-ins of units."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.cli.root import run as caxton
from caxton.config import Config, Runtime, load
from caxton.protocol.errors import CaxtonError, Code
from caxton.systemd import drop_ins, mark_read, unit_settings, write
from support.served_node import run_cli

CORES = len(os.sched_getaffinity(0))
HOSTILE = "/srv/with space/100%/q\"uote/back\\slash/co:lon/'single'"


def made(tmp_path: Path, text: str) -> dict[str, str]:
    return drop_ins(unit_settings(config(tmp_path, text)))


def config(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "node.toml"
    file.write_text(text)
    return load(file, {}).config


def values(text: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.partition("=")[0] == key]


def test_the_executor_gets_its_cores_and_bytes_at_most_the_hosts(tmp_path: Path) -> None:
    own = made(tmp_path, '[runtime]\ncpu_quota = 0.25\nmemory_limit = "1GiB"')["caxton-executor.service"]
    assert values(own, "CPUQuota") == ["25%"]
    assert values(own, "MemoryMax") == [str(1 << 30)]
    most = made(tmp_path, '[runtime]\ncpu_quota = 4000\nmemory_limit = "900TB"')["caxton-executor.service"]
    assert values(most, "CPUQuota") == [f"{CORES * 100}%"]
    assert values(most, "MemoryMax") == [str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))]


def test_tasks_and_files_grow_with_what_needs_them(tmp_path: Path) -> None:
    few = made(tmp_path, "[runtime]\nexecutor_workers = 1\n[networking]\nworkers = 1\nmax_connections = 10")
    many = made(tmp_path, "[runtime]\nexecutor_workers = 9\n[networking]\nworkers = 9\nmax_connections = 20000")

    def number(units: dict[str, str], unit: str, key: str) -> int:
        return int(values(units[unit], key)[0])

    # two threads a worker, and a reload or a recycling doubles the processes
    assert (
        number(many, "caxton-executor.service", "TasksMax") - number(few, "caxton-executor.service", "TasksMax") >= 32
    )
    assert number(many, "caxton.service", "TasksMax") > number(few, "caxton.service", "TasksMax") >= 3
    assert number(few, "caxton.service", "LimitNOFILE") > 10
    assert number(many, "caxton.service", "LimitNOFILE") > 20_000


@pytest.mark.parametrize(
    ("address", "listen", "free_bind"),
    [
        ("0.0.0.0:8080", "0.0.0.0:8080", False),
        ("[::]:80", "[::]:80", False),
        ("127.0.0.1:1", "127.0.0.1:1", False),
        ("10.1.2.3:8080", "10.1.2.3:8080", True),
        ("[2001:db8::5]:8080", "[2001:db8::5]:8080", True),
        ("localhost:8080", "127.0.0.1:8080", False),
    ],
)
def test_the_socket_listens_where_the_configuration_says_and_nowhere_else(
    tmp_path: Path, address: str, listen: str, free_bind: bool
) -> None:
    loaded = config(tmp_path, f'[networking]\nbind_address = "{address}"')
    own = drop_ins(unit_settings(loaded, resolve={"localhost": "127.0.0.1"}.__getitem__))["caxton.socket"]
    assert values(own, "ListenStream") == ["", listen]
    assert bool(values(own, "FreeBind")) is free_bind


@pytest.mark.parametrize(
    "text",
    [
        '[networking]\nbind_address = "[fe80::1%eth0]:8080"',
        '[networking]\nbind_address = "no-such-host.invalid:8080"',
        '[runtime]\nshareable_dirs = ["/srv/a\\n[Service]\\nExecStart=/bin/sh"]',
        '[runtime]\nshareable_dirs = ["/srv/\\u2028"]',
        '[backup]\ndirectory = "/srv/a\\rb"',
    ],
)
def test_what_no_unit_can_say_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CaxtonError) as refused:
        made(tmp_path, text)
    assert refused.value.code is Code.CONFIG_INVALID


def test_shared_directories_reach_the_executor_and_are_seen_by_the_router(tmp_path: Path) -> None:
    units = made(tmp_path, '[runtime]\nshareable_dirs = ["/srv/b", "/srv/a b"]')
    assert values(units["caxton-executor.service"], "BindPaths") == ['"-/srv/a b"', '"-/srv/b"']
    assert values(units["caxton-router.service"], "BindReadOnlyPaths") == ['"-/srv/a b"', '"-/srv/b"']
    assert "caxton-router.service" not in made(tmp_path, "")


def test_paths_elsewhere_are_opened_where_they_are_needed(tmp_path: Path) -> None:
    units = made(
        tmp_path,
        '[coordination]\nlocal_state_path = "/srv/data/local.db"\n[backup]\ndirectory = "/mnt/b"\n'
        '[observability]\nlog_file = "/var/log/caxton/node.log"',
    )
    written = {unit: values(text, "ReadWritePaths") for unit, text in units.items()}
    log, data, backups = '"-/var/log/caxton"', '"-/srv/data"', '"-/mnt/b"'
    assert written["caxton-router.service"] == [data, log]
    assert written["caxton-backup.service"] == written["caxton-restore-drill.service"] == [backups, data, log]
    assert written["caxton.service"] == written["caxton-executor.service"] == [log]
    usual = made(tmp_path, '[coordination]\nlocal_state_path = "/opt/caxton/data/x/local.db"')
    assert not any(values(text, "ReadWritePaths") for text in usual.values())


@given(path=st.text(st.characters(blacklist_characters="\0"), min_size=1, max_size=40))
def test_a_path_is_one_line_of_its_unit_or_refused(path: str) -> None:
    asked = replace(Config(), runtime=Runtime(shareable_dirs=(f"/{path}",)))
    if not path.isprintable():
        with pytest.raises(CaxtonError):
            unit_settings(asked)
        return
    text = drop_ins(unit_settings(asked))["caxton-executor.service"]
    assert len(values(text, "BindPaths")) == 1
    assert text.splitlines() == text.rstrip("\n").split("\n")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_takes_every_line(tmp_path: Path) -> None:
    units = made(
        tmp_path,
        f"[runtime]\nshareable_dirs = ['''{HOSTILE}''']\n[backup]\ndirectory = '''{HOSTILE}'''\n"
        "[networking]\nbind_address = '[2001:db8::5]:8080'",
    )
    for unit, text in units.items():
        body = "[Socket]\nListenStream=1\n" if unit.endswith(".socket") else "[Service]\nExecStart=/bin/true\n"
        (tmp_path / unit).write_text(body)
        (tmp_path / f"{unit}.d").mkdir()
        (tmp_path / f"{unit}.d" / "50-settings.conf").write_text(text)
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / unit) for unit in units)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not [line for line in said.stderr.splitlines() if "50-settings.conf" in line]


def test_only_what_changed_is_written_and_what_is_stale_goes(tmp_path: Path) -> None:
    foreign = tmp_path / "caxton.service.d" / "10-mine.conf"
    foreign.parent.mkdir()
    foreign.write_text("mine")
    first = write(tmp_path, {"caxton.service": "a", "caxton-router.service": "b"})
    assert (first.changed, first.removed) == (["caxton.service", "caxton-router.service"], [])
    own = tmp_path / "caxton.service.d" / "50-settings.conf"
    assert own.stat().st_mode & 0o777 == 0o644
    before = own.stat().st_ino
    again = write(tmp_path, {"caxton.service": "a", "caxton-router.service": "b"})
    assert (again.changed, again.removed) == ([], [])
    assert own.stat().st_ino == before
    last = write(tmp_path, {"caxton.service": "c"})
    assert (last.changed, last.removed) == (["caxton.service"], ["caxton-router.service"])
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.conf")) == [
        "caxton.service.d/10-mine.conf",
        "caxton.service.d/50-settings.conf",
    ]
    assert not (tmp_path / "caxton-router.service.d").exists()
    write(tmp_path, {})
    assert foreign.read_text() == "mine"


def test_what_was_written_is_unread_until_somebody_says_otherwise(tmp_path: Path) -> None:
    texts = {"caxton.service": "a"}
    assert write(tmp_path / "units", texts).unread
    assert write(tmp_path / "units", texts).unread
    mark_read(tmp_path / "units")
    assert not write(tmp_path / "units", texts).unread
    assert write(tmp_path / "units", {}).unread
    mark_read(tmp_path / "units")
    assert list((tmp_path / "units").iterdir()) == []


def test_a_failure_half_way_leaves_it_unread(tmp_path: Path) -> None:
    (tmp_path / "caxton.socket.d").write_text("not a directory")
    texts = {"caxton.service": "a", "caxton.socket": "b"}
    with pytest.raises(OSError):
        write(tmp_path, texts)
    (tmp_path / "caxton.socket.d").unlink()
    del texts["caxton.socket"]
    assert write(tmp_path, texts).unread


def test_systemd_is_told_again_when_it_did_not_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "programs").mkdir()
    systemctl, calls = tmp_path / "programs" / "systemctl", tmp_path / "calls"
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{os.environ['PATH']}")
    monkeypatch.setattr("caxton.cli.unit_verbs._MANAGED", (tmp_path,))

    def told(status: int) -> int:
        systemctl.write_text(f'#!/bin/sh\necho "$@" >>{calls}\nexit {status}\n')
        systemctl.chmod(0o755)
        return caxton(["unit-settings", "--write", str(tmp_path)])

    assert told(status=1) == 1
    assert (tmp_path / "caxton-executor.service.d" / "50-settings.conf").exists()
    assert told(status=0) == 0
    assert told(status=0) == 0
    assert calls.read_text().splitlines() == ["daemon-reload"] * 2  # and not once more when it had read them


def test_the_verb_needs_no_secret_and_refuses_a_wrong_file(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        '[security]\njwt_secret = "${NOT_SET}"\n[coordination]\nencrypt_key_file = "/nonexistent"\n'
        '[observability]\notlp_endpoint = "${ALSO_NOT_SET}"\n'
    )
    command = ("--config", str(file), "unit-settings", "--write", str(tmp_path / "out"))
    first = run_cli(*command)
    assert first.returncode == 0, first.stderr
    assert (tmp_path / "out" / "caxton.socket.d" / "50-settings.conf").exists()
    assert "unchanged" in run_cli(*command).stderr
    assert run_cli("--config", str(file), "config", "check").returncode == 1
    file.write_text('[networking]\nbind_address = "${NOT_SET}"')
    assert run_cli(*command).returncode == 1
    file.write_text("[networking]\nbind_adress = 1")
    refused = run_cli(*command)
    assert refused.returncode == 1
    assert "CONFIG_INVALID" in refused.stderr
    assert "unchanged" not in refused.stderr


def test_a_directory_that_cannot_be_written_is_an_answer_and_no_traceback() -> None:
    refused = run_cli("unit-settings", "--write", "/proc/no-such-directory")
    assert refused.returncode == 1
    assert "/proc/no-such-directory" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_installed_node_has_systemds_directories_wherever_its_data_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "production.toml"
    file.write_text('[coordination]\nlocal_state_path = "/srv/data/local.db"')
    monkeypatch.setattr("caxton.config.loading.PRODUCTION_FILE", file)
    paths = load(file, {}).config.paths
    assert (str(paths.run), str(paths.executor_run)) == ("/run/caxton", "/run/caxton-executor")
    assert str(paths.artifacts) == "/var/cache/caxton-executor"
    assert str(load(file, {"CAXTON_RUN_DIR": "/x"}).config.paths.run) == "/x"


def test_interpreted_code_takes_executable_memory_from_the_executor(tmp_path: Path) -> None:
    strict = made(tmp_path, '[runtime]\nengine = "pulley"')["caxton-executor.service"]
    assert values(strict, "MemoryDenyWriteExecute") == ["yes"]
    native = made(tmp_path, "[runtime]")["caxton-executor.service"]
    assert values(native, "MemoryDenyWriteExecute") == []


def test_serf_has_its_directory_wherever_the_data_is(tmp_path: Path) -> None:
    assert "caxton-gossip.service" not in made(tmp_path, "")
    for place in ("/srv/caxton", "/opt/caxton/data/one"):
        own = made(tmp_path, f'[coordination]\nlocal_state_path = "{place}/local.db"')["caxton-gossip.service"]
        assert values(own, "BindPaths") == [f'"-{place}/gossip"']
