from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from support.served_node import SOURCE, ServedNode, free_ports, run_cli


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["agent", "deploy"],
        ["agent", "deploy", "/nonexistent.wat"],
        ["agent", "list", "--status", "happy"],
        ["agent", "invoke", "a", "1", "--timeout", "soon"],
        ["message", "send"],
        ["message", "send", "a", "1", "--file", "x"],
        ["dlq", "replay"],
        ["dlq", "purge", "--agent", "a", "--all", "--yes"],
        ["--output", "yaml", "ledger"],
        ["agent", "deploy", "/dev/null", "--limit", "memory=lots"],
        ["agent", "deploy", "/dev/null", "--limit", "colour=5"],
        ["agent", "deploy", "/dev/null", "--grant", "everything"],
        ["agent", "deploy", "/dev/null", "--env", "K"],
    ],
)
def test_wrong_usage_is_2_and_not_a_traceback(arguments: list[str]) -> None:
    done = run_cli(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr


def test_a_node_that_is_not_there_is_3_and_says_where_it_was_looked_for() -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    for arguments in (["ledger"], ["agent", "list"], ["bench"], ["agent", "logs", "-f", "x"]):
        done = run_cli(*arguments, env={"CAXTON_URL": url})
        assert (done.returncode, url in done.stderr, "UNREACHABLE" in done.stderr) == (3, True, True), done.stderr


def test_a_router_that_is_not_there_is_3(tmp_path) -> None:
    done = run_cli("key", "list", env={"CAXTON_COORDINATION__LOCAL_STATE_PATH": str(tmp_path / "x.db")})
    assert (done.returncode, "UNREACHABLE" in done.stderr) == (3, True)


def test_a_server_that_is_no_node_is_1() -> None:
    (port,) = free_ports(1)
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as other:
        try:
            codes = set()
            end = time.monotonic() + 20
            while 1 not in codes and time.monotonic() < end:
                codes.add(run_cli("ledger", env={"CAXTON_URL": f"http://127.0.0.1:{port}"}).returncode)
            assert codes <= {1, 3}
            assert 1 in codes
        finally:
            other.terminate()


def test_what_the_node_refuses_is_1_with_its_code_and_a_way_out(node: ServedNode) -> None:
    done = node.cli("agent", "show", "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert "[AGENT_NOT_FOUND]" in done.stderr
    assert "caxton agent list" in done.stderr


def test_output_and_quiet_stand_anywhere(node: ServedNode, echo: str) -> None:
    before = node.cli("--output", "json", "-q", "agent", "list")
    after = node.cli("agent", "list", "--output", "json", "-q")
    assert before.stdout == after.stdout
    assert before.stdout.startswith("[{")


def test_text_of_an_agent_cannot_drive_the_terminal(node: ServedNode, echo: str) -> None:
    evil = "\x1b]0;owned\x07\x1b[31mred\u202e\u009b"
    for arguments in (["agent", "invoke", echo, evil], ["message", "send", echo, evil, "--conversation", "c-evil"]):
        assert node.cli(*arguments).returncode == 0
    for arguments in (["agent", "invoke", echo, evil], ["message", "list"], ["message", "list", "--output", "json"]):
        printed = node.cli(*arguments).stdout
        assert all(char.isprintable() or char == "\n" for char in printed)


def test_credentials_and_address_come_from_a_context(node: ServedNode, tmp_path) -> None:
    file = tmp_path / "caxton" / "config.toml"
    file.parent.mkdir()
    file.write_text(
        f'current = "here"\n[contexts.here]\nurl = "{node.url}"\napi_key = "k"\n[contexts.gone]\nurl = "http://127.0.0.1:1"\n'
    )
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert run_cli("ledger", env=environ).returncode == 0
    assert run_cli("--context", "gone", "ledger", env=environ).returncode == 3
    assert run_cli("--context", "gone", "--url", node.url, "ledger", env=environ).returncode == 0
    assert run_cli("--context", "none", "ledger", env=environ).returncode == 1
    file.write_text("contexts = 5")
    assert run_cli("ledger", env=environ).returncode == 1


def test_version_and_help_are_there_and_fast() -> None:
    from caxton import __version__

    assert run_cli("--version").stdout.split() == ["caxton", __version__]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-X", "importtime", "-m", "caxton", "--help"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "click" in imported
    assert not imported & {"rich", "httpx", "wasmtime", "peewee", "flask", "gevent", "caxton.serve", "asyncio"}


def test_completion_knows_the_verbs() -> None:
    environ = {"_CAXTON_COMPLETE": "bash_complete", "COMP_WORDS": "caxton agent de", "COMP_CWORD": "2"}
    done = run_cli(env=environ)
    assert "deploy" in done.stdout


def test_reading_less_than_everything_is_no_crash(node: ServedNode, echo: str) -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **node.environ}
    command = f"{sys.executable} -m caxton config show | head -n 1"
    done = subprocess.run(["sh", "-c", command], env=environ, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert done.stdout.count("\n") == 1
