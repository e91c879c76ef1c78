"""What is in a base image: its packages, its local apt repository, its few settings.

The image's directory is named by a digest of this file and of rootfs.sh, so any change here makes a new one.
An image is a *fresh* Debian host: nothing of what the roles install is installed, but all of it lies with its
dependencies in REPOSITORY_DIRECTORY, from where apt really installs it without any network.
"""

import hashlib
from pathlib import Path

from lab import paths
from lab.run import chroot, run

RELEASES = ("bookworm", "trixie")

BASE_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "libpam-systemd",
    "dbus",
    "openssh-server",
    "sudo",
    "python3",
    "python3-apt",  # Ansible's apt module would fetch it from the network
    "iproute2",
    "iputils-ping",
    "procps",
    "kmod",
    "netbase",
)

# What roles and tests install with apt inside the machines.
OFFERED_PACKAGES = (
    "acl",
    "age",
    "chrony",
    "curl",
    "haproxy",
    "jq",
    "keepalived",
    "logrotate",
    "needrestart",
    "nftables",
    "nginx",
    "openssl",
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-blackbox-exporter",
    "prometheus-node-exporter",
    "restic",
    "rsync",
    "serf",
    "socat",
    "sqlite3",
    "ssl-cert",
    "systemd-timesyncd",
    "tcpdump",
    "unattended-upgrades",
)

REPOSITORY_DIRECTORY = "srv/debian"
SOURCES = f"deb [trusted=yes] file:/{REPOSITORY_DIRECTORY} ./\n"

# Timers that take dpkg's lock some minutes after a boot, in the middle of a test.
MASKED_UNITS = ("apt-daily.timer", "apt-daily-upgrade.timer")


def digest() -> str:
    """The identity of the recipe: 12 hexadecimal digits."""
    text = Path(__file__).read_bytes() + paths.ROOTFS_SCRIPT.read_bytes()
    return hashlib.sha256(text).hexdigest()[:12]


def prepare(root: Path) -> None:
    """Turns a root file system with BASE_PACKAGES into a base image, in place."""
    download_offered(root)
    index_repository(root)
    systemd = root / "etc/systemd/system"
    for unit in MASKED_UNITS:
        (systemd / unit).symlink_to("/dev/null")
    chroot(root, "systemctl", "enable", "systemd-networkd.service")


def download_offered(root: Path) -> None:
    """Fetches the offered packages with everything that a machine of this image lacks for them.

    One by one, against the image's own dpkg status: two that exclude each other are both complete.
    """
    resolv = root / "etc/resolv.conf"
    resolv.write_bytes(Path("/etc/resolv.conf").read_bytes())
    for package in OFFERED_PACKAGES:
        chroot(root, "apt-get", "install", "-q", "-y", "--no-install-recommends", "--download-only", package)
    resolv.write_text("")


def index_repository(root: Path) -> None:
    """Moves what was downloaded into the local repository and makes it apt's only source."""
    target = root / REPOSITORY_DIRECTORY
    target.mkdir(parents=True)
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        package.rename(target / package.name)
    (target / "Packages").write_text(run("dpkg-scanpackages", "--multiversion", ".", directory=target))
    (root / "etc/apt/sources.list").write_text(SOURCES)
    for stale in (root / "var/lib/apt/lists").glob("*_*"):
        stale.unlink()
    chroot(root, "apt-get", "update", "-q")
