"""Where the controller keeps what belongs to the scenario under test, and how a playbook is run on it.

Owns paths and the call of ansible-playbook. Must never know what a playbook does.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Final

from testinfra.host import Host

from checks.client import Client

ROOT: Final = Path(__file__).resolve().parents[3]
PLAYBOOK_SECONDS: Final = 900


def state() -> Path:
    """What the inventory made on the controller: certificates, secrets."""
    return Path("/var/lib/caxton-lab") / os.environ["MOLECULE_SCENARIO_NAME"] / "inventory"


def authority() -> str:
    """PEM file of the CA that signed the certificates of balancers and nodes."""
    return str(state() / "certificates" / "trusted.crt")


def key(node: Host) -> str:
    """The first key of a node, as only root there can read it."""
    return node.file("/root/.config/caxton/api_key").content_string.strip()


def through(address: str, key: str | None = None, *, bearer: str | None = None) -> Client:
    """A client of a balancer or of the virtual address."""
    return Client(f"https://{address}", key=key, bearer=bearer, authority=authority())


def directly(address: str, key: str | None = None, *, bearer: str | None = None) -> Client:
    """A client of one node, as the balancers are."""
    return Client(f"https://{address}:8080", key=key, bearer=bearer, authority=authority())


def playbook(name: str, *arguments: str, check: bool = True, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Runs playbooks/NAME.yml on the scenario's machines; both streams in `stdout`. Fails the test if it fails."""
    line = ["ansible-playbook", "-i", os.environ["MOLECULE_INVENTORY_FILE"], f"playbooks/{name}.yml", *arguments]
    for variable, value in variables.items():
        line += ["-e", f"{variable}={value}"]
    done = subprocess.run(
        line,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PLAYBOOK_SECONDS,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
    )
    if check:
        assert done.returncode == 0, done.stdout[-6000:]
    return done
