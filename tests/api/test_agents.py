from __future__ import annotations

import httpx
import pytest
from api.checks import problem


def test_lists_agents(http: httpx.Client, echo: str) -> None:
    answer = http.get("/agents", params={"limit": 10, "status": "running"})
    assert answer.status_code == 200
    assert echo in [agent["name"] for agent in answer.json()["items"]]


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "x"},
        {"limit": "1.5"},
        {"limit": ""},
        {"status": "sleeping"},
        {"cursor": ""},
        {"cursor": "nonsense"},
        {"unknown": "1"},
    ],
)
def test_wrong_parameters_are_named(http: httpx.Client, params: dict[str, str]) -> None:
    details = problem(http.get("/agents", params=params), 400, "INVALID_REQUEST")
    assert details["path"] in params


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
def test_what_belongs_to_an_agent_is_a_page(http: httpx.Client, echo: str, path: str) -> None:
    answer = http.get(f"/agents/{echo}{path}")
    assert answer.status_code == 200
    assert set(answer.json()) == {"items", "next_cursor"}


def test_there_is_one_version(http: httpx.Client, echo: str) -> None:
    (version,) = http.get(f"/agents/{echo}/versions").json()["items"]
    assert version["version"] == 1


def test_an_etag_saves_the_body(http: httpx.Client, echo: str) -> None:
    tag = http.get(f"/agents/{echo}").headers["etag"]
    again = http.get(f"/agents/{echo}", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "/stop"), ("POST", "/start")])
def test_if_match_guards_a_change(http: httpx.Client, echo: str, method: str, path: str) -> None:
    answer = http.request(method, f"/agents/{echo}{path}", headers={"If-Match": '"other"'})
    problem(answer, 409, "CONFLICT")
    malformed = http.request(method, f"/agents/{echo}{path}", headers={"If-Match": '"a", "b"'})
    problem(malformed, 400, "INVALID_REQUEST")
    assert http.request(method, f"/agents/{echo}{path}", headers={"If-Match": '"e1"'}).status_code == 200


def test_stop_takes_a_grace_period(http: httpx.Client, echo: str) -> None:
    assert http.post(f"/agents/{echo}/stop", json={"grace_period_seconds": 0.5}).status_code == 200
    details = problem(http.post(f"/agents/{echo}/stop", json={"grace_period_seconds": -1}), 400, "INVALID_REQUEST")
    assert details["path"] == "grace_period_seconds"


def test_removing_twice_is_404(http: httpx.Client, echo: str) -> None:
    assert http.delete(f"/agents/{echo}", params={"purge": "true"}).json() == {"count": 0}
    problem(http.delete(f"/agents/{echo}"), 404, "AGENT_NOT_FOUND")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_method_that_is_not_there_is_405(http: httpx.Client, method: str) -> None:
    answer = http.request(method, "/agents")
    problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/agent", "/agents/a/b/c", "/agents//x//y", "/%00", "/ä"])
def test_a_path_that_is_not_there_is_404(http: httpx.Client, path: str) -> None:
    problem(http.get(path), 404, "NOT_FOUND")


def test_logs_are_streamed_as_lines(http: httpx.Client, echo: str) -> None:
    with http.stream("GET", f"/agents/{echo}/logs?follow=true") as answer:
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        lines = answer.iter_lines()
        assert [next(lines) for _ in range(3)][2].startswith('{"seq":2')


def test_logs_are_streamed_as_events(http: httpx.Client, echo: str) -> None:
    headers = {"Accept": "text/event-stream"}
    with http.stream("GET", f"/agents/{echo}/logs?follow=true", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert next(answer.iter_lines()).startswith('data: {"seq":0')
