"""What lab machines could leave on this host: mounts, links, routes, filters, processes, groups, files.

Reads only. Ignores what belongs to labs other than the ones asked about: several may run at once.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from lab import cgroups, names, paths

COMMANDS = (
    ("ip", "-brief", "link"),
    ("ip", "-brief", "address"),
    ("ip", "route", "show", "table", "all"),
    ("ip", "rule"),
    ("nft", "list", "ruleset"),
    ("sysctl", "-n", "net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding", "net.ipv6.conf.all.forwarding"),
)
NSPAWN = Path("/run/systemd/nspawn")
OTHERS = re.compile(r"vb-c(\d+)-|\bcaxton_lab_(\d+)|\bcaxton(\d+)\b|\b10\.42\.(\d+)\.")


def host(subnets: Iterable[int]) -> set[str]:
    """The host's network and the mounts of labs, line by line, without what labs in other subnets have."""
    ours = {str(subnet) for subnet in subnets}
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    lines = {f"mount {line}" for line in mounts if "nspawn" in line or "caxton-lab" in line}
    for command in COMMANDS:
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        lines |= {f"{command[0]} {' '.join(line.split())}" for line in output.splitlines()}
    return {line for line in lines if ours >= {part for found in OTHERS.findall(line) for part in found if part}}


def of_lab(name: str, subnet: int) -> set[str]:
    """The lab's files, control groups and processes."""
    prefix = names.machine(subnet, "")
    found = {str(path) for path in paths.STATE.glob(name)}
    found |= {str(path) for path in NSPAWN.rglob("*") if path.name.startswith(prefix)}
    for hierarchy in cgroups.hierarchies(True):
        found |= {str(path) for path in (hierarchy / cgroups.GROUP).glob(name)}
    return found | {f"process {pid}" for pid in processes(name)}


def processes(name: str) -> list[int]:
    """Processes in the lab's groups, or with its directory in their command line. A zombie is none."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            groups = (directory / "cgroup").read_text()
            command = (directory / "cmdline").read_bytes()  # empty for a zombie
        except OSError:
            continue
        if command and (f"/{cgroups.GROUP}/{name}/" in groups or f"{paths.STATE}/{name}/".encode() in command):
            found.append(int(directory.name))
    return found
