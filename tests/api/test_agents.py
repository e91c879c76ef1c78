"""GET /agents, GET /agents/{name} and the lists below it, stop, start, remove."""

from __future__ import annotations

import httpx
import pytest
from api.checks import pages, problem, settle
from api.conftest import Deploy

from support.node import Node, until
from support.wat import ECHO, KEYS, SILENT, TALLY, sleeping


def test_lists_agents(http: httpx.Client) -> None:
    answer = http.get("/agents", params={"limit": 10, "status": "running"})
    assert answer.status_code == 200
    assert "echo" in [agent["name"] for agent in answer.json()["items"]]
    assert http.get("/agents", params={"status": "stopped"}).json()["items"] == []


def test_lists_agents_by_capability(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(SILENT, capabilities=["adding"])
    assert [agent["name"] for agent in http.get("/agents?capability=adding").json()["items"]] == [name]


def test_pages_hold_every_agent_once(http: httpx.Client, deploy: Deploy) -> None:
    names = {deploy(SILENT) for _ in range(3)}
    found = [agent["name"] for page in pages(http, "/agents", limit=2) for agent in page]
    assert len(found) == len(set(found))
    assert names < set(found)
    assert found == sorted(found)


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "-1"},
        {"limit": "x"},
        {"limit": "1.5"},
        {"limit": ""},
        {"limit": "1" * 40},
        {"status": "sleeping"},
        {"cursor": ""},
        {"cursor": "nonsense"},
        {"unknown": "1"},
    ],
)
def test_wrong_parameters_are_named(http: httpx.Client, params: dict[str, str]) -> None:
    details = problem(http.get("/agents", params=params), 400, "INVALID_REQUEST")
    assert details["path"] in params


@pytest.mark.parametrize("cursor", ["AAAA", "!", "x" * 500, "WzFd", "W10", "ä"])
@pytest.mark.parametrize(
    "path", ["/messages", "/agents", "/dead-letters", "/agents/echo/executions", "/agents/echo/state"]
)
def test_a_cursor_that_is_none_of_ours_is_refused(http: httpx.Client, path: str, cursor: str) -> None:
    assert problem(http.get(path, params={"cursor": cursor}), 400, "INVALID_REQUEST")["path"] == "cursor"


@pytest.mark.parametrize("text", ["%FF", "%ED%A0%80", "a%C3"])
def test_a_query_that_is_not_utf8_is_refused(http: httpx.Client, text: str) -> None:
    assert problem(http.get(f"/agents?capability={text}"), 400, "INVALID_REQUEST")["path"] == "query"


def test_a_parameter_given_twice_is_refused(http: httpx.Client) -> None:
    problem(http.get("/agents?limit=1&limit=2"), 400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    "path", ["", "/messages", "/logs", "/state", "/executions", "/versions", "/logs?follow=true"]
)
def test_an_unknown_agent_is_404(http: httpx.Client, path: str) -> None:
    problem(http.get(f"/agents/nobody{path}"), 404, "AGENT_NOT_FOUND")


@pytest.mark.parametrize("verb", ["stop", "start"])
def test_an_unknown_agent_can_neither_stop_nor_start(http: httpx.Client, verb: str) -> None:
    problem(http.post(f"/agents/nobody/{verb}"), 404, "AGENT_NOT_FOUND")


@pytest.mark.parametrize("path", ["/messages", "/state", "/executions", "/versions", "/logs"])
def test_what_belongs_to_an_agent_is_a_page(http: httpx.Client, path: str) -> None:
    answer = http.get(f"/agents/echo{path}")
    assert answer.status_code == 200
    assert set(answer.json()) == {"items", "next_cursor"}


