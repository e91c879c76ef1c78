"""Whether this host can run lab machines at all. Changes nothing."""

import os
import platform
import shutil

from lab import cgroups, run
from lab.errors import Code, LabError

# program -> Debian package; packaging/host-packages.txt names the same
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "dpkg-scanpackages": "dpkg-dev",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
    "setsid": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}


def missing() -> str | None:
    """What is missing to run lab machines here, in one line; None when nothing is."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        return "lab machines need root on Linux"
    absent = {program: package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    if absent:
        return f"lab machines need {', '.join(absent)}: apt install {' '.join(sorted(set(absent.values())))}"
    if (unified := cgroups.unified()) is None:
        return "lab machines need a mounted cgroup v2 hierarchy"
    if not os.access(unified, os.W_OK):
        return f"lab machines need {unified} to be writable"
    if not run.succeeds("unshare", "--mount", "--propagation", "private", "true"):
        return "lab machines need the right to make mount namespaces (a privileged container, or none)"
    return None


def check() -> None:
    """Raises LabError: MISSING, with the line, when something is missing."""
    if (lack := missing()) is not None:
        raise LabError(Code.MISSING, lack)
