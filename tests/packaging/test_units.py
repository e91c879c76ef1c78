"""The units as text: how exposed they are, and what all of them have in common."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from caxton.config import Config
from caxton.systemd import drop_ins, unit_settings
from lab import requirements

UNITS = Path(__file__).resolve().parents[2] / "packaging" / "units"
CEILINGS = {
    "caxton.service": 1.5,
    "caxton-admin.service": 1.5,
    "caxton-router.service": 1.5,
    "caxton-executor.service": 0.6,
    "caxton-gossip.service": 1.5,
    "caxton-settings.service": 1.0,
    "caxton-bootstrap.service": 1.0,
    "caxton-backup.service": 0.6,
    "caxton-restore-drill.service": 0.6,
}
COMMON = {
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "PrivateUsers=yes",
    "PrivateIPC=yes",
    "ProtectProc=invisible",
    "ProcSubset=pid",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "LockPersonality=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "RemoveIPC=yes",
    "KeyringMode=private",
    "DevicePolicy=closed",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources @keyring @aio",
    "SystemCallErrorNumber=EPERM",
    "LimitCORE=0",
}
RUNNING = [
    "caxton.socket",
    "caxton.service",
    "caxton-admin.service",
    "caxton-router.service",
    "caxton-executor.service",
    "caxton-gossip.service",
]


def lines(unit: str) -> list[str]:
    return [line for line in (UNITS / unit).read_text().splitlines() if line and not line.startswith("#")]


@pytest.mark.skipif(not Path("/usr/bin/systemd-analyze").exists(), reason="systemd-analyze is missing")
@pytest.mark.parametrize("unit", CEILINGS)
def test_no_unit_is_more_exposed_than_promised(unit: str) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNITS / unit)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (level,) = re.findall(rf"exposure level for {re.escape(unit)}: ([0-9.]+)", text)
    assert float(level) <= CEILINGS[unit]


@pytest.mark.parametrize("unit", CEILINGS)
def test_every_service_has_the_common_walls(unit: str) -> None:
    assert set(lines(unit)) >= COMMON


@pytest.mark.parametrize("unit", CEILINGS)
def test_only_what_compiles_may_make_memory_executable(unit: str) -> None:
    compiles = unit in ("caxton-executor.service", "caxton-restore-drill.service")
    assert ("MemoryDenyWriteExecute=yes" in lines(unit)) is not compiles


@pytest.mark.parametrize("unit", RUNNING)
def test_nothing_starts_while_a_restore_runs(unit: str) -> None:
    assert "ConditionPathExists=!/opt/caxton/data/maintenance" in lines(unit)


def test_serf_ends_after_the_router_which_may_have_a_goodbye_to_say() -> None:
    (after,) = [
        line.removeprefix("After=").split() for line in lines("caxton-router.service") if line.startswith("After=")
    ]
    assert "caxton-gossip.service" in after


def test_the_executor_never_runs_without_its_limits() -> None:
    unit, settings = "caxton-executor.service", "caxton-settings.service"
    assert {f"Wants={settings}", f"After={settings}", "Restart=on-failure", "StartLimitIntervalSec=0"} <= set(
        lines(unit)
    )
    assert "StartLimitIntervalSec=0" in lines(settings)
    (before,) = [line.partition("=")[2] for line in lines(unit) if line.startswith("ExecStartPre=")]
    command = [word.replace("$$", "$") for word in shlex.split(before)]
    environment = dict(
        line.removeprefix("Environment=").split("=", 1)
        for line in drop_ins(unit_settings(Config()))[unit].splitlines()
        if line.startswith("Environment=")
    )
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    refused = subprocess.run(command, env={}, check=False, capture_output=True, text=True)
    assert refused.returncode == 1
    assert settings.removesuffix(".service") in refused.stderr


@pytest.mark.skipif(not Path("/usr/bin/systemd-analyze").exists(), reason="systemd-analyze is missing")
def test_systemd_takes_every_unit(tmp_path: Path) -> None:
    """Only the programs are not here; an installed node checks the rest of it too."""
    for unit in UNITS.iterdir():
        text = re.sub(r"(?<=[=+-])/usr/(lib/caxton|bin/caxton)\S*", "/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert not [line for line in said.stderr.splitlines() if "caxton" in line]


@pytest.mark.parametrize("timer", ["caxton-backup.timer", "caxton-restore-drill.timer"])
def test_starting_a_timer_starts_no_backup(timer: str) -> None:
    assert not [line for line in lines(timer) if line.startswith(("Requires=", "Wants=", "BindsTo="))]
    assert "Persistent=true" in lines(timer)


def test_the_bundled_python_is_isolated_wherever_a_unit_starts_it() -> None:
    commands = [line for unit in CEILINGS for line in lines(unit) if line.startswith("ExecStart=")]
    assert commands
    assert not [
        one
        for one in commands
        if not one.startswith(("ExecStart=/usr/lib/caxton/bin/python3 -I -m ", "ExecStart=/usr/bin/caxton "))
    ]
    assert "exec /usr/lib/caxton/bin/python3 -I -m caxton " in (UNITS.parent / "caxton.sh").read_text()


def test_the_host_packages_are_named() -> None:
    named = {line.split()[0] for line in (UNITS.parent / "host-packages.txt").read_text().splitlines() if line}
    assert named >= {"debootstrap", "shellcheck", *requirements.PROGRAMS.values()} - {"util-linux"}
