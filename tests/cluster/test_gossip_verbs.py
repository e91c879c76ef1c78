"""`caxton gossip`: serf as the configuration wants it, and its keys exchanged on every node while they talk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caxton.cluster.gossip.keys import fingerprint
from support.node import until
from support.serf_agents import SERF, Agent, Watched, random_key
from support.served_node import SOURCE, run_cli

pytestmark = pytest.mark.skipif(SERF is None, reason="serf is not installed")
SECONDS = 45.0


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    home, key = tmp_path_factory.mktemp("verbs"), random_key()
    alpha = Agent(home, "alpha", key)
    beta = Agent(home, "beta", key, alpha)
    watched = Watched(alpha.start(), beta.start())
    yield watched
    watched.close()


@pytest.fixture(autouse=True)
def whole(two: Watched) -> None:
    until(two.all_alive, SECONDS, "two members")


def keys(agent: Agent, *verb: str, stdin: str | None = None) -> Any:
    done = run_cli("gossip", "keys", *verb, "--output", "json", env=agent.environ, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(agent: Agent, *arguments: str, stdin: str | None = None) -> str:
    done = run_cli("gossip", *arguments, env=agent.environ, stdin=stdin)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def held(agent: Agent) -> list[str]:
    """The keyring of an agent, the key in use first."""
    found = json.loads((agent.config.paths.gossip / "keyring.json").read_text())
    assert isinstance(found, list)
    return found


def test_a_key_is_exchanged_on_every_node_and_any_step_may_be_repeated(two: Watched) -> None:
    alpha, beta = two.agents.values()
    old, new = str(alpha.values["coordination.encrypt_key"]), random_key()
    assert keys(beta, "list") == {"nodes": 2, "keys": [{"fingerprint": fingerprint(old), "nodes": 2}]}
    assert "[CONFLICT]" in refusal(alpha, "keys", "use", stdin=new), "it is not installed"
    assert "[CONFLICT]" in refusal(alpha, "keys", "prune", stdin=new), "nothing is left without a key"
    both = {(fingerprint(key), 2) for key in (old, new)}
    for _ in range(2):
        found = keys(alpha, "install", stdin=new)
        assert {(key["fingerprint"], key["nodes"]) for key in found["keys"]} == both
    for _ in range(2):
        keys(beta, "use", stdin=f"{new}\n")
    assert "[CONFLICT]" in refusal(alpha, "keys", "prune", stdin=old), "the other is in use"
    for _ in range(2):
        assert keys(alpha, "prune", stdin=new)["keys"] == [{"fingerprint": fingerprint(new), "nodes": 2}]
    assert held(alpha) == held(beta) == [new]
    two.end("beta")
    beta.values["coordination.encrypt_key"] = new  # as whoever exchanges keys leaves it
    beta.start()
    until(two.all_alive, SECONDS, "beta speaks with the new key")
    assert held(beta) == [new]


def test_a_node_that_was_away_while_keys_changed_comes_back_with_the_key_of_its_configuration(two: Watched) -> None:
    alpha, beta = two.agents.values()
    new = random_key()
    two.end("beta")
    until(lambda: two.standing("beta") == {"failed"}, SECONDS, "beta is called failed")
    assert "[NOT_READY]" in refusal(alpha, "keys", "install", stdin=new), "beta would miss it"
    two.do(two.gossip["alpha"].force_leave("beta"))
    until(lambda: two.standing("beta") == {"left"}, SECONDS, "beta has been sent away")
    assert "[NOT_READY]" in refusal(alpha, "keys", "install", stdin=new), "it is expected back"
    alpha.values["coordination.expected_nodes"] = 1
    for verb in ("install", "use", "prune"):
        keys(alpha, verb, stdin=new)
    beta.values["coordination.encrypt_key"] = new
    beta.start()
    until(two.all_alive, SECONDS, "beta is back")
    assert held(beta)[0] == new
    assert keys(alpha, "prune", stdin=new)["keys"] == [{"fingerprint": fingerprint(new), "nodes": 2}]


def test_no_key_is_shown_nor_a_bad_one_taken(two: Watched) -> None:
    alpha = two.agents["alpha"]
    (key,) = held(alpha)
    shown = run_cli("gossip", "keys", "list", env=alpha.environ)
    assert key not in shown.stdout + shown.stderr
    for bad in ("short", "a" * 43 + "=", "../etc/passwd\n"):
        done = run_cli("gossip", "keys", "install", env=alpha.environ, stdin=bad)
        assert done.returncode == 2
        assert bad not in done.stderr


def test_it_runs_serf_with_nothing_of_its_environment(tmp_path: Path) -> None:
    agent = Agent(tmp_path, "gamma", random_key())
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "JWT_SECRET": "not for serf", **agent.environ}
    agent.home.mkdir()
    with (agent.home / "serf.log").open("ab") as log:
        command = [sys.executable, "-m", "caxton", "gossip", "run"]
        agent.process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    watched = Watched(agent)
    try:
        until(watched.all_alive, SECONDS, "serf answers")
        seen = Path(f"/proc/{agent.process.pid}/environ").read_bytes().split(b"\0")
        assert [line.partition(b"=")[0] for line in seen if line] == [b"PATH"]
    finally:
        agent.end(signal.SIGTERM)
        watched.close()


def test_a_node_that_is_alone_runs_no_serf() -> None:
    alone = {"CAXTON_COORDINATION__CLUSTER_ENABLED": "false"}
    assert "[CONFLICT]" in run_cli("gossip", "run", env=alone).stderr
    assert run_cli("gossip", "run", "--if-wanted", env=alone).returncode == 78, "what its unit takes for a good end"


def test_serf_speaks_to_other_hosts_encrypted_or_not_at_all(two: Watched) -> None:
    environ = two.agents["alpha"].environ | {"CAXTON_COORDINATION__BIND_ADDR": "0.0.0.0:7946"}
    del environ["CAXTON_COORDINATION__ENCRYPT_KEY"]
    done = run_cli("gossip", "run", env=environ)
    assert (done.returncode, "coordination.encrypt_key" in done.stderr) == (1, True)


def test_without_serf_it_says_so(two: Watched, tmp_path: Path) -> None:
    lonely = Agent(tmp_path, "lonely", None)
    assert "[UNREACHABLE]" in run_cli("gossip", "keys", "list", env=lonely.environ).stderr
