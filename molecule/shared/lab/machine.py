"""One machine: starting it, ending it, and running something in it.

Owns the machine's processes, its control groups and its cable. Knows nothing of other machines.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from lab import cgroups, names, network, seed
from lab.errors import Code, LabError
from lab.run import CLEAN
from lab.state import Record

# $1 overlay options, $2 its mount point, $3 groups to enter; then nspawn's own arguments.
# It enters the groups or gives up: a launcher that comes after `down` removed them must not boot anything.
# What it mounts is in a namespace of its own and so lives exactly as long as the machine: the overlay, and the
# directory in which nspawn would leave a lock and an exchange directory per machine.
# nspawn ends with 133 when the machine wants a reboot, and leaves starting it again to whoever supervises.
LAUNCHER = """
options=$1 root=$2 groups=$3; shift 3
for group in $groups; do echo $$ >"$group/cgroup.procs" || exit 1; done
mount -t overlay overlay -o "$options" "$root" || exit 1
mkdir -p /run/systemd/nspawn && mount -t tmpfs tmpfs /run/systemd/nspawn || exit 1
while :; do
    systemd-nspawn --directory="$root" "$@"
    status=$?
    [ $status -eq 133 ] || exit $status
done
"""


def start(record: Record, host: str) -> None:
    """Boots the machine from its disk (made when it has none); one that runs is left alone."""
    group = cgroups.path(record.name, host)
    if cgroups.populated(group):
        return
    spec = record.machine(host)
    seed.disk(record, host)
    if not Path(spec.image).is_dir():
        raise LabError(Code.FAILED, f"the base image of {host} is gone ({spec.image}): lab down, then up again")
    disk = record.disk(host)
    for name in ("work", "root"):
        (disk / name).mkdir(exist_ok=True)
    cgroups.remove(record.name, host)  # what the last life of it left, if only a moment ago
    network.unlink(names.link(record.subnet, host))
    groups = cgroups.create(record.name, host, spec.hybrid)
    options = f"lowerdir={spec.image},upperdir={disk}/upper,workdir={disk}/work"
    environment = CLEAN if spec.hybrid else {**CLEAN, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
    with (disk / "console.log").open("ab") as console:
        # --fork: the launcher is nobody's child here, so it leaves no zombie in a long-lived caller
        subprocess.run(
            [
                *("setsid", "--fork", "unshare", "--mount", "--propagation", "private"),
                *("sh", "-c", LAUNCHER, "launcher", options, disk / "root", " ".join(map(str, groups))),
                *nspawn_options(record.subnet, host),
                *(["--kill-signal=SIGRTMIN+3", f"/{seed.HYBRID_INIT_PATH}"] if spec.hybrid else ["--boot"]),
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env=environment,
            check=True,
        )
    until(lambda: cgroups.populated(group), 10, f"{host} does not start; see {disk}/console.log")


def nspawn_options(subnet: int, host: str) -> list[str]:
    """How nspawn boots it: an ordinary host with a cable on the lab's bridge."""
    return [
        "--console=pipe",
        "--quiet",
        "--register=no",
        "--keep-unit",  # there is no systemd outside to ask for a unit
        f"--machine={names.machine(subnet, host)}",
        f"--hostname={host}",
        f"--network-bridge={names.bridge(subnet)}",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--capability=CAP_NET_ADMIN",  # firewall, VIP
    ]


def kill(record: Record, host: str) -> None:
    """A power cut: everything of the machine ends at once, the disk stays. A machine that is off is no error."""
    cgroups.kill(cgroups.path(record.name, host))
    cgroups.remove(record.name, host)
    network.unlink(names.link(record.subnet, host))


def wipe(record: Record, host: str) -> None:
    """A power cut and a new disk: the next start is a fresh machine's first."""
    kill(record, host)
    shutil.rmtree(record.disk(host), ignore_errors=True)


def running(record: Record, host: str) -> bool:
    """Whether anything of the machine runs."""
    return cgroups.populated(cgroups.path(record.name, host))


def leader(record: Record, host: str) -> int:
    """The machine's init: process 1 of its own namespace.

    Raises:
        LabError: FAILED when the machine is off.
    """
    for process in cgroups.members(cgroups.path(record.name, host)):
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            continue
        inner = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
        if len(inner) == 2 and inner[1] == "1":
            return process
    raise LabError(Code.FAILED, f"{host} of lab {record.name} is not running")


def enter(record: Record, host: str, *command: str) -> list[str]:
    """The command line that runs a command inside, without the network."""
    namespaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
    inside = [f"{name}={value}" for name, value in CLEAN.items()]
    return ["nsenter", "--target", str(leader(record, host)), *namespaces, "env", "-i", *inside, *command]


def power_off(record: Record, host: str) -> None:
    """Asks the machine to shut down in order; returns at once."""
    process = leader(record, host)
    handle = os.pidfd_open(process)  # from here on it cannot be another process with the same number
    try:
        if leader(record, host) == process:
            signal.pidfd_send_signal(handle, signal.SIGRTMIN + 4)
    finally:
        os.close(handle)


def until(condition: Callable[[], bool], timeout: float, complaint: str) -> None:
    """Waits for a condition; FAILED with the complaint when it does not come true in time."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise LabError(Code.FAILED, complaint)
        time.sleep(0.01)


def settle(record: Record, host: str, timeout: float) -> None:
    """Waits until the machine's boot has ended, with or without failed units: what starts then starts at once."""
    command = enter(record, host, "systemctl", "is-system-running", "--wait")
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise LabError(Code.FAILED, f"{host} is still booting after {timeout:.0f} s") from None


def wait_for_ssh(address: str, timeout: float) -> bool:
    """Waits until something at the address greets as an ssh server does."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            with socket.create_connection((address, 22), 0.3) as connection:
                connection.settimeout(1)
                if connection.recv(4) == b"SSH-":
                    return True
        except OSError:
            time.sleep(0.03)
    return False
