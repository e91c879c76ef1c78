"""Run by a unit in the place of its program: tries what its walls should forbid, prints what came of each as JSON.

Uses the standard library only; runs on the machine, under the bundled Python.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
NEWUSER, NEWNET = 0x10000000, 0x40000000


def system(result: int) -> object:
    """The result of a C call, or its error."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return "done"


def connect(family: int, target: tuple[str, int] | str) -> str:
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(3)
        client.connect(target)
    return "done"


def done(action: Callable[[], object]) -> str:
    """That it could be done, whatever it gives."""
    action()
    return "done"


def write(path: str) -> str:
    Path(path).write_text("probe")
    os.unlink(path)
    return "done"


def set_user_id() -> str:
    path = "/tmp/probe"
    Path(path).write_text("")
    os.chmod(path, 0o4755)
    return "done"


def call(number: int, *arguments: int) -> str:
    """A bare system call (x86-64) that only a kernel which lets it through answers with anything but an error."""
    if LIBC.syscall(number, *arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return "done"


def fork() -> str:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "done"


def execute() -> str:
    return "done" if os.waitstatus_to_exitcode(os.spawnv(os.P_WAIT, "/bin/true", ["true"]) << 8) == 0 else "failed"


def read(path: str) -> str:
    with open(path, "rb") as file:
        file.read(1)
    return "done"


def status(name: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{name}:"))


def probes(peer: str) -> dict[str, Callable[[], object]]:
    """Everything that is tried, by name."""
    return {
        "CapEff": lambda: int(status("CapEff"), 16),
        "NoNewPrivs": lambda: int(status("NoNewPrivs")),
        "Seccomp": lambda: int(status("Seccomp")),
        "connect": lambda: connect(socket.AF_INET, (peer, 22)),
        "connect loopback": lambda: connect(socket.AF_INET, ("127.0.0.1", 22)),
        "message bus": lambda: connect(socket.AF_UNIX, "/run/dbus/system_bus_socket"),
        "router.sock": lambda: connect(socket.AF_UNIX, "/run/caxton/router.sock"),
        "executor.sock": lambda: connect(socket.AF_UNIX, "/run/caxton-executor/executor.sock"),
        "metadata address": lambda: connect(socket.AF_INET, ("169.254.169.254", 80)),
        "netlink": lambda: done(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()),
        "read cached code's key": lambda: read("/var/cache/caxton-executor/key"),
        "read token secret": lambda: read("/etc/credstore/caxton.jwt_secret"),
        "read memory of init": lambda: read("/proc/1/mem"),
        "signal init": lambda: done(lambda: os.kill(1, 0)),
        "keyring": lambda: call(250, 0, -3, 0),
        "perf_event_open": lambda: call(298, 0, 0, -1, -1, 0),
        "bpf": lambda: call(321, 0, 0, 0),
        "io_uring": lambda: call(425, 1, 0),
        "userfaultfd": lambda: call(323, 0),
        "fork": fork,
        "execute": execute,
        "raw socket": lambda: done(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()),
        "read database": lambda: len(Path("/opt/caxton/data/local.db").read_bytes()) > 0 and "done",
        "read configuration": lambda: len(Path("/opt/caxton/config/production.toml").read_bytes()) > 0 and "done",
        "write configuration": lambda: write("/opt/caxton/config/probe"),
        "write data": lambda: write("/opt/caxton/data/probe"),
        "write backups": lambda: write("/opt/caxton/backups/probe"),
        "write /etc": lambda: write("/etc/probe"),
        "write /usr": lambda: write("/usr/lib/caxton/probe"),
        "write /var": lambda: write("/var/tmp/../lib/probe"),
        "write units": lambda: write("/run/systemd/system/probe"),
        "home": lambda: os.listdir("/home") or "empty",
        "root's home": lambda: os.listdir("/root") or "empty",
        "processes": lambda: (
            sorted({os.stat(f"/proc/{p}").st_uid for p in os.listdir("/proc") if p.isdigit()} - {os.getuid()})
            or "own"
        ),
        "devices": lambda: sorted({"mem", "kmsg", "console", "fuse"} & set(os.listdir("/dev"))) or "none",
        "unshare": lambda: system(LIBC.unshare(NEWUSER | NEWNET)),
        "mount": lambda: system(LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
        "executable memory": lambda: done(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close()),
        "host name": lambda: done(lambda: socket.sethostname("probe")),
        "kernel setting": lambda: write("/proc/sys/kernel/core_pattern"),
        "set-user-id": set_user_id,
        "real time": lambda: done(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
        "priority": lambda: os.nice(1) and "done",
        "personality": lambda: system(LIBC.personality(0x0008) - 0),
        "ptrace": lambda: system(LIBC.ptrace(16, 1, 0, 0)),
        "temporary file": lambda: write("/tmp/probe-file"),
    }


def main(peer: str) -> None:
    found: dict[str, object] = {}
    for name, attempt in probes(peer).items():
        try:
            found[name] = attempt()
        except OSError as error:
            found[name] = os.strerror(error.errno) if error.errno else type(error).__name__
        except (ValueError, AttributeError) as error:
            found[name] = type(error).__name__
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
