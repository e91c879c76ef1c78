from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial

from caxton.cli.following import MOST_LINES
from support.router_modules import LOGS, LOGS_400
from support.served_node import SOURCE, ServedNode, until
from support.snapshot_agents import COUNTER, counter_and


def test_deploy_says_what_runs_and_invoke_prints_the_reply(node: ServedNode, echo: str) -> None:
    shown = node.json("agent", "show", echo)
    assert (shown["name"], shown["status"], shown["shape"]) == ("echo", "running", "reactor")
    done = node.cli("agent", "invoke", echo, '{"a": [1, 2]}')
    assert done.returncode == 0
    assert json.loads(done.stdout)["content"] == {"a": [1, 2]}


def test_content_is_json_else_text_and_may_come_from_stdin_or_a_file(node: ServedNode, echo: str) -> None:
    def handled(*arguments: str, stdin: str | None = None) -> object:
        return node.json("agent", "invoke", echo, *arguments, stdin=stdin)["content"]["content"]

    assert handled("hello there") == "hello there"
    assert handled("42") == 42
    assert handled("42", "--text") == "42"
    assert handled("-", stdin='{"from": "stdin"}') == {"from": "stdin"}
    assert handled("--file", node.write("body.json", "[true]")) == [True]
    assert handled() is None


def test_agents_is_an_alias_and_quiet_lists_names_only(node: ServedNode, echo: str) -> None:
    done = node.cli("agents", "list", "-q")
    assert (done.returncode, done.stdout.split()) == (0, [echo])
    assert [item["name"] for item in node.json("agent", "list")] == [echo]


def test_options_and_file_become_one_deployment(node: ServedNode) -> None:
    config = node.write("agent.toml", 'name = "from-file"\nargs = ["a"]\n[grants]\nkv = false\n[limits]\nfuel = 7\n')
    made = node.json(
        *("agent", "deploy", str(node.directory / "echo.wat"), "--config-file", config, "--name", "optioned"),
        *(
            "--grant",
            "send=a*,b",
            "--grant",
            "scratch",
            "--limit",
            "memory=2MiB",
            "--limit",
            "execution_timeout=1.5s",
        ),
        *("--profile", "deterministic", "--arg", "b", "--env", "K=V", "--set", "depth=3", "--capability", "echoes"),
    )
    assert (made["name"], made["config"]["args"], made["config"]["env"]) == ("optioned", ["a", "b"], {"K": "V"})
    assert made["grants"]["send"] == ["a*", "b"]
    assert (made["grants"]["kv"], made["grants"]["scratch"]) == (False, True)
    limits = made["limits"]
    assert (limits["memory_bytes"], limits["execution_timeout_seconds"], limits["fuel"]) == (2_097_152, 1.5, 7)
    assert made["config"]["config"] == {"depth": 3}
    assert node.cli("agent", "remove", "optioned").returncode == 0


def test_stop_start_remove_and_logs(node: ServedNode) -> None:
    assert node.cli("agent", "deploy", str(node.directory / "echo.wat"), "--name", "team/one").returncode == 0
    assert node.json("agent", "stop", "team/one", "--grace", "1s")["status"] == "stopped"
    refused = node.cli("agent", "invoke", "team/one", "1")
    assert (refused.returncode, "[AGENT_STOPPED]" in refused.stderr) == (1, True)
    assert node.json("agent", "start", "team/one")["status"] == "running"
    assert node.json("agent", "logs", "team/one") == []
    assert node.json("agent", "remove", "team/one") == {"count": 0}
    assert node.cli("agent", "show", "team/one").returncode == 1


def test_validate_needs_no_node(node: ServedNode) -> None:
    good = node.cli(
        "--url", "http://127.0.0.1:1", "agent", "validate", str(node.directory / "echo.wat"), "--output", "json"
    )
    assert good.returncode == 0, good.stderr
    found = json.loads(good.stdout)
    assert (found["shape"], found["imports"]) == ("reactor", ["caxton.reply"])
    for text in ("(module (import", '(module (import "env" "f" (func)))', "", "\0asm"):
        bad = node.cli("agent", "validate", node.write("bad.wat", text))
        assert (bad.returncode, "[INVALID_WASM]" in bad.stderr) == (1, True), bad.stderr
    limited = node.cli(
        "agent",
        "validate",
        str(node.directory / "echo.wat"),
        "--config-file",
        node.write("a.json", '{"limits": {"memory_bytes": 65536}}'),
    )
    assert limited.returncode == 1


def test_snapshots_are_asked_for_shown_and_validated(node: ServedNode) -> None:
    file = node.write("count.wat", COUNTER)
    made = node.json("agent", "deploy", file, "--name", "keeper", "--state", "snapshot")
    assert (made["config"]["state"], made["resources"]["snapshot"]) == ("snapshot", None)
    assert node.json("agent", "invoke", "keeper")["content"] == 1
    shown = node.json("agent", "show", "keeper")["resources"]
    assert (shown["hibernated"], shown["snapshot"]["memory_bytes"]) == (False, 131_072)
    assert shown["snapshot"]["stored_bytes"] > 0
    assert "stored_bytes" in node.cli("agent", "show", "keeper").stdout
    assert node.cli("agent", "remove", "keeper").returncode == 0
    config = node.write("keeper.toml", 'state = "snapshot"')
    assert node.cli("agent", "validate", file, "--config-file", config).returncode == 0
    forgetful = node.write("drops.wat", counter_and("(data.drop 0)").replace("(memory", '(data "x") (memory', 1))
    assert node.cli("agent", "validate", forgetful).returncode == 0
    refused = node.cli("agent", "validate", forgetful, "--config-file", config)
    assert (refused.returncode, "[INVALID_WASM]" in refused.stderr) == (1, True), refused.stderr


