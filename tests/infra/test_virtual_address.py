"""The configuration of caxton_vip, judged by the real keepalived. How it behaves: molecule/cluster."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.balancers import ROOT, ansible

ROLE = ROOT / "roles" / "caxton_vip"
KEEPALIVED = Path("/usr/sbin/keepalived")
INTERFACE = next((name for _, name in socket.if_nameindex() if name != "lo"), None)
GIVEN = {
    "ansible_managed": "Written by a test.",
    "caxton_vip_address": "10.42.5.100",
    "caxton_vip_interface": INTERFACE,
    "caxton_vip_source": "10.42.5.21",
    "caxton_vip_peers": ["10.42.5.22"],
}
pytestmark = pytest.mark.skipif(
    not (KEEPALIVED.exists() and ansible() and INTERFACE),
    reason="needs keepalived, ansible-playbook and an interface",
)


def render(home: Path, **variables: Any) -> Path:
    """The role's template with these variables, by Ansible."""
    target = home / "keepalived.conf"
    template = {"src": str(ROLE / "templates" / "keepalived.conf.j2"), "dest": str(target), "mode": "0600"}
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
        "tasks": [{"name": "Render", "ansible.builtin.template": template}],
    }
    (home / "variables.json").write_text(json.dumps({**GIVEN, **variables}))
    (home / "play.yml").write_text(json.dumps([play]))
    command = [str(ansible()), "-i", "localhost,", "-e", f"@{home}/variables.json", str(home / "play.yml")]
    environ = {**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_PYTHON_INTERPRETER": sys.executable}
    done = subprocess.run(command, env=environ, cwd=home, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def judged(path: Path) -> int:
    """What keepalived's own test of the configuration ends with."""
    return subprocess.run([str(KEEPALIVED), "-t", "-f", str(path)], capture_output=True, timeout=30).returncode


@pytest.mark.parametrize("preempt", [False, True])
def test_keepalived_takes_it(tmp_path: Path, preempt: bool) -> None:
    path = render(tmp_path, caxton_vip_preempt=preempt)
    assert judged(path) == 0
    assert ("nopreempt" in path.read_text()) is not preempt


def test_and_would_not_take_everything(tmp_path: Path) -> None:
    assert judged(render(tmp_path, caxton_vip_router_id=1000)) != 0
