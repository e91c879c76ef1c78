"""The node through its balancer, as a client meets it."""

from __future__ import annotations

import time

from testinfra.host import Host

from checks import site
from support.wat import ECHO, TALLY

testinfra_hosts = ["ansible://caxton_nodes"]
BALANCER, NODE = "10.42.1.21", "10.42.1.11"
WAIT_SECONDS = 60.0


STEADY_SECONDS = 5.0
"""Checks that began while the node was away end so late, and then count against it once more."""


def until_ready(ready: bool) -> None:
    """Waits until the balancer finds the node so, and goes on finding it ready."""
    end, since = time.monotonic() + WAIT_SECONDS, time.monotonic()
    while time.monotonic() - since < (STEADY_SECONDS if ready else 0.1):
        if (site.through(BALANCER).get("/ready").status == 200) is not ready:
            since = time.monotonic()
        assert time.monotonic() < end, f"the balancer never answered as if ready were {ready}"
        time.sleep(0.1)


def test_open_doors_and_closed_ones() -> None:
    client = site.through(BALANCER)
    assert client.get("/health").status == 200
    assert client.get("/api/v1/agents").body["error"]["code"] == "UNAUTHORIZED"


def test_an_agent_works(host: Host) -> None:
    client = site.through(BALANCER, site.key(host))
    client.deploy("echo", ECHO)
    assert client.invoke("echo", {"hello": "lab"})["content"] == {"hello": "lab"}
    assert client.ledger()["imbalance"] == 0


def test_a_power_cut_loses_nothing(host: Host) -> None:
    from lab.labs import Lab

    client = site.through(BALANCER, site.key(host))
    client.deploy("tally", TALLY)
    for _ in range(20):
        client.invoke("tally", None)
    lab = Lab("default")
    lab.kill("node1")
    lab.start("node1")
    until_ready(True)
    assert client.invoke("tally", None) == 21
    assert client.ledger()["imbalance"] == 0


def test_stop_stays_stopped_while_the_balancer_knocks(host: Host) -> None:
    host.check_output("systemctl stop caxton")
    until_ready(False)
    knocks = [site.through(BALANCER).get("/ready").status for _ in range(20)]
    assert set(knocks) == {503}
    for unit in ("caxton", "caxton-router", "caxton-executor", "caxton-admin", "caxton.socket"):
        assert not host.service(unit).is_running
    host.check_output("systemctl start caxton")
    until_ready(True)


def test_a_drained_node_is_left_alone(host: Host) -> None:
    host.check_output("caxton drain")
    until_ready(False)
    host.check_output("systemctl restart caxton")
    assert site.directly(NODE).get("/ready").body["reasons"] == ["draining"]
    host.check_output("caxton undrain")
    until_ready(True)


def test_a_second_run_shows_no_secret(host: Host) -> None:
    output = site.playbook("site", "--diff", "-vv").stdout
    assert "changed=0" in output
    for secret in ((site.state() / "jwt_secret").read_text().strip(), site.key(host)):
        assert secret not in output