def test_a_log_is_followed_over_the_death_of_the_router_and_a_reload_until_an_interrupt(node: ServedNode) -> None:
    assert node.cli("agent", "deploy", node.write("chatty.wat", LOGS)).returncode == 0

    said = partial(_said, node, "chatty")
    earlier = [said() for _ in range(2)]
    with _following(node, "chatty") as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None

        def shown() -> str:
            assert tail.stdout is not None
            return str(json.loads(tail.stdout.readline())["message_id"])

        assert shown() == earlier[-1]
        os.kill(next(pid for line, pid in node.children().items() if "caxton.router" in line), signal.SIGKILL)
        assert "trying again" in tail.stderr.readline()
        wanted = [said(), said()]
        assert [shown(), shown()] == wanted
        assert node.process is not None
        node.process.send_signal(signal.SIGHUP)  # its API workers are replaced
        assert "trying again" in tail.stderr.readline()
        wanted = [said(), said()]
        assert [shown(), shown()] == wanted
        tail.send_signal(signal.SIGINT)
        assert tail.wait(20) == 0
        assert (tail.stdout.read(), tail.stderr.read()) == ("", "")
    assert node.cli("agent", "remove", "chatty").returncode == 0


def _said(node: ServedNode, agent: str) -> str:
    """The id of a message about which the agent has logged."""
    done = until(lambda: _done(node.cli("agent", "invoke", agent, "--output", "json")), "the node serves", 60)
    return str(json.loads(done)["message_id"])


def _following(node: ServedNode, agent: str) -> subprocess.Popen[str]:
    """Who follows its log from the last line on."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **node.environ}
    command = [sys.executable, "-m", "caxton", "agent", "logs", "-f", "-n", "1", agent, "--output", "json"]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_log_that_grew_by_more_than_the_node_gives_at_once_is_told(node: ServedNode) -> None:
    """The one who follows it is stopped meanwhile, so that it cannot come back before all is said."""
    assert node.cli("agent", "deploy", node.write("flood.wat", LOGS_400)).returncode == 0

    said = partial(_said, node, "flood")
    earlier = said()
    with _following(node, "flood") as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert json.loads(tail.stdout.readline())["message_id"] == earlier
        tail.send_signal(signal.SIGSTOP)
        os.kill(next(pid for line, pid in node.children().items() if "caxton.router" in line), signal.SIGKILL)
        first, second, third = said(), said(), said()
        tail.send_signal(signal.SIGCONT)
        shown = [json.loads(tail.stdout.readline())["message_id"] for _ in range(MOST_LINES)]
        assert shown == [first] * 200 + [second] * 400 + [third] * 400
        tail.send_signal(signal.SIGINT)
        assert tail.wait(20) == 0
        assert tail.stdout.read() == ""
        waits, lost = tail.stderr.read().splitlines()
        assert "trying again" in waits
        assert f"{MOST_LINES:,}" in lost
    assert node.cli("agent", "remove", "flood").returncode == 0


def test_a_log_that_is_followed_ends_with_its_agent_and_that_of_nobody_at_once(node: ServedNode) -> None:
    assert node.cli("agent", "logs", "-f", "nobody").returncode == 1
    assert node.cli("agent", "deploy", node.write("brief.wat", LOGS)).returncode == 0
    assert node.cli("agent", "invoke", "brief").returncode == 0
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **node.environ}
    command = [sys.executable, "-m", "caxton", "agent", "logs", "-f", "brief"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert tail.stdout.readline().rstrip().endswith("hello")
        assert node.cli("agent", "remove", "brief").returncode == 0
        assert tail.wait(30) == 0
        assert tail.stderr is not None
        assert "Traceback" not in tail.stderr.read()


def _done(ran: subprocess.CompletedProcess[str]) -> str:
    """What it printed; nothing if it failed."""
    return ran.stdout if ran.returncode == 0 else ""


def test_schedules_and_outbound_calls_are_shown(node: ServedNode) -> None:
    node.write("clock.toml", 'name = "clock"\n[[schedules]]\nname = "nightly"\ncron = "30 3 * * *"\n')
    config = str(node.directory / "clock.toml")
    assert node.cli("agent", "deploy", str(node.directory / "echo.wat"), "--config-file", config).returncode == 0
    (shown,) = node.json("agent", "schedules", "clock")
    assert (shown["name"], shown["next_due"][11:16]) == ("nightly", "03:30")
    assert node.json("agent", "http-calls", "clock") == []
    assert "nightly" in node.cli("agent", "schedules", "clock").stdout
