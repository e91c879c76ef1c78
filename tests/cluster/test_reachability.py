"""Three real nodes, of which some sleep and some die: who is in, who is reached, who is the majority."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from console.steps import picture

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Events
from caxton.protocol.peers import PeerOpen, Pull, Relay
from support.browser import MISSING, browser
from support.operated_cluster import OperatedCluster, operated
from support.router_client import RouterClient
from support.serf_agents import SERF
from support.served_node import until
from support.wat import SILENT

pytestmark = pytest.mark.skipif(SERF is None, reason="serf is not installed")
PATIENCE = 60.0
NAMES = ("n1", "n2", "n3")


@pytest.fixture(scope="module")
def cluster() -> Iterator[OperatedCluster]:
    with operated(3) as made:
        yield made


def router(cluster: OperatedCluster, name: str) -> RouterClient:
    return RouterClient(cluster[name].directory / "data" / "run" / "router.sock")


def router_pid(cluster: OperatedCluster, name: str) -> int | None:
    children = cluster[name].children().items()
    return next((pid for command, pid in children if command.startswith("caxton.router")), None)


def view(cluster: OperatedCluster, name: str) -> Any:
    """The cluster as this node sees it; None while its router does not answer."""
    try:
        with router(cluster, name) as client:
            return client.call("cluster.status")
    except (OSError, EOFError):
        return None


def paths(cluster: OperatedCluster, name: str) -> dict[str, str]:
    seen = view(cluster, name)
    return {} if seen is None else {one["node_id"]: one["path"] for one in seen["members"]}


def active(cluster: OperatedCluster, name: str) -> set[str]:
    seen = view(cluster, name)
    return set() if seen is None else {one["node_id"] for one in seen["members"] if one["state"] == "active"}


def is_whole(cluster: OperatedCluster) -> bool:
    """Each node reaches each of the three, and is with the majority."""
    return all(
        active(cluster, name) == set(NAMES)
        and sorted(paths(cluster, name).values()) == ["direct", "direct", "self"]
        and view(cluster, name)["majority"]
        for name in NAMES
    )


def events(cluster: OperatedCluster, name: str, *wanted: tuple[str, str]) -> None:
    """Waits until the node has told these, in this order: the type, and which node it is about."""
    with router(cluster, name) as client:
        rest = list(wanted)
        for event in client.stream("events", Events(["node.*"], last_id=0)):
            if rest and (event["type"], event["data"].get("node")) == rest[0]:
                rest.pop(0)
            if not rest:
                return


def test_each_reaches_each(cluster: OperatedCluster) -> None:
    until(lambda: is_whole(cluster), "all together", PATIENCE)
    for name in NAMES:
        for other in view(cluster, name)["members"]:
            if other["node_id"] != name:
                assert other["rtt_seconds"] < other["last_beat_seconds"] + 60
                assert abs(other["clock_offset_seconds"]) < 5


def test_one_passes_on_what_another_asks_of_a_third(cluster: OperatedCluster) -> None:
    with router(cluster, "n1") as client:
        client.call("peer.open", PeerOpen("n2", 1))
        asked = msgspec.msgpack.encode(Pull({}))
        assert set(client.call("peer.relay", Relay("n3", "peer.pull", asked))) >= {"records", "vector"}
        with pytest.raises(CaxtonError) as refused:
            client.call("peer.relay", Relay("n9", "peer.pull", asked))
        assert (refused.value.code, refused.value.details["node"]) == (Code.NOT_READY, "n9")


def test_who_sleeps_is_out_and_believes_nothing_when_it_wakes(cluster: OperatedCluster) -> None:
    until(lambda: is_whole(cluster), "all together", PATIENCE)
    cluster.signal("n3", signal.SIGSTOP)
    until(lambda: active(cluster, "n1") == active(cluster, "n2") == {"n1", "n2"}, "n3 is out", PATIENCE)
    assert view(cluster, "n1")["majority"]
    assert view(cluster, "n2")["majority"]
    cluster.signal("n3", signal.SIGCONT)
    events(cluster, "n3", ("node.majority_lost", "n3"), ("node.majority_regained", "n3"))
    events(cluster, "n1", ("node.lost", "n3"), ("node.joined", "n3"))
    until(lambda: is_whole(cluster), "all together again", PATIENCE)


@pytest.mark.skipif(MISSING, reason="chromium or chromium-driver is missing")
def test_the_console_shows_who_is_there_and_who_is_cut_off(cluster: OperatedCluster) -> None:
    until(lambda: is_whole(cluster), "all together", PATIENCE)
    with cluster.client("n1") as client:
        homes = [deployed(client, f"keeper{number}") for number in range(6)]
    with browser() as page:
        page.open(cluster["n1"].url + "/console")
        page.sees("Whole: 3 of 3 nodes.")
        for number, home in enumerate(homes):
            page.sees(f"keeper{number}", f"ul[aria-label='Agents of {home}']")
        page.sees("direct, ", ".link.direct[data-node=n3]")
        picture(page, "cluster")
        cluster.signal("n3", signal.SIGSTOP)
        try:
            page.sees("cut", ".link.none[data-node=n3]")
            page.sees("Not whole: ", ".verdict")
            assert page.count("button[aria-label='Drain n3']") == 0
            picture(page, "cluster-cut")
        finally:
            cluster.signal("n3", signal.SIGCONT)


def deployed(client: httpx.Client, name: str) -> str:
    """An agent with durable state; the node where it lives."""
    config = {"name": name, "wat": SILENT, "instance": "persistent", "grants": {"kv": True}}
    until(lambda: _taken(client.post("/agents", json=config)), f"{name} is taken", PATIENCE)
    until(lambda: client.get(f"/agents/{name}").json().get("status") == "running", f"{name} runs", PATIENCE)
    return str(client.get(f"/agents/{name}").json()["node"])


def _taken(answer: httpx.Response) -> bool:
    """False while a busy machine has missed a heartbeat, and nothing may be changed."""
    assert answer.status_code in (201, 202, 503), answer.text
    return answer.status_code != 503


def test_a_router_that_is_killed_comes_back_into_the_cluster(cluster: OperatedCluster) -> None:
    until(lambda: is_whole(cluster), "all together", PATIENCE)
    before = router_pid(cluster, "n2")
    assert before is not None
    os.kill(before, signal.SIGKILL)
    until(lambda: router_pid(cluster, "n2") not in (before, None), "another router", PATIENCE)
    until(lambda: is_whole(cluster), "all together again", PATIENCE)


def test_the_last_one_is_no_majority_until_another_is_back(cluster: OperatedCluster) -> None:
    until(lambda: is_whole(cluster), "all together", PATIENCE)
    for name in ("n2", "n3"):
        cluster.signal(name, signal.SIGKILL)
    until(lambda: not view(cluster, "n1")["majority"], "n1 is alone", PATIENCE)
    until(lambda: active(cluster, "n1") == {"n1"}, "n1 counts on nobody", PATIENCE)
    assert {path for node, path in paths(cluster, "n1").items() if node != "n1"} <= {"none"}
    cluster.launch("n2")
    until(lambda: view(cluster, "n1")["majority"], "two of three", PATIENCE)
    until(lambda: active(cluster, "n2") == {"n1", "n2"}, "n2 is back", PATIENCE)
    cluster.launch("n3")
    until(lambda: is_whole(cluster), "all together again", PATIENCE)
