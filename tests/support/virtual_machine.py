"""One virtual machine with a kernel of its own: the only place here where a memory limit of a unit can bind.

Owns its image, its qemu process and the way in. Must never reach a network: qemu's own, closed but for ssh from
127.0.0.1. There is no hardware virtualisation to rely on, so every instruction is emulated, about eight times
slower than on the host.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from support.served_node import free_ports, until

ROOT: Final = Path(__file__).resolve().parents[2]
CACHE: Final = Path("/var/cache/caxton-limits")
PACKAGES: Final = (
    *("systemd", "systemd-sysv", "dbus", "udev", "openssh-server", "python3", "iproute2"),
    *("linux-image-cloud-amd64", "initramfs-tools"),
)
PROGRAMS: Final = {
    "qemu-system-x86_64": "qemu-system-x86",
    "debootstrap": "debootstrap",
    "mke2fs": "e2fsprogs",
    "unshare": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
"""What starts a machine, and the Debian package that has it."""
BOOT_SECONDS: Final = 300.0
_LINK: Final = "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
_BUILD: Final = """
mount -t overlay overlay -o "$1" "$2"
mount -t proc proc "$2/proc"
inside="env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive chroot $2"
$inside apt-get install -y /root/package.deb
rm "$2/root/package.deb"
umount "$2/proc"
mke2fs -q -t ext4 -d "$2" "$3" 3G
"""
"""Layers, where they are mounted, and the image that is made of them."""
_NETWORK: Final = "[Match]\nType=ether\n[Network]\nAddress=10.0.2.15/24\nLinkLocalAddressing=no\n"


def missing() -> str | None:
    """What is missing to run one here, in one line; None when nothing is."""
    if os.geteuid() != 0:
        return "the virtual machine's image needs root"
    absent = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    return f"the virtual machine needs: apt install {' '.join(absent)}" if absent else None


def base(release: str = "bookworm") -> Path:
    """A Debian tree with a kernel; made once and kept."""
    digest = hashlib.sha256(" ".join((release, *PACKAGES)).encode()).hexdigest()[:12]
    tree = CACHE / digest
    if not tree.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["sh", str(ROOT / "packaging" / "rootfs.sh"), release, str(tree), *PACKAGES], check=True)
    return tree


class VirtualMachine:
    """Boots a copy of `base()` with `files` (path inside to content) added and `package`, a .deb, installed.

    It is installed before the machine starts, in a chroot without a network: emulated that alone takes minutes.
    """

    def __init__(self, folder: Path, files: dict[str, bytes], package: Path, memory: int = 2048) -> None:
        self._folder, self._memory = folder, memory
        self._key = folder / "key"
        self._port = free_ports(1)[0]
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)], check=True)
        self._image = folder / "disk.img"
        self._boot = next((base() / "boot").glob("vmlinuz-*")), next((base() / "boot").glob("initrd.img-*"))
        self._make_image({**files, "root/package.deb": package.read_bytes()})
        self._process: subprocess.Popen[bytes] | None = None

    def _make_image(self, files: dict[str, bytes]) -> None:
        upper, work, merged = (self._folder / name for name in ("upper", "work", "merged"))
        own = {
            "etc/hostname": b"limits\n",
            "etc/systemd/network/10-ether.network": _NETWORK.encode(),
            "root/.ssh/authorized_keys": self._key.with_suffix(".pub").read_bytes(),
        }
        for name, content in {**own, **files}.items():
            (upper / name).parent.mkdir(parents=True, exist_ok=True)
            (upper / name).write_bytes(content)
        (upper / _LINK).parent.mkdir(parents=True)
        (upper / _LINK).symlink_to("/lib/systemd/system/systemd-networkd.service")
        (upper / "etc/ssh").mkdir()
        for path in (upper / "root", upper / "root/.ssh"):
            path.chmod(0o700)
        subprocess.run(["ssh-keygen", "-q", "-A", "-f", str(upper)], check=True)
        work.mkdir()
        merged.mkdir()
        layers = f"lowerdir={base()},upperdir={upper},workdir={work}"
        # the mount is in a name space of its own: nothing is left to unmount
        alone = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-eu", "-c", _BUILD, "sh"]
        with (self._folder / "image.log").open("wb") as log:
            built = subprocess.run([*alone, layers, str(merged), str(self._image)], stdout=log, stderr=log)
        assert built.returncode == 0, (self._folder / "image.log").read_text()

    def start(self) -> float:
        """Boots it and waits for ssh; how many seconds that took."""
        kernel, initrd = self._boot
        started = time.monotonic()
        command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"]
        command += ["-smp", "2", "-m", str(self._memory), "-nodefaults", "-no-user-config", "-nographic"]
        command += ["-serial", f"file:{self._folder / 'serial.log'}", "-kernel", str(kernel), "-initrd", str(initrd)]
        command += ["-append", "console=ttyS0 root=/dev/vda rw quiet"]
        command += ["-drive", f"id=disk,file={self._image},format=raw,if=none,cache=unsafe"]
        command += ["-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci"]
        command += ["-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self._port}-:22"]
        command += ["-device", "virtio-net-pci,netdev=net"]
        with (self._folder / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self._answers, "the virtual machine answers by ssh", BOOT_SECONDS)
        return time.monotonic() - started

    def run(self, command: str, timeout: float = 120.0, check: bool = True) -> str:
        """What a shell command inside prints; it must succeed, unless `check` is off."""
        options = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "ControlMaster": "auto",
            "ControlPath": str(self._folder / "ssh"),
            "ControlPersist": "60",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        whole = ["ssh", *words, "-i", str(self._key), "-p", str(self._port), "root@127.0.0.1", command]
        done = subprocess.run(whole, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        assert done.returncode == 0 or not check, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def properties(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit as `systemctl show` has them."""
        text = self.run(f"systemctl show {shlex.quote(unit)} -p {','.join(names)}")
        return dict(line.split("=", 1) for line in text.splitlines())

    def cgroup(self, unit: str, name: str) -> str:
        """One of the kernel's files about a unit's cgroup."""
        return self.run(f"cat /sys/fs/cgroup/system.slice/{shlex.quote(unit)}/{name}").strip()

    def counters(self, unit: str, name: str) -> dict[str, int]:
        """One of those files that has a name and a number in each line."""
        return {key: int(value) for key, value in (line.split() for line in self.cgroup(unit, name).splitlines())}

    def serial(self) -> str:
        """What it printed on its console."""
        path = self._folder / "serial.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """Ends it; its disk is not asked."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "qemu.log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=10) as connection:
                connection.settimeout(10)
                return connection.recv(4) == b"SSH-"  # qemu itself accepts before anybody inside listens
        except OSError:
            return False
