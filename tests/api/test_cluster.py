"""The cluster over HTTP, on a node that is alone: a cluster of one."""

from __future__ import annotations

import httpx
import pytest
from api.checks import problem

from support.node import Node, until


def test_a_node_that_is_alone_is_a_whole_cluster_of_one(http: httpx.Client) -> None:
    view = http.get("/cluster").json()
    assert (view["alone"], view["whole"], view["problems"]) == (True, True, [])
    assert (view["expected_nodes"], view["majority"]) == (1, True)
    assert [(one["node_id"], one["path"], one["state"]) for one in view["members"]] == [
        (view["node_id"], "self", "active")
    ]
    assert view["members"][0]["homes"] >= 1  # echo
    assert http.get("/cluster/nodes").json()["items"] == view["members"]
    assert http.get("/cluster/reports").json() == {"items": [], "next_cursor": None}


def test_the_ledger_of_the_cluster_is_the_nodes_own(http: httpx.Client) -> None:
    assert http.post("/agents/echo/invoke", json={"content": 1}).status_code == 200
    books = http.get("/ledger", params={"cluster": "true"}).json()
    assert (books["balanced"], books["missing"]) == (True, [])
    assert [one["ledger"]["accepted"] for one in books["nodes"]] == [books["total"]["accepted"]]
    assert books["distinct"] == books["total"]["accepted"] >= 1
    problem(http.get("/ledger", params={"cluster": "perhaps"}), 400, "INVALID_REQUEST")


def test_a_node_is_drained_and_put_back_by_its_name(node: Node, http: httpx.Client) -> None:
    name = http.get("/cluster").json()["node_id"]
    drained = http.post(f"/cluster/nodes/{name}/drain", json={"wait_seconds": 5})
    try:
        assert (drained.status_code, drained.json()) == (200, {"drained": True, "running": []})
        assert http.get("/cluster/nodes").json()["items"][0]["state"] == "draining"
        assert httpx.get(f"{node.url}/ready").status_code == 503
    finally:
        assert http.post(f"/cluster/nodes/{name}/undrain").status_code == 200
    until(lambda: httpx.get(f"{node.url}/ready").status_code == 200, 20, "it is ready again")


@pytest.mark.parametrize("verb", ["drain", "undrain"])
def test_a_node_that_is_none_is_named_with_those_that_are(http: httpx.Client, verb: str) -> None:
    refused = problem(http.post(f"/cluster/nodes/nowhere/{verb}"), 404, "NOT_FOUND")
    assert refused["expected"] == [http.get("/cluster").json()["node_id"]]
