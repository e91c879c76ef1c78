"""Hosts of a test as network namespaces: one each, all on a bridge in one of their own, and what breaks between them.

Owns the namespaces `cx<pid>…` and the rules in them. Must never touch the host's own network.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_NEW_NETWORK: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_NAMED: Final = Path("/run/netns")
_PREFIX: Final = "10.83.0"
HUB: Final = "hub"
PROXY_MARK: Final = 77
"""What the delaying proxy's own connections are marked with."""


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread, and what it starts meanwhile, is on the network of that namespace."""
    with open("/proc/thread-self/ns/net", "rb") as before:
        _enter(_NAMED / namespace)
        try:
            yield
        finally:
            _enter_descriptor(before.fileno())


def _enter(path: Path) -> None:
    with path.open("rb") as file:
        _enter_descriptor(file.fileno())


def _enter_descriptor(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _NEW_NETWORK) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Network:
    """Hosts by name. The test itself belongs into `hub`, from where it reaches all of them, whatever is cut."""

    def __init__(self, hosts: list[str]) -> None:
        self._own = f"cx{os.getpid()}"
        self.addresses = {name: f"{_PREFIX}.{number}" for number, name in enumerate(hosts, 1)}
        self.hub = self._named(HUB)
        self._losses: dict[object, tuple[frozenset[tuple[str, str]], int]] = {}
        self._redirects: dict[object, tuple[str, str, int]] = {}
        _remove_left_over()
        self._make()

    def of(self, host: str) -> str:
        """The name of a host's namespace."""
        return self._named(host)

    def close(self) -> None:
        """Removes the namespaces, and with them all that was in them."""
        for name in [*self.addresses, HUB]:
            subprocess.run(["ip", "netns", "delete", self._named(name)], capture_output=True)

    # ---- what breaks: each under a key of the caller's, by which it is mended ---------------------------------

    def lose(self, key: object, percent: int, *ways: tuple[str, str]) -> None:
        """Of what the first sends to the second of each pair so many packets of a hundred do not arrive any more."""
        self._losses[key] = (frozenset(ways), percent)
        self._apply()

    def dropped(self, host: str) -> int:
        """How many packets to a host were lost by what is wrong now."""
        with inside(self.of(host)):
            shown = subprocess.run(
                ["nft", "list", "table", "ip", "faults"], capture_output=True, text=True, check=True
            )
        return sum(map(int, re.findall(r"packets (\d+)", shown.stdout)))

    def redirect(self, key: object, host: str, to: str, port: int) -> None:
        """What connects from one host to another's API meets `port` of its own host instead; links begin anew."""
        self._break_links(host, to)
        self._redirects[key] = (host, to, port)
        self._apply()

    def mend(self, key: object) -> None:
        """Ends what was begun under this key."""
        self._losses.pop(key, None)
        gone = self._redirects.pop(key, None)
        self._apply()
        if gone is not None:
            self._break_links(gone[0], gone[1])

    def _break_links(self, host: str, to: str) -> None:
        """Resets the connections that there are."""
        rule = f"ip daddr {self.addresses[to]} tcp dport 8080 reject with tcp reset"
        self._apply({host: rule})
        with inside(self.of(host)):
            asked = ["ss", "-Htn", "state", "established", "dst", f"{self.addresses[to]}:8080"]
            for _ in range(100):
                if not subprocess.run(asked, capture_output=True, check=True).stdout:
                    break
                subprocess.run(["sleep", "0.05"], check=True)
        self._apply()

    def _apply(self, resets: dict[str, str] | None = None) -> None:
        for host in self.addresses:
            with inside(self.of(host)):
                text = self._rules(host, (resets or {}).get(host, ""))
                subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True, capture_output=True)

    def _rules(self, host: str, reset: str) -> str:
        drops = [
            f"ip saddr {self.addresses[source]} {_some(percent)} counter drop"
            for ways, percent in self._losses.values()
            for source, to in sorted(ways)
            if to == host
        ]
        redirects = [
            f"meta mark != {PROXY_MARK} ip daddr {self.addresses[to]} tcp dport 8080 redirect to :{port}"
            for source, to, port in self._redirects.values()
            if source == host
        ]
        return _RULES.format(drops="\n".join(drops), reset=reset, redirects="\n".join(redirects))

    def _named(self, name: str) -> str:
        return f"{self._own}{name}"

    def _make(self) -> None:
        for name in [HUB, *self.addresses]:
            _ip("netns", "add", self._named(name))
            _ip("-n", self._named(name), "link", "set", "lo", "up")
        hub = self.hub
        _ip("-n", hub, "link", "add", "br0", "type", "bridge")
        _ip("-n", hub, "link", "set", "br0", "up")
        _ip("-n", hub, "address", "add", f"{_PREFIX}.254/24", "dev", "br0")
        for name, address in self.addresses.items():
            own = self._named(name)
            _ip("-n", own, "link", "add", "eth0", "type", "veth", "peer", "name", name, "netns", hub)
            _ip("-n", hub, "link", "set", name, "up", "master", "br0")
            _ip("-n", own, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", own, "link", "set", "eth0", "up")
        self._apply()


_RULES: Final = """
table ip faults {{ }}
delete table ip faults
table ip faults {{
  chain arriving {{ type filter hook input priority 0; {drops}
  }}
  chain leaving {{ type filter hook output priority 0; {reset}
  }}
  chain elsewhere {{ type nat hook output priority -100; {redirects}
  }}
}}
"""


def _some(percent: int) -> str:
    """What matches so many of a hundred packets."""
    return "" if percent >= 100 else f"numgen random mod 100 < {percent}"


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


def _remove_left_over() -> None:
    """What test processes left that are no more: one that is killed cannot clear up. Their nodes, too."""
    for path in _NAMED.glob("cx*") if _NAMED.is_dir() else ():
        found = re.match(r"cx(\d+)", path.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            inhabitants = subprocess.run(["ip", "netns", "pids", path.name], capture_output=True, text=True).stdout
            for pid in map(int, inhabitants.split()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            subprocess.run(["ip", "netns", "delete", path.name], capture_output=True)
    for line in Path("/proc/mounts").read_text().splitlines():
        source, target = line.split()[:2]
        found = re.match(r"cx(\d+)", source)
        if found and not Path(f"/proc/{found[1]}").exists():
            subprocess.run(["umount", "--lazy", target], capture_output=True)
