"""One node as site.yml leaves it: services, secrets, limits, backups."""

from __future__ import annotations

import base64
import json
import re

import pytest
from testinfra.host import Host

from checks import site

testinfra_hosts = ["ansible://caxton_nodes"]
UNITS = ("caxton.socket", "caxton", "caxton-admin", "caxton-router", "caxton-executor")
TIMERS = ("caxton-backup.timer", "caxton-restore-drill.timer")
GIGABYTE = 10**9


def shown(host: Host, unit: str, name: str) -> str:
    """A property of a unit."""
    return host.check_output(f"systemctl show -P {name} {unit}")


@pytest.mark.parametrize("unit", UNITS)
def test_units_run(host: Host, unit: str) -> None:
    assert host.service(unit).is_running


@pytest.mark.parametrize("unit", ["caxton.socket", "caxton", *TIMERS])
def test_units_start_at_boot(host: Host, unit: str) -> None:
    assert host.service(unit).is_enabled


def test_nothing_failed(host: Host) -> None:
    failed = host.check_output("systemctl --failed --plain --no-legend")
    # Many machines use up the inotify instances of their host; systemd's own watch of passwords goes without then.
    assert [line for line in failed.splitlines() if not line.startswith("systemd-ask-password-")] == []


def test_the_doctor_finds_nothing_wrong(host: Host) -> None:
    found = host.run("caxton doctor --output json")
    assert found.rc == 0, found.stdout + found.stderr


def test_the_configuration_is_what_the_inventory_says(host: Host) -> None:
    assert host.run("caxton config check --file /opt/caxton/config/production.toml").rc == 0
    rows = json.loads(host.check_output("caxton config show --output json"))
    values = {row["key"]: row["value"] for row in rows}
    assert "10.42.1.21" in str(values["security.trusted_proxies"])


@pytest.mark.parametrize("path", ["config", "data", "logs", "backups", "scripts", "bin"])
def test_directories_are_closed_to_others(host: Host, path: str) -> None:
    directory = host.file(f"/opt/caxton/{path}")
    assert (directory.user, directory.group) == ("caxton", "caxton")
    assert directory.mode & 0o007 == 0


def secrets(host: Host) -> list[str]:
    """Everything on this node that must stay secret."""
    key = base64.b64encode((site.state() / "secrets_key").read_text().strip().encode()).decode()
    return [(site.state() / "jwt_secret").read_text().strip(), key, site.key(host)]


def test_secrets_are_in_no_process_list_and_in_no_log(host: Host) -> None:
    processes = host.check_output("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'")
    journal = host.check_output("journalctl --no-pager --output=cat")
    for secret in secrets(host):
        assert secret not in processes
        assert secret not in journal


def test_secrets_are_in_no_file_that_others_can_read(host: Host) -> None:
    for secret in secrets(host):
        found = host.run(
            "grep -rlF --exclude-dir=proc --exclude-dir=sys -e %s /etc /opt /var /run /usr/lib/caxton /tmp", secret
        )
        for path in found.stdout.split():
            assert host.file(path).mode & 0o004 == 0 or not reachable(host, path), path


def reachable(host: Host, path: str) -> bool:
    """Whether somebody without rights can read a file."""
    return host.run("setpriv --reuid=nobody --clear-groups --inh-caps=-all cat %s", path).rc == 0


def test_limits_arrive_in_the_units(host: Host) -> None:
    assert shown(host, "caxton-executor", "CPUQuotaPerSecUSec") == "500ms"
    assert int(shown(host, "caxton-executor", "MemoryMax")) == 2 * GIGABYTE
    assert 8 <= int(shown(host, "caxton-executor", "TasksMax")) <= 1000
    assert int(shown(host, "caxton", "LimitNOFILE")) >= 10_000


def test_the_executor_sees_no_network_and_no_data(host: Host) -> None:
    pid = shown(host, "caxton-executor", "MainPID")
    inside = f"nsenter --target {pid} --mount --net --setuid $(id -u caxton-executor) --"
    assert re.findall(r"^\d+: (\w+)", host.check_output(f"{inside} ip -o link"), re.MULTILINE) == ["lo"]
    assert host.run(f"{inside} cat /opt/caxton/data/local.db").rc != 0


def test_the_nightly_backup_and_the_weekly_drill(host: Host) -> None:
    for unit in ("caxton-backup", "caxton-restore-drill"):
        done = host.run(f"systemctl start {unit}.service")
        assert done.rc == 0, host.run(f"journalctl -u {unit} --no-pager --output=cat -n 30").stdout
    assert host.run("caxton backup verify --all").rc == 0
    names = host.check_output("ls /opt/caxton/backups")
    assert re.search(r"^state_\d{8}_\d{6}\.db\.gz$", names, re.MULTILINE)
    assert re.search(r"^config_\d{8}_\d{6}\.tar\.gz$", names, re.MULTILINE)
    metrics = host.check_output("curl -fsS http://127.0.0.1:9090/metrics")
    for name in (
        "caxton_backup_last_verified_timestamp_seconds",
        "caxton_restore_drill_last_success_timestamp_seconds",
    ):
        assert re.search(rf"^{name} [1-9]", metrics, re.MULTILINE), name
