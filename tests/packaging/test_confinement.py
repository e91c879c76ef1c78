"""Every wall of every unit, tried from inside: a probe runs in the unit, in the place of its program.

The exposure score says what a unit asks for. Inside a container some of that is not given, so nothing is taken
for granted: IPAddressDeny= needs BPF and is not among the walls that these tests count on.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from support import sandbox_probe
from support.installed_node import InstalledNode

UNITS = (
    "caxton.service",
    "caxton-admin.service",
    "caxton-router.service",
    "caxton-executor.service",
    "caxton-gossip.service",
    "caxton-settings.service",
    "caxton-bootstrap.service",
    "caxton-backup.service",
    "caxton-restore-drill.service",
)
Found = dict[str, Any]
WITH_ADDRESS = {"caxton.service", "caxton-admin.service"}
WITH_NETWORK = {*WITH_ADDRESS, "caxton-router.service", "caxton-gossip.service"}
"""The router: agents' outbound HTTP, and other nodes."""
COMPILES = {"caxton-executor.service", "caxton-restore-drill.service"}
LOWERS_ITS_PRIORITY = {*COMPILES, "caxton-backup.service"}
READS_THE_DATABASE = {"caxton-router.service", "caxton-backup.service"}
WRITES = {
    "caxton.service": set[str](),
    "caxton-admin.service": set[str](),
    "caxton-router.service": {"write data"},
    "caxton-executor.service": set[str](),
    "caxton-gossip.service": set[str](),
    "caxton-settings.service": {"write units"},
    "caxton-bootstrap.service": set[str](),
    "caxton-backup.service": {"write data", "write backups"},
    "caxton-restore-drill.service": {"write backups"},
}
AS_ROOT = {"caxton-settings.service", "caxton-bootstrap.service"}
"""Without any capability; what root's files and processes let root do is left."""
PROCESSES = ("caxton.service", "caxton-admin.service", "caxton-router.service", "caxton-executor.service")
SHOWN = (
    *("read database", "read configuration", "read token secret", "read cached code's key", "read memory of init"),
    *("write configuration", "write data", "write backups", "write /etc", "write /usr", "write /var"),
    *("temporary file", "set-user-id", "connect", "connect loopback", "message bus"),
    *("netlink", "raw socket", "fork", "execute", "signal init", "ptrace", "mount", "unshare", "host name"),
    *("kernel setting", "real time", "personality", "keyring", "perf_event_open", "bpf", "io_uring", "userfaultfd"),
    "executable memory",
)
BEGIN, END = "<!-- table: tests/packaging/test_confinement.py -->\n", "<!-- end of the table -->\n"
PLACES = ("configuration", "data", "backups", "/etc", "/usr", "/var", "units")


@pytest.fixture(scope="module")
def found(node: InstalledNode) -> dict[str, Found]:
    """What the probe found in each unit, by unit."""
    probe = node.push(Path(sandbox_probe.__file__), "/usr/local/lib")
    node.stop()
    return {unit: run_in(node, unit, probe) for unit in UNITS}


def run_in(node: InstalledNode, unit: str, probe: str) -> Found:
    """Starts a unit whose program is the probe; everything else of it is as it is shipped."""
    directory = f"/run/systemd/system/{unit}.d"
    lines = [
        *(
            "[Service]",
            "Type=oneshot",
            "RemainAfterExit=no",
            "Restart=no",
            "WatchdogSec=0",
            "ExecCondition=",
            "ExecStart=",
            "ExecReload=",
            "ExecStopPost=",
        ),
        f"ExecStart=/usr/lib/caxton/bin/python3 -I {probe} {node.address}",
        f"StandardOutput=truncate:/run/probe-{unit}",
        *("[Unit]", "ConditionPathExists="),  # no router runs
    ]
    if unit in WITH_ADDRESS:  # the address is the service's alone; it would be waited for
        lines += ["Requires=", "Wants="]
    node.sh(f"mkdir -p {directory}; cat >{directory}/99-probe.conf", stdin="\n".join(lines) + "\n")
    try:
        node.sh(f"systemctl daemon-reload; systemctl start {unit}")
        answer: Found = json.loads(node.sh(f"cat /run/probe-{unit}"))
        return answer
    finally:
        node.sh(f"rm {directory}/99-probe.conf; systemctl daemon-reload")
        node.stop()


