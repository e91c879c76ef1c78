"""site.yml again and again, and site.yml killed in the middle: it always ends in the same state.

It takes many minutes: `make test-site`.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import caxton
from lab.labs import Lab
from support import controller

pytestmark = [pytest.mark.site, pytest.mark.timeout(3600)]
ROOT = Path(__file__).resolve().parents[2]
HOSTS = {"node1": "10.42.8.11", "lb1": "10.42.8.21"}
LAB = Lab("siteruns")
PACKAGE = ROOT / "build" / "deb" / "bookworm" / f"caxton_{caxton.__version__}_amd64.deb"
RUNS = 10
KILLS = int(os.environ.get("CAXTON_SITE_KILLS", "4"))
SEED = int(os.environ.get("CAXTON_SITE_SEED", "1"))
LINE = ["ansible-playbook", "-i", "tests/infra/site_runs/hosts.yml", "playbooks/site.yml"]
OWNED = (
    "/etc/apt/apt.conf.d /etc/credstore /etc/default /etc/haproxy /etc/hosts /etc/nftables.conf /etc/prometheus "
    "/etc/sysctl.d /etc/systemd /opt/caxton/config /var/lib/caxton-ansible"
)


def environment() -> dict[str, str]:
    path = f"{controller.VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "MOLECULE_SCENARIO_NAME": LAB.record.name, "CAXTON_PACKAGE": str(PACKAGE)}
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | own


def site() -> str:
    """One whole run; its recap."""
    done = subprocess.run(
        LINE, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout[done.stdout.index("PLAY RECAP") :]


def interrupted(after: float) -> None:
    """A run that is killed, with everything that it started, after so many seconds."""
    process = subprocess.Popen(
        LINE,
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def changed(recap: str) -> int:
    return sum(int(count) for count in re.findall(r"changed=(\d+)", recap))


def state() -> dict[str, str]:
    """What the roles leave on each host: files with modes and owners, and which services run and start at boot."""
    digest = "-exec sh -c 'sha256sum <\"$1\"' sh {} \\;"
    units = "--type=service,timer,socket --state=running,listening,waiting"
    command = (
        f"find {OWNED} -type f -printf '%p %m %u:%g ' {digest} 2>/dev/null | sort; "
        "systemctl list-unit-files --state=enabled --no-legend --plain; "
        f"systemctl list-units {units} --no-legend --plain | cut -d' ' -f1"
    )
    return {host: LAB.ssh(host, command).stdout for host in HOSTS}


@pytest.fixture(scope="module")
def machines(machinery: None) -> Iterator[None]:
    if (lack := controller.missing()) is not None:
        pytest.skip(lack)
    if not PACKAGE.exists():
        pytest.skip("no package: make packages")
    LAB.down()
    try:
        LAB.up(HOSTS)
        yield
    finally:
        LAB.down()


@pytest.fixture(scope="module")
def whole(machines: None) -> tuple[dict[str, str], float]:
    """The state after a first run that nobody disturbed, and how long it took (seconds)."""
    begun = time.monotonic()
    site()
    return state(), time.monotonic() - begun


def test_ten_runs_change_nothing_after_the_first(whole: tuple[dict[str, str], float]) -> None:
    assert [changed(site()) for _ in range(RUNS - 1)] == [0] * (RUNS - 1)
    assert state() == whole[0]


@pytest.mark.parametrize("part", random.Random(SEED).sample(range(5, 95), KILLS), ids=lambda part: f"{part}_percent")
def test_a_run_that_is_killed_is_caught_up_by_the_next(whole: tuple[dict[str, str], float], part: int) -> None:
    expected, seconds = whole
    for host in HOSTS:
        LAB.wipe(host)
        LAB.start(host)
    interrupted(seconds * part / 100)
    site()
    assert changed(site()) == 0
    assert state() == expected
