"""What is refused before anything is made: names, addresses, hosts that cannot run machines."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lab import names, paths, requirements
from lab.errors import Code, LabError


def cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(paths.REPOSITORY / "molecule/shared"), **environment}
    return subprocess.run([sys.executable, "-m", "lab", *arguments], env=environ, capture_output=True, text=True)


@pytest.mark.parametrize(
    "hosts",
    [
        {},
        {"node1": ""},
        {"node1": "10.42.5"},
        {"node1": "10.43.5.11"},
        {"node1": "192.0.2.7"},
        {"node1": "10.42.5.0"},
        {"node1": "10.42.5.1"},
        {"node1": "10.42.5.255"},
        {"node1": "10.42.5.11", "node2": "10.42.7.11"},
        {"node1": "10.42.5.11", "node2": "10.42.5.11"},
        {"": "10.42.5.11"},
        {"Node1": "10.42.5.11"},
        {"node-one": "10.42.5.11"},
        {"a b": "10.42.5.11"},
        {"a;b": "10.42.5.11"},
        {"../x": "10.42.5.11"},
    ],
    ids=str,
)
def test_hosts_and_addresses(hosts: dict[str, str]) -> None:
    with pytest.raises(LabError) as caught:
        names.subnet_of(hosts)
    assert caught.value.code is Code.REFUSED


@pytest.mark.parametrize("name", ["", "Lab", "1lab", "a/b", "..", "a b", "a;b", "-a", "a" * 32])
def test_lab_names(name: str) -> None:
    with pytest.raises(LabError) as caught:
        names.check_lab(name)
    assert caught.value.code is Code.REFUSED


def test_every_interface_name_fits_the_kernel() -> None:
    assert len(names.link(255, "n" * 7)) <= 15
    assert len(names.bridge(255)) <= 15
    assert names.subnet_of({"n" * 7: "10.42.255.254"}) == 255


@pytest.mark.parametrize("arguments", [("up", "infra", "node1=10.42.5.11"), ("image",), ("down", "infra"), ("list",)])
def test_a_host_without_the_machinery_says_so_in_one_line(arguments: tuple[str, ...]) -> None:
    refused = cli(*arguments, PATH="/nonexistent")
    assert refused.returncode == Code.MISSING
    assert refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [("down",), ("down", "infra", "--all"), ("kill", "infra-none", "node1"), ("exec", "infra-none", "node1")],
    ids=" ".join,
)
def test_the_command_line_refuses_in_one_line(arguments: tuple[str, ...]) -> None:
    refused = cli(*arguments)
    assert refused.returncode == (Code.MISSING if requirements.missing() else Code.REFUSED)
    assert len(refused.stderr.splitlines()) == 1