@pytest.mark.parametrize("unit", UNITS)
def test_no_unit_has_any_privilege(found: dict[str, Found], unit: str) -> None:
    own = found[unit]
    assert (own["CapEff"], own["NoNewPrivs"], own["Seccomp"]) == (0, 1, 2)
    for forbidden in (
        "unshare",
        "mount",
        "host name",
        "kernel setting",
        "set-user-id",
        "real time",
        "ptrace",
        "raw socket",
        "personality",
        "read memory of init",
        "keyring",
        "perf_event_open",
        "bpf",
        "io_uring",
        "userfaultfd",
    ):
        assert own[forbidden] != "done", forbidden
    assert (own["read cached code's key"] == "done") is (unit == "caxton-executor.service")
    if unit not in AS_ROOT:
        assert own["read token secret"] != "done"
        assert own["signal init"] != "done"
    assert own["devices"] == "none"
    assert own["temporary file"] == "done"


@pytest.mark.parametrize("unit", UNITS)
def test_no_unit_sees_people_or_the_processes_of_others(found: dict[str, Found], unit: str) -> None:
    own = found[unit]
    assert own["home"] in ("empty", "Permission denied")
    assert own["root's home"] in ("empty", "Permission denied")
    assert own["processes"] == "own" or unit == "caxton-settings.service"


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_writes_where_it_must_and_nowhere_else(found: dict[str, Found], unit: str) -> None:
    written = {place for place in (f"write {name}" for name in PLACES) if found[unit][place] == "done"}
    assert written == WRITES[unit]


@pytest.mark.parametrize("unit", UNITS)
def test_only_the_router_and_the_backup_can_read_the_database(found: dict[str, Found], unit: str) -> None:
    assert (found[unit]["read database"] == "done") is (unit in READS_THE_DATABASE)


@pytest.mark.parametrize("unit", UNITS)
def test_only_what_talks_to_others_has_a_network(found: dict[str, Found], unit: str) -> None:
    assert (found[unit]["connect"] == "done") is (unit in WITH_NETWORK)
    assert (found[unit]["connect loopback"] == "done") is (unit in WITH_NETWORK)
    assert found[unit]["message bus"] != "done" or unit == "caxton-settings.service"


@pytest.mark.parametrize("unit", UNITS)
def test_only_what_compiles_can_make_memory_executable(found: dict[str, Found], unit: str) -> None:
    assert (found[unit]["executable memory"] == "done") is (unit in COMPILES)
    assert (found[unit]["priority"] == "done") is (unit in LOWERS_ITS_PRIORITY)


def test_serf_sees_nothing_of_the_node_but_what_it_is_given(found: dict[str, Found]) -> None:
    assert found["caxton-gossip.service"]["read configuration"] != "done"


def test_the_executor_sees_nothing_of_the_node(found: dict[str, Found]) -> None:
    own = found["caxton-executor.service"]
    assert own["read configuration"] != "done"
    assert own["router.sock"] != "done"
    assert own["metadata address"] != "done"


def test_the_document_says_what_each_process_can_do(found: dict[str, Found]) -> None:
    text = (Path(__file__).resolve().parents[2] / "app" / "docs" / "sandbox.md").read_text()
    made = table(found)
    assert text.partition(BEGIN)[2].partition(END)[0] == made, made  # what is printed here belongs there


def table(found: dict[str, Found]) -> str:
    """Attempts by unit: what came of each."""
    names = [unit.removesuffix(".service") for unit in PROCESSES]
    lines = [f"| attempt | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for attempt in SHOWN:
        came = ["**done**" if found[unit][attempt] == "done" else "refused" for unit in PROCESSES]
        lines.append(f"| {attempt} | {' | '.join(came)} |")
    return "\n".join(lines) + "\n"


def test_the_worker_of_a_running_node_is_in_the_same_walls(node: InstalledNode) -> None:
    node.sh("systemctl start caxton")
    node.until_ready()
    supervisor = node.pid("caxton-executor.service")
    workers = node.sh(f"pgrep -P {supervisor}").split()
    assert workers
    for pid in workers:
        shown = node.sh(f"cat /proc/{pid}/status")
        assert re.search(r"^CapEff:\s+0+$", shown, re.MULTILINE)
        assert re.search(r"^Seccomp:\s+2$", shown, re.MULTILINE)
        assert node.sh(f"ls /proc/{pid}/root/opt; cat /proc/{pid}/environ") == ""
        links = node.sh(f"nsenter -n -t {pid} ip -brief link").splitlines()
        assert [link.split()[0] for link in links] == ["lo"]
