"""What an operator sees of three real nodes: whole, drained, cut off, healed. Steps of one story, in their order."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.operated_cluster import OperatedCluster, operated
from support.served_node import ECHO, until

pytestmark = pytest.mark.skipif(shutil.which("serf") is None, reason="serf is not installed: make host")
AGENTS = [f"echo-{number}" for number in range(6)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[OperatedCluster]:
    with operated() as made:
        with made.client("n1") as client:
            for name in AGENTS:
                body = {"name": name, "wat": ECHO, "instance": "persistent"}
                assert client.post("/agents", json=body).status_code in {201, 202}
            for name in AGENTS:
                until(
                    lambda name=name: client.get(f"/agents/{name}").json().get("status") == "running", f"{name} runs"
                )
        for name in made.nodes:
            until(lambda name=name: made.is_whole(name), f"{name} has every record")
        yield made


def metrics(cluster: OperatedCluster, name: str) -> dict[str, float]:
    address = cluster[name].environ["CAXTON_NETWORKING__METRICS_ADDRESS"]
    lines = httpx.get(f"http://{address}/metrics").text.splitlines()
    found = (line.rpartition(" ") for line in lines if line.startswith("caxton_cluster_"))
    return {series: float(value) for series, _, value in found}


def ledger(cluster: OperatedCluster, name: str) -> tuple[int, dict[str, Any]]:
    done = cluster[name].cli("ledger", "--cluster", "--output", "json")
    return done.returncode, json.loads(done.stdout)


def state_of(cluster: OperatedCluster, asked: str, node: str) -> str:
    return next((one["state"] for one in cluster.view(asked)["members"] if one["node_id"] == node), "")


def homes(view: dict[str, Any]) -> dict[str, int]:
    return {member["node_id"]: member["homes"] for member in view["members"]}


def test_every_node_sees_the_same_cluster(cluster: OperatedCluster) -> None:
    views = {name: cluster.view(name) for name in cluster.nodes}
    for name, view in views.items():
        assert (view["alone"], view["whole"], view["majority"], view["problems"]) == (False, True, True, [])
        paths = {member["node_id"]: member["path"] for member in view["members"]}
        assert paths == dict.fromkeys(cluster.nodes, "direct") | {name: "self"}
        assert all(member["registry_equal"] for member in view["members"])
        assert view["registry"]["records"] >= len(AGENTS)
    assert len({view["registry"]["digest"] for view in views.values()}) == 1
    counts = homes(views["n1"])
    assert sum(counts.values()) == len(AGENTS)
    assert homes(views["n2"]) == homes(views["n3"]) == counts
    shown = cluster["n2"].cli("cluster", "members").stdout
    assert all(name in shown for name in cluster.nodes)


def test_metrics_say_it_too(cluster: OperatedCluster) -> None:
    found = metrics(cluster, "n1")
    assert found["caxton_cluster_majority"] == 1
    assert found['caxton_cluster_members{state="active"}'] == 3
    assert found['caxton_cluster_peer_reachable{node="n3"}'] == found['caxton_cluster_peer_direct{node="n2"}'] == 1
    assert found['caxton_cluster_peer_rtt_seconds{node="n2"}'] > 0
    assert found['caxton_cluster_link_bytes_total{direction="sent",node="n2"}'] > 0
    assert found["caxton_cluster_registry_records"] >= len(AGENTS)


def test_the_ledger_of_all_nodes_adds_up(cluster: OperatedCluster) -> None:
    for node in cluster.nodes:
        with cluster.client(node) as client:
            for name in AGENTS:
                assert client.post(f"/agents/{name}/invoke", json={"content": 1}).status_code == 200
    for name in cluster.nodes:
        status, books = ledger(cluster, name)
        assert (status, books["balanced"], books["missing"]) == (0, True, [])
        assert [one["node"] for one in books["nodes"]] == sorted(cluster.nodes)
        assert books["distinct"] == books["total"]["accepted"] - books["total"]["forwarded"] == 3 * len(AGENTS)


def test_any_node_drains_any_other(cluster: OperatedCluster) -> None:
    lives = homes(cluster.view("n1"))["n2"]
    plan = cluster["n3"].json("plan", "drain", "n2")
    assert [move["giver"] for move in plan["moves"]] == ["n2"] * lives
    assert len(cluster["n3"].json("plan", "drain", "n2", "--here")["moves"]) == lives
    assert all(move["taker"] == "n4" for move in cluster["n3"].json("plan", "add", "n4")["moves"])
    assert cluster["n3"].cli("plan", "remove", "nowhere").returncode == 1
    assert cluster["n1"].cli("cluster", "drain", "n2", "--wait", "20s").returncode == 0
    assert homes(cluster.view("n2"))["n2"] == 0
    try:
        until(lambda: not cluster.is_whole("n3"), "n3 hears of it")
        assert "draining n2" in cluster["n3"].cli("cluster", "status").stdout
        assert cluster.is_whole("n3", "--without", "n2")
        assert not cluster.is_whole("n3", "--about", "n2")
        actions = cluster["n2"].json("audit", "list")
        drains = [one for one in actions if one["action"] == "node.drain"]
        assert drains
    finally:
        assert cluster["n3"].cli("cluster", "undrain", "n2").returncode == 0
    until(lambda: cluster.is_whole("n1", "--wait", "10s"), "n2 works again")


def test_a_drained_node_that_is_stopped_says_goodbye_and_comes_back(cluster: OperatedCluster) -> None:
    assert cluster["n1"].cli("cluster", "drain", "n2", "--wait", "20s").returncode == 0
    cluster["n2"].stop()
    until(lambda: state_of(cluster, "n1", "n2") == "left", "n1 knows that n2 has left")
    view = cluster.view("n1")
    assert (view["majority"], [one["problem"] for one in view["problems"]]) == (True, ["missing"])
    assert cluster.is_whole("n1", "--without", "n2"), "what an interrupted upgrade of n2 asks first"
    assert not cluster.is_whole("n1", "--without", "n3")
    assert not cluster.is_whole("n1", "--about", "n2")
    assert cluster.is_whole("n1", "--about", "n3")
    assert not cluster.is_whole("n1", "--about", "n4"), "what add_node.yml asks before n4 is expected"
    reachable = [series for series in metrics(cluster, "n1") if series.startswith("caxton_cluster_peer_reachable")]
    assert reachable == ['caxton_cluster_peer_reachable{node="n3"}'], "nobody is called because of n2"
    status, books = ledger(cluster, "n1")
    assert (status, books["missing"]) == (1, ["n2"]), "nobody else knows what it holds"
    with cluster.client("n3") as client:
        assert client.get("/messages").json()["unreachable"] == ["n2"]
    reports = cluster["n1"].json("cluster", "report")
    assert [one for one in reports if one["node"] == "n2"] == [], "it was no cut"
    cluster.launch("n2")
    until(lambda: state_of(cluster, "n1", "n2") == "draining", "n2 is back, and still drained", 60)
    assert cluster["n1"].cli("cluster", "undrain", "n2").returncode == 0
    until(lambda: cluster.is_whole("n1"), "n2 works again")


def test_a_node_that_hangs_is_named_missed_in_the_ledger_and_reported(cluster: OperatedCluster) -> None:
    lost = homes(cluster.view("n1"))["n3"]
    cluster.signal("n3", signal.SIGSTOP)
    try:
        until(lambda: metrics(cluster, "n1")['caxton_cluster_peer_reachable{node="n3"}'] == 0, "n1 misses n3")
        view = cluster.view("n1")
        assert {"problem": "unreachable", "node": "n3"} in view["problems"]
        assert view["majority"]
        examined = cluster["n1"].cli("doctor", "--check", "cluster", "--output", "json")
        found = {
            (one["name"], one["status"]) for one in json.loads(examined.stdout)["checks"] if "n3" in one["detail"]
        }
        assert (examined.returncode, found) == (1, {("cluster", "fail"), ("links of the cluster", "warn")})
        assert metrics(cluster, "n1")["caxton_cluster_homes_unreachable"] == lost
        status, books = ledger(cluster, "n1")
        assert (status, books["balanced"], books["missing"]) == (1, False, ["n3"])
        (report,) = [one for one in cluster["n1"].json("cluster", "report") if one["node"] == "n3"]
        assert (report["until"], len(report["homes"])) == (None, lost)
    finally:
        cluster.signal("n3", signal.SIGCONT)
    until(lambda: cluster.is_whole("n1"), "n3 is there again", 60)

    def complete() -> bool:
        return all(one["complete"] and one["until"] for one in cluster["n1"].json("cluster", "report"))

    until(complete, "the report is complete")
    until(lambda: ledger(cluster, "n2")[0] == 0, "nobody is missing in the ledger")


def test_fewer_are_expected_and_a_node_that_is_gone_is_forgotten(cluster: OperatedCluster) -> None:
    """What remove_node.yml does with a machine that is gone."""
    assert cluster["n1"].cli("cluster", "forget", "n3").returncode == 1  # it is there
    agents = [move["agent"] for move in cluster["n1"].json("plan", "remove", "n3")["moves"]]
    cluster.signal("n3", signal.SIGKILL)
    lost = agents[0]
    until(lambda: not cluster.is_whole("n1", "--about", "n3"), "n1 misses n3")
    assert cluster["n1"].cli("cluster", "adopt", lost).returncode == 2  # from what?
    assert cluster["n1"].cli("cluster", "adopt", lost, "--clean", "--yes").returncode == 0
    with cluster.client("n2") as client:
        path, body = f"/agents/{lost}/invoke", {"content": 1, "timeout_seconds": 5}
        until(lambda: client.post(path, json=body).status_code == 200, f"{lost} answers on n1", 90)
    for name in ("n1", "n2"):
        cluster.expect(name, 2)
    assert cluster["n1"].cli("cluster", "forget", "n3", "--wait", "40s").returncode == 0
    for name in ("n1", "n2"):
        until(lambda name=name: cluster.is_whole(name), f"{name} is content with two")
        assert cluster.view(name)["expected_nodes"] == 2
    status, books = ledger(cluster, "n1")
    assert (status, [one["node"] for one in books["nodes"]]) == (0, ["n1", "n2"])


def test_reports_outlive_a_restart(cluster: OperatedCluster) -> None:
    before = cluster["n1"].json("cluster", "report")
    cluster["n1"].stop()
    until(lambda: state_of(cluster, "n2", "n1") in {"missing", "failed"}, "no goodbye: n2 has to find out")
    cluster.launch("n1")
    until(lambda: cluster["n1"].cli("cluster", "status", "--here").returncode in {0, 1}, "n1 answers", 60)
    assert cluster["n1"].json("cluster", "report", "--here")[-len(before) :] == before
