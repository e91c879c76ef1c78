"""A server that answers 200 and is no node: the login page of a proxy, or another program's JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from caxton.cli.client import Client
from caxton.cli.target import Target
from support.served_node import ServedNode, free_ports, run_cli, until
from support.terminal import Terminal

LOGIN = "<!doctype html><title>Log in</title>"


class Site:
    """A web server. `put` changes what one path of the API answers to GET."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "api" / "v1"
        self._folder.mkdir(parents=True)
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, "the web server is there")

    def put(self, path: str, text: str) -> None:
        file = self._folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".new").write_text(text)
        os.replace(file.with_suffix(".new"), file)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url).is_success
        except httpx.TransportError:
            return False


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with closing(Site(tmp_path)) as site:
        yield site


@pytest.mark.parametrize("arguments", [["agent", "list"], ["top", "--once"], ["ledger"]])
def test_a_page_instead_of_an_answer_is_1_and_not_a_traceback(site: Site, arguments: list[str]) -> None:
    for path in ("agents", "node", "ledger"):
        site.put(path, LOGIN)
    done = run_cli(*arguments, env={"CAXTON_URL": site.url})
    assert (done.returncode, done.stdout) == (1, "")
    assert "[INTERNAL_ERROR]" in done.stderr
    assert site.url in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("options", [[], ["-f"]])
def test_a_page_instead_of_a_log(site: Site, options: list[str]) -> None:
    site.put("agents/echo/logs", LOGIN)
    done = run_cli("agent", "logs", "echo", *options, env={"CAXTON_URL": site.url})
    assert (done.returncode, done.stdout) == (1, "")
    assert "[INTERNAL_ERROR]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("other", [LOGIN, "{}", '{"items": [[]]}'])
def test_top_says_that_its_figures_are_old(node: ServedNode, echo: str, site: Site, other: str) -> None:
    with closing(Client(Target(node.url))) as client:
        real = {path: json.dumps(client.get(f"/{path}")) for path in ("node", "agents")}
    for path, text in real.items():
        site.put(path, text)
    with closing(Terminal("top", "-d", "0.2", env={"CAXTON_URL": site.url})) as terminal:
        terminal.until(lambda lines: any(echo in line for line in lines), "a frame")
        site.put("agents", other)
        terminal.until(lambda lines: any("INTERNAL_ERROR" in line for line in lines), "that it is no node")
        site.put("agents", real["agents"])
        terminal.until(lambda lines: not any("INTERNAL_ERROR" in line for line in lines), "that it is one again")
        terminal.press("q")
        assert (terminal.wait(), terminal.restored()) == (0, True)
        assert b"Traceback" not in terminal.raw
