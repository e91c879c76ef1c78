"""What people copy: the example agents, the agent of the README, and `make run` itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.examples import EXAMPLES, build_script, example
from support.node import APP, Node, free_port, running_node, until

README = APP.parent / "README.md"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running_node() as node:
        for name in ("wordcount", "counter", "memory"):
            upload(node, name, example(name))
        yield node


def upload(node: Node, name: str, module: Path) -> None:
    files = {"wasm": (module.name, module.read_bytes()), "config": (None, f'{{"name": "{name}"}}')}
    answer = node.client.post("/api/v1/agents", files=files)
    if answer.status_code == 202:
        node.finished(answer.headers["Location"])
    else:
        assert answer.status_code == 201, answer.text


def ask(node: Node, name: str, content: object) -> object:
    return node.invoke(name, content).json()["content"]


def test_wordcount_counts_like_wc(node: Node) -> None:
    text = "the quick brown fox\njumps over the lazy dog\n"
    assert ask(node, "wordcount", text) == {"lines": 2, "words": 9, "bytes": len(text)}


def test_counter_keeps_its_memory_between_messages(node: Node) -> None:
    first = node.invoke("counter", None).json()["content"]["count"]
    assert ask(node, "counter", None) == {"count": first + 1}


def test_memory_survives_the_end_of_its_worker(node: Node) -> None:
    assert ask(node, "memory", {"set": "colour", "value": {"name": "blue"}}) == {"stored": True}
    node.kill("worker")
    node.kill("worker")
    assert ask(node, "memory", {"get": "colour"}) == {"found": True, "value": {"name": "blue"}}
    assert ask(node, "memory", {"forget": "colour"}) == {"forgotten": True}
    assert ask(node, "memory", {"get": "colour"}) == {"found": False}


def test_the_readme_s_agent_builds_and_answers(node: Node, tmp_path: Path) -> None:
    """The C source and the compiler's flags are taken from the README as they stand there."""
    text = README.read_text()
    source = re.search(r"```c\n(.*?)```", text, re.DOTALL)
    flags = re.search(r"clang (--target=wasm32-wasi .*) -I app/examples/include -o greeter.wasm greeter.c", text)
    assert source is not None
    assert flags is not None
    (tmp_path / "greeter.c").write_text(source.group(1))
    module = tmp_path / "greeter.wasm"
    line = [*build_script().compiler(), *flags.group(1).split()[1:], f"-I{EXAMPLES / 'include'}"]
    subprocess.run([*line, "-o", str(module), str(tmp_path / "greeter.c")], check=True)
    upload(node, "greeter", module)
    assert ask(node, "greeter", {"name": "Ada"}) == {"hello": "Ada"}
    assert "error" in node.invoke("greeter", {}).json()["content"]


def test_make_run_shows_a_real_exchange_and_stays_up() -> None:
    """The script behind `make run`, on other ports than its own so that a running node does not matter."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="cx", dir="/tmp") as home, Path(home, "out").open("w+") as output:
        environment = {
            **os.environ,
            "PYTHONPATH": str(APP),
            "CAXTON_URL": f"http://127.0.0.1:{port}",
            "CAXTON_NETWORKING__BIND_ADDRESS": f"127.0.0.1:{port}",
            "CAXTON_NETWORKING__METRICS_ADDRESS": f"127.0.0.1:{free_port()}",
            "CAXTON_NETWORKING__ADMIN_ADDRESS": f"127.0.0.1:{free_port()}",
        }
        line = [sys.executable, str(EXAMPLES / "run.py")]
        process = subprocess.Popen(line, cwd=home, env=environment, stdout=output, stderr=output)
        try:
            until(lambda: "The node stays up" in Path(home, "out").read_text(), 180, "the exchange")
            assert '{"found": true, "value": "blue"}' in Path(home, "out").read_text()
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0
