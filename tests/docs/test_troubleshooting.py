"""app/docs/troubleshooting.md: its commands parse, and those that need nothing but a node succeed on one."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from caxton.doctor import EXAMINATIONS
from support.commands import complaint, ours, quoted
from support.served_node import ECHO, SOURCE, TRAP, ServedNode

DOCS = Path(__file__).resolve().parents[2] / "app" / "docs"
TEXT = (DOCS / "troubleshooting.md").read_text()
CELLS = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in TEXT.splitlines() if line.startswith("| `")]
COMMANDS = list(dict.fromkeys(quoted(cells[0])[0] for cells in CELLS if len(cells) == 3))
HERE = [one for one in COMMANDS if one.startswith(("caxton ", "curl -s http://localhost:"))]
ELSEWHERE = {"systemctl", "journalctl", "ss", "getent", "curl", "echo", "play"}
"""What is asked of systemd, of the firewall and of other machines."""
CHANGES = {("agent", "update"), ("agent", "rollback"), ("agent", "start"), ("agent", "stop")}


@pytest.mark.parametrize("line", quoted(TEXT))
def test_every_command_of_ours_parses(line: str) -> None:
    assert not [found for words in ours(line) if (found := complaint(words))]


def test_every_section_of_the_guide_has_commands_and_says_what_good_and_bad_look_like() -> None:
    for heading in ("memory limits", "memory leaks", "given back", "module valid", "limits wide", "logs say"):
        assert re.search(rf"^### .*{heading}", TEXT, re.MULTILINE), heading
    for heading in ("Firewall", "Names", "Load balancer"):
        assert f"### {heading}\n" in TEXT
    for section in re.split(r"^##+ ", TEXT, flags=re.MULTILINE)[2:]:
        assert "\n| `" in section or "\n### " in section or section.count("\n") < 3, section[:80]
    assert all(all(cell.strip() for cell in cells) for cells in CELLS)
    assert {one.split()[0] for one in COMMANDS if one not in HERE} <= ELSEWHERE
    assert not [one for one in HERE for words in ours(one) if tuple(words[:2]) in CHANGES]


def test_every_check_of_the_doctor_is_in_its_table() -> None:
    table = (DOCS / "node.md").read_text().partition("| check |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z ]+)` \|", table, re.MULTILINE) == list(EXAMINATIONS)


@pytest.fixture(scope="module")
def node() -> Iterator[ServedNode]:
    served = ServedNode(CAXTON_MESSAGING__RETRY_DELAY="0s", CAXTON_MESSAGING__MAX_DELIVERIES="1")
    try:
        served.start()
        for name, text in (("echo", ECHO), ("trap", TRAP)):
            assert served.cli("agent", "deploy", served.write(f"{name}.wat", text)).returncode == 0
        assert served.cli("agent", "invoke", "trap", "1").returncode == 1
        assert served.cli("agent", "invoke", "echo", "1").returncode == 0
        served.write("caxton", f'#!/bin/sh\nexec "{sys.executable}" -m caxton "$@"\n')
        (served.directory / "caxton").chmod(stat.S_IRWXU)
        yield served
    finally:
        served.close()


def on(node: ServedNode, command: str) -> str:
    """The command as one types it on this node."""
    metrics = node.environ["CAXTON_NETWORKING__METRICS_ADDRESS"]
    command = command.replace("localhost:9090", metrics).replace("localhost:8080", urlsplit(node.url).netloc)
    return re.sub(r"\bNAME\b", "echo", command).replace("FILE", "echo.wat")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed on this host")
def test_its_commands_succeed_on_a_node(node: ServedNode) -> None:
    def run(command: str) -> str:
        environ = {"PATH": f"{node.directory}:/usr/bin:/bin", "PYTHONPATH": str(SOURCE), "HOME": "/nonexistent"}
        shell = ["bash", "-o", "pipefail", "-c", on(node, command)]
        done = subprocess.run(
            shell, env=environ | node.environ, cwd=node.directory, capture_output=True, text=True, timeout=120
        )
        return "" if done.returncode == 0 and not done.stderr else f"{shell[-1]}: {done.returncode} {done.stderr}"

    assert len(HERE) > 20
    with ThreadPoolExecutor(2) as pool:
        assert not [one for one in pool.map(run, HERE) if one]
