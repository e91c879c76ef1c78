"""A lab as a whole: what tests, molecule and the command line call.

Owns the order of steps: the record before what it records, the guard route before the bridge, the bridge
before the machines, and all of it backwards. Every step may be interrupted, and repeated.
"""

import subprocess
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import cgroups, image, machine, names, network, requirements, seed, state
from lab.errors import Code, LabError
from lab.run import run
from lab.state import Machine, Record

SSH_OPTIONS = (
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
    *("-o", "BatchMode=yes", "-o", "ConnectTimeout=5"),
)


class Lab:
    """One lab, by name. Holds nothing: two objects of the same name are the same lab."""

    def __init__(self, name: str) -> None:
        self.name = names.check_lab(name)

    @property
    def record(self) -> Record:
        """What is recorded of it. Raises LabError: REFUSED when there is no such lab."""
        return state.load(self.name)

    def up(
        self,
        hosts: Mapping[str, str],
        *,
        hybrid: frozenset[str] = frozenset(),
        release: str = "bookworm",
        timeout: float = 60,
    ) -> float:
        """Boots these machines (name to address), waits for sshd and the boot's end; those that run are left alone.

        Returns: seconds from the first launch until the last is ready.

        Raises:
            LabError: MISSING, REFUSED (name, address, subnet in use), or FAILED.
        """
        requirements.check()
        subnet = names.subnet_of(hosts)
        base = str(image.ensure(release))
        with state.exclusive():
            record = claim(self.name, subnet)
            known = len(record.machines)
            for host, address in hosts.items():
                add(record, host, Machine(address, base, host in hybrid))
            state.save(record)
            if 0 < known < len(record.machines):
                introduce(record)
            begun = time.monotonic()
            if not record.key.exists():
                make_key(record.key, f"lab {self.name}")
            network.up(subnet)
            for host in hosts:
                machine.start(record, host)
        self._wait(hosts, timeout)
        for host in hosts:
            machine.settle(record, host, timeout)
        return time.monotonic() - begun

    def down(self) -> None:
        """Ends the machines and removes everything of the lab; one that is half there or gone is no error."""
        with state.exclusive():
            end_processes(self.name)
            if (record := state.find(self.name)) is not None:
                for host in record.machines:
                    network.unlink(names.link(record.subnet, host))
                network.down(record.subnet)
            state.forget(self.name)

    def start(self, host: str, timeout: float = 60) -> None:
        """Boots a machine that is off, from the disk it has, and waits for its sshd."""
        with state.exclusive():
            record = self.record
            address = record.machine(host).address
            machine.start(record, host)
        self._wait({host: address}, timeout)

    def kill(self, host: str) -> None:
        """A power cut. The disk stays."""
        with state.exclusive():
            machine.kill(self.record, self._known(host))

    def stop(self, host: str, timeout: float = 60) -> None:
        """Asks the machine to shut down in order and waits until it is off. One that is off is no error."""
        record = self.record
        record.machine(host)
        if machine.running(record, host):
            machine.power_off(record, host)
            machine.until(lambda: not machine.running(record, host), timeout, f"{host} is still on")
        self.kill(host)

    def wipe(self, host: str) -> None:
        """A power cut, and the disk is gone: start makes a fresh machine of it."""
        with state.exclusive():
            machine.wipe(self.record, self._known(host))

    def freeze(self, host: str, frozen: bool = True) -> None:
        """The machine stops where it is and answers nothing, its connections stay; or goes on."""
        machine.leader(self.record, self._known(host))
        cgroups.freeze(cgroups.path(self.name, host), frozen)

    def plug(self, host: str, connected: bool) -> None:
        """The network cable, out of the bridge or in again."""
        network.plug(self.record.subnet, self._known(host), connected)

    def cut(self, one: str, other: str) -> None:
        """These two machines cannot reach each other; everybody else, this host too, reaches both."""
        pair = (min(one, other), max(one, other))
        with state.exclusive():
            record = self.record
            for host in pair:
                record.machine(host)
            record.cuts = sorted({*record.cuts, pair})
            state.save(record)
            network.partition(record.subnet, record.cuts)

    def heal(self, one: str = "", other: str = "") -> None:
        """Undoes the cut between these two, or all cuts."""
        with state.exclusive():
            record = self.record
            record.cuts = [pair for pair in record.cuts if one and set(pair) != {one, other}]
            state.save(record)
            network.partition(record.subnet, record.cuts)

    def run(
        self, host: str, *command: str, timeout: float = 120, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in the machine as root, without its network or sshd; its exit code is not judged."""
        arguments = machine.enter(self.record, host, *command)
        return subprocess.run(arguments, capture_output=True, text=True, timeout=timeout, input=stdin)

    def ssh(self, host: str, command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs a shell command in the machine as root, over ssh; its exit code is not judged."""
        return subprocess.run([*self.ssh_command(host), command], capture_output=True, text=True, timeout=timeout)

    def ssh_command(self, host: str) -> list[str]:
        """The command line that logs in."""
        record = self.record
        return ["ssh", "-i", str(record.key), *SSH_OPTIONS, f"root@{record.machine(host).address}"]

    def running(self, host: str) -> bool:
        """Whether the machine is on."""
        return machine.running(self.record, self._known(host))

    def _known(self, host: str) -> str:
        self.record.machine(host)
        return host

    def _wait(self, hosts: Mapping[str, str], timeout: float) -> None:
        with ThreadPoolExecutor(len(hosts)) as pool:
            answers = list(pool.map(lambda address: machine.wait_for_ssh(address, timeout), hosts.values()))
        if silent := [host for host, answer in zip(hosts, answers, strict=True) if not answer]:
            where = self.record.disk(silent[0]) / "console.log"
            raise LabError(Code.FAILED, f"no ssh on {', '.join(silent)} within {timeout:.0f} s; see {where}")


def make_key(path: Path, comment: str) -> None:
    """Makes an ssh key pair; `path` is there when both halves are, whoever was killed while making them."""
    with tempfile.TemporaryDirectory(dir=path.parent) as place:
        made = Path(place) / path.name
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", made)
        made.with_name(f"{made.name}.pub").replace(path.with_name(f"{path.name}.pub"))
        made.replace(path)


def down_all() -> None:
    """Removes every lab of this host, and what belongs to labs whose record is lost."""
    for name in state.present():
        Lab(name).down()
    with state.exclusive():
        for name in cgroups.labs():
            end_processes(name)
        for subnet in network.bridges():
            network.down(subnet)


def end_processes(name: str) -> None:
    """Ends everything that runs in the lab and removes its control groups. The caller holds the lock."""
    cgroups.kill(cgroups.path(name))
    cgroups.remove(name)


def claim(name: str, subnet: int) -> Record:
    """The lab's record, a new one if need be, when the subnet is its own. The caller holds the lock."""
    for other in state.everyone():
        if other.name != name and other.subnet == subnet:
            raise LabError(Code.REFUSED, f"{names.network(subnet)} belongs to lab {other.name!r}")
    record = state.find(name) or Record(name, subnet)
    if record.subnet != subnet:
        raise LabError(Code.REFUSED, f"lab {name!r} lives in {names.network(record.subnet)}")
    network.check_free(subnet)
    return record


def add(record: Record, host: str, wanted: Machine) -> None:
    """Enters a machine in the record; one that is there keeps its image and must be what is wanted."""
    known = record.machines.setdefault(host, wanted)
    if known.address != wanted.address or known.hybrid != wanted.hybrid:
        raise LabError(Code.REFUSED, f"lab {record.name} has {host} as {known.address}, hybrid {known.hybrid}")
    if [m.address for m in record.machines.values()].count(wanted.address) > 1:
        raise LabError(Code.REFUSED, f"lab {record.name} has {wanted.address} already")


def introduce(record: Record) -> None:
    """Tells the machines that exist the names of those that joined."""
    for host in record.machines:
        if (disk := record.disk(host)).exists():
            etc = disk / "upper/etc"
            if machine.running(record, host):  # an overlay's layer must not be changed under it
                run(*machine.enter(record, host, "tee", "/etc/hosts"), stdin=seed.neighbours(record))
            elif etc.exists():
                (etc / "hosts").write_text(seed.neighbours(record))
