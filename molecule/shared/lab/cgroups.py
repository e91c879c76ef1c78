"""The control groups of the machines: which processes are a machine's, and how to end or freeze all of them.

A machine *is* its group: whatever runs in it was started for it, so nothing is ever signalled by a remembered
process id. Owns the groups below GROUP in the hierarchies named here; never touches another one, and never
the v1 memory hierarchy.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from lab.errors import Code, LabError

GROUP = "caxton-lab"
MOUNTS = Path("/proc/self/mounts")
CONTROLLERS = ("cpu", "cpuacct", "pids")  # the v1 hierarchies that a hybrid machine may write


def unified() -> Path | None:
    """Where cgroup v2 is mounted, alone or beside v1."""
    for line in MOUNTS.read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    return None


def hierarchies(hybrid: bool) -> list[Path]:
    """The hierarchies in which a machine has a group: v2, systemd's own, and for a hybrid one the controllers."""
    first = unified()
    if first is None:
        raise LabError(Code.MISSING, "no cgroup v2 hierarchy is mounted")
    named = ["systemd", *(CONTROLLERS if hybrid else ())]
    return [first, *(path for name in named if (path := Path("/sys/fs/cgroup") / name).is_dir() and path != first)]


def path(lab: str, host: str = "") -> Path:
    """The machine's group in the v2 hierarchy, or the lab's, which has all its machines."""
    return hierarchies(False)[0] / GROUP / lab / host


def labs() -> list[str]:
    """The labs that have groups."""
    return [group.name for group in path("").glob("*") if group.is_dir()]


def create(lab: str, host: str, hybrid: bool) -> list[Path]:
    """Makes the machine's groups; a launcher enters them or gives up, and makes none itself."""
    groups = [hierarchy / GROUP / lab / host for hierarchy in hierarchies(hybrid)]
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
    return groups


def members(group: Path) -> Iterator[int]:
    """The processes in the group and below it."""
    for each in _below(group):
        try:
            yield from map(int, (each / "cgroup.procs").read_text().split())
        except OSError:  # the group went away meanwhile
            continue


def _below(group: Path) -> Iterator[Path]:
    """The groups in this one, deepest first, and itself; those that vanish meanwhile do not matter."""
    for directory, _, _ in os.walk(group, topdown=False):
        yield Path(directory)


def populated(group: Path) -> bool:
    """Whether anything runs in it."""
    return _event(group, "populated")


def _event(group: Path, name: str) -> bool:
    try:
        return f"{name} 1" in (group / "cgroup.events").read_text().splitlines()
    except OSError:  # the group is gone
        return False


def kill(group: Path, timeout: float = 20) -> None:
    """Ends every process of the group at once, frozen ones too, as a power cut does; waits until they are gone."""
    if not (group / "cgroup.kill").exists():  # gone, or not of v2
        return
    try:
        (group / "cgroup.kill").write_text("1")
    except OSError:  # it went away just now
        return
    end = time.monotonic() + timeout
    while populated(group):
        if time.monotonic() > end:
            raise LabError(Code.FAILED, f"processes in {group} do not end: {sorted(members(group))}")
        time.sleep(0.01)


def freeze(group: Path, frozen: bool, timeout: float = 10) -> None:
    """Stops or continues the machine itself (not what supervises it); waits until it is so."""
    payload = group / "payload"
    (payload / "cgroup.freeze").write_text("1" if frozen else "0")
    end = time.monotonic() + timeout
    while _event(payload, "frozen") != frozen:
        if time.monotonic() > end:
            raise LabError(Code.FAILED, f"{payload} is not {'frozen' if frozen else 'thawed'} after {timeout} s")
        time.sleep(0.01)


def remove(lab: str, host: str = "") -> None:
    """Removes the groups of a machine, or of a whole lab, in every hierarchy; none there is no error.

    A launcher whose tool was killed may enter a group only now. It enters v2 first, which comes first here, and is
    ended there; once the v2 group is gone no launcher gets further.
    """
    for hierarchy in hierarchies(True):
        _remove_tree(hierarchy / GROUP / lab / host)
        for above in (hierarchy / GROUP / lab, hierarchy / GROUP):
            try:
                above.rmdir()
            except OSError:  # another machine's or lab's group is in it, or it is gone
                break


def _remove_tree(top: Path, timeout: float = 20) -> None:
    end = time.monotonic() + timeout
    while top.exists():
        for group in _below(top):
            try:
                group.rmdir()
            except OSError:  # gone; or busy: with a latecomer, or one that is dead but not yet buried
                kill(group)
        if time.monotonic() > end:
            raise LabError(Code.FAILED, f"control group {top} does not go away: {sorted(members(top))} are in it")
        time.sleep(0.005)
