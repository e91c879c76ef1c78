"""What a machine's disk holds before its first boot: its name, its network, its key, its neighbours.

Owns those files in the machine's upper layer. Never changes what is there: a machine keeps its disk.
"""

import hashlib
from pathlib import Path

from lab import cgroups, names
from lab.run import run
from lab.state import Record

NETWORK = """[Match]
Name=host0

[Network]
Address={address}/24
LinkLocalAddressing=no
IPv6AcceptRA=no
LLMNR=no
MulticastDNS=no
"""

# Process 1 of a hybrid machine, before systemd looks at what it may control: nspawn mounts the v1 hierarchies
# read-only, and the machine's group in each of them is its own.
HYBRID_INIT = f"""#!/bin/sh
for controller in {" ".join(cgroups.CONTROLLERS)}; do
    mount -o remount,rw,bind "/sys/fs/cgroup/$controller" || exit 1
done
exec /lib/systemd/systemd
"""
HYBRID_INIT_PATH = "usr/local/sbin/hybrid-init"


def disk(record: Record, host: str) -> None:
    """Makes the machine's disk, once."""
    upper = record.disk(host) / "upper"
    if (upper / "etc/hostname").exists():
        return
    address, hybrid = record.machine(host).address, record.machine(host).hybrid
    _write(upper, "root/.ssh/authorized_keys", record.key.with_suffix(".pub").read_text(), 0o600)
    for private in ("root", "root/.ssh"):
        (upper / private).chmod(0o700)
    _write(upper, "etc/machine-id", hashlib.md5(f"{record.name}/{host}".encode()).hexdigest() + "\n", 0o444)
    _write(upper, "etc/hosts", neighbours(record))
    _write(upper, "etc/systemd/network/10-host0.network", NETWORK.format(address=address))
    if hybrid:
        _write(upper, HYBRID_INIT_PATH, HYBRID_INIT, 0o755)
    (upper / "etc/ssh").mkdir(exist_ok=True)
    key = upper / "etc/ssh/ssh_host_ed25519_key"
    key.unlink(missing_ok=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host, "-f", key)
    _write(upper, "etc/hostname", host + "\n")  # last: it says that the disk is complete


def neighbours(record: Record) -> str:
    """/etc/hosts: every machine of the lab, and this host as `lab-host`."""
    lines = ["127.0.0.1 localhost", f"{names.gateway(record.subnet)} lab-host"]
    lines += [f"{machine.address} {host}" for host, machine in record.machines.items()]
    return "\n".join(lines) + "\n"


def _write(upper: Path, name: str, text: str, mode: int = 0o644) -> None:
    path = upper / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
