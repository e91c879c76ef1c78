"""What a lab is, on disk: so that a later call finds it, also after this one was killed at any moment.

Owns /var/lib/caxton-lab. A lab's record is written before anything of it is made and removed after everything
of it is gone; it says what *may* exist, the kernel says what does.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab import names, paths
from lab.errors import Code, LabError


@dataclass
class Machine:
    """One machine of a lab."""

    address: str
    image: str  # the base image's directory, kept for the machine's life
    hybrid: bool = False


@dataclass
class Record:
    """One lab."""

    name: str
    subnet: int
    machines: dict[str, Machine] = field(default_factory=dict)
    cuts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        """Everything of the lab that is a file."""
        return paths.STATE / self.name

    @property
    def key(self) -> Path:
        """The private key that opens every machine of the lab as root."""
        return self.directory / "id_ed25519"

    def disk(self, host: str) -> Path:
        """The machine's directory: upper (its disk), work and root (the overlay's), console.log."""
        return self.directory / "machines" / host

    def machine(self, host: str) -> Machine:
        """The machine of this name.

        Raises:
            LabError: REFUSED when the lab has none.
        """
        if host not in self.machines:
            raise LabError(
                Code.REFUSED, f"lab {self.name} has no {host!r}; it has {', '.join(self.machines) or 'none'}"
            )
        return self.machines[host]


@contextmanager
def exclusive() -> Iterator[None]:
    """Only one process at a time changes labs; the kernel lets go when the process ends, however it ends."""
    paths.LOCK.parent.mkdir(parents=True, exist_ok=True)
    with paths.LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def find(name: str) -> Record | None:
    """The lab of this name, if there is one."""
    try:
        text = (paths.STATE / names.check_lab(name) / "lab.json").read_text()
    except FileNotFoundError:
        return None
    raw = json.loads(text)
    machines = {host: Machine(**machine) for host, machine in raw["machines"].items()}
    return Record(raw["name"], raw["subnet"], machines, [(a, b) for a, b in raw["cuts"]])


def load(name: str) -> Record:
    """The lab of this name.

    Raises:
        LabError: REFUSED when there is none.
    """
    if (record := find(name)) is None:
        raise LabError(Code.REFUSED, f"there is no lab {name!r}")
    return record


def everyone() -> list[Record]:
    """All labs of this host, by name."""
    found = (find(path.parent.name) for path in sorted(paths.STATE.glob("*/lab.json")))
    return [record for record in found if record is not None]


def save(record: Record) -> None:
    """Writes the record, whole or not at all."""
    record.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = record.directory / "lab.json.new"
    new.write_text(json.dumps(asdict(record), indent=1) + "\n")
    os.replace(new, record.directory / "lab.json")


def present() -> list[str]:
    """The names of all labs that have files, also of one whose making or removal was interrupted."""
    return sorted(path.name for path in paths.STATE.glob("*"))


def forget(name: str) -> None:
    """Removes every file of the lab, its record last: a removal that is interrupted can be repeated."""
    directory = paths.STATE / names.check_lab(name)
    for path in directory.glob("*"):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lab.json":
            path.unlink()
    shutil.rmtree(directory, ignore_errors=True)
    try:
        paths.STATE.rmdir()
    except OSError:  # other labs, or none ever
        pass