def test_one_agent_is_shown_with_what_it_may_and_did(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(TALLY, limits={"memory_bytes": 2_000_000}, grants={"send": ["nobody"]})
    http.post(f"/agents/{name}/invoke", json={})

    def counted() -> object:
        shown = http.get(f"/agents/{name}").json()
        return shown if shown["counters"]["done"] == 1 else None

    shown = until(counted, 10, "the counter")
    assert shown["limits"]["memory_bytes"] == 2_000_000
    assert shown["grants"]["send"] == ["nobody"]
    assert shown["resources"]["resident"] is True
    assert shown["resources"]["state_bytes"] > 0
    assert (shown["status"], shown["shape"], shown["version"]) == ("running", "reactor", 1)


def test_state_holds_the_keys(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(TALLY)
    http.post(f"/agents/{name}/invoke", json={})
    (item,) = http.get(f"/agents/{name}/state").json()["items"]
    assert (item["key"], item["size_bytes"]) == ("n", 4)


def test_pages_hold_every_key_once(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(KEYS)
    http.post(f"/agents/{name}/invoke", json={})
    found = [item["key"] for page in pages(http, f"/agents/{name}/state", limit=2) for item in page]
    assert found == ["a", "b", "c", "d", "e"]


def test_executions_are_listed_newest_first(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(TALLY)
    ids = [http.post(f"/agents/{name}/invoke", json={}).json()["execution"]["id"] for _ in range(3)]

    def listed() -> object:
        items = http.get(f"/agents/{name}/executions").json()["items"]
        return [item["id"] for item in items] == ids[::-1]

    until(listed, 10, "three executions")


def test_messages_are_those_of_the_agent(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(SILENT)
    message_id = http.post("/messages", json={"performative": "inform", "receiver": name}).json()["message_id"]
    assert [item["message_id"] for item in http.get(f"/agents/{name}/messages").json()["items"]] == [message_id]
    problem(http.get(f"/agents/{name}/messages?state=lost"), 400, "INVALID_REQUEST")


def test_there_is_one_version(http: httpx.Client) -> None:
    (version,) = http.get("/agents/echo/versions").json()["items"]
    assert version["version"] == 1


def test_an_etag_names_a_version_and_hides_no_change(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(SILENT)
    tag = http.get(f"/agents/{name}").headers["etag"]
    http.post(f"/agents/{name}/stop")
    again = http.get(f"/agents/{name}", headers={"If-None-Match": tag})
    assert (again.status_code, again.json()["status"], again.headers["etag"]) == (200, "stopped", tag)


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "/stop"), ("POST", "/start")])
def test_if_match_guards_a_change(http: httpx.Client, deploy: Deploy, method: str, path: str) -> None:
    name = deploy(SILENT)
    answer = http.request(method, f"/agents/{name}{path}", headers={"If-Match": '"other"'})
    problem(answer, 409, "CONFLICT")
    malformed = http.request(method, f"/agents/{name}{path}", headers={"If-Match": '"a", "b"'})
    problem(malformed, 400, "INVALID_REQUEST")
    assert http.get(f"/agents/{name}").json()["status"] == "running"
    tag = http.get(f"/agents/{name}").headers["etag"]
    assert http.request(method, f"/agents/{name}{path}", headers={"If-Match": tag}).status_code == 200


def test_the_tag_of_an_agent_that_was_replaced_no_longer_fits(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(SILENT)
    before = http.get(f"/agents/{name}").headers["etag"]
    http.delete(f"/agents/{name}")
    assert http.post("/agents", json={"name": name, "wat": SILENT}).status_code == 201
    problem(http.delete(f"/agents/{name}", headers={"If-Match": before}), 409, "CONFLICT")


def test_a_stopped_agent_takes_nothing_until_it_is_started(http: httpx.Client) -> None:
    http.post("/agents", json={"name": "team/brief", "wat": ECHO})
    stopped = http.post("/agents/team/brief/stop", json={"grace_period_seconds": 1})
    assert stopped.json()["status"] == "stopped"
    problem(http.post("/agents/team/brief/invoke", json={}), 409, "AGENT_STOPPED")
    message = {"performative": "inform", "receiver": "team/brief"}
    problem(http.post("/messages", json=message), 409, "AGENT_STOPPED")
    assert http.post("/agents/team/brief/stop").json()["status"] == "stopped"
    for _ in range(2):
        assert http.post("/agents/team/brief/start").json()["status"] == "running"
    assert http.post("/agents/team/brief/invoke", json={}).status_code == 200
    assert http.delete("/agents/team/brief").status_code == 200


def test_stop_takes_a_grace_period(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(SILENT)
    assert http.post(f"/agents/{name}/stop", json={"grace_period_seconds": 0.5}).status_code == 200
    for wrong in (-1, "1s", 1e9):
        details = problem(
            http.post(f"/agents/{name}/stop", json={"grace_period_seconds": wrong}), 400, "INVALID_REQUEST"
        )
        assert details["path"] == "grace_period_seconds"


def test_what_runs_may_end_within_the_grace_period(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(sleeping(0.5))
    message_id = http.post("/messages", json={"performative": "request", "receiver": name}).json()["message_id"]
    settle(http, f"/messages/{message_id}", "in_flight")
    assert http.post(f"/agents/{name}/stop", json={"grace_period_seconds": 10}).json()["status"] == "stopped"
    assert http.get(f"/messages/{message_id}").json()["state"] == "done"


def test_removing_moves_the_mailbox_to_the_dead_letters_or_away(node: Node, http: httpx.Client) -> None:
    for purge, count in (("false", 1), ("true", 0)):
        http.post("/agents", json={"name": "leaving", "wat": SILENT})
        http.post("/agents/leaving/stop")
        http.post("/agents/leaving/start")
        httpx.post(f"{node.admin_url}/api/v1/admin/pause")
        body = {"performative": "inform", "receiver": "leaving"}
        message_id = http.post("/messages", json=body).json()["message_id"]
        assert http.delete("/agents/leaving", params={"purge": purge}).json() == {"count": 1}
        httpx.post(f"{node.admin_url}/api/v1/admin/resume")
        dead = [item["message_id"] for item in http.get("/dead-letters?agent=leaving").json()["items"]]
        assert dead.count(message_id) == count
    assert node.ledger()["node"]["imbalance"] == 0


def test_removing_twice_is_404(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(SILENT)
    assert http.delete(f"/agents/{name}", params={"purge": "true"}).json() == {"count": 0}
    problem(http.delete(f"/agents/{name}"), 404, "AGENT_NOT_FOUND")
    problem(http.delete(f"/agents/{name}?purge=maybe"), 400, "INVALID_REQUEST")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_method_that_is_not_there_is_405(http: httpx.Client, method: str) -> None:
    answer = http.request(method, "/agents")
    problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/agent", "/agents/a/b/c", "/agents//x//y", "/%00", "/ä"])
def test_a_path_that_is_not_there_is_404(http: httpx.Client, path: str) -> None:
    problem(http.get(path), 404, "NOT_FOUND")
