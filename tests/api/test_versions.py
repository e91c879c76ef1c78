"""PUT /agents/{name}, and the routes of versions, rollbacks and rollouts."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest
from api.checks import problem, settle
from api.conftest import Deploy

from support.router_modules import BAD_INIT, slow_to_compile, wasm
from support.versions import answering

ONE, TWO = answering(1), answering(2)


def asked(http: httpx.Client, name: str) -> Any:
    return http.post(f"/agents/{name}/invoke", json={}).json()["content"]


def put(http: httpx.Client, name: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    """PUT, and on a busy machine what became of the job."""
    answer = http.put(f"/agents/{name}", json=body, headers=headers)
    if answer.status_code == 202:
        settle(http, answer.headers["location"].removeprefix("/api/v1"), "done")
    return answer


def test_a_new_version_is_answered_201_with_its_etag(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(ONE)
    tag = http.get(f"/agents/{name}").headers["etag"]
    answer = put(http, name, {"wat": TWO}, **{"If-Match": tag})
    if answer.status_code == 201:
        assert answer.headers["location"] == f"/api/v1/agents/{name}"
        assert (answer.json()["version"], answer.headers["etag"]) == (2, f'"{answer.json()["etag"]}"')
    assert asked(http, name) == 2
    problem(http.put(f"/agents/{name}", json={"wat": ONE}, headers={"If-Match": tag}), 409, "CONFLICT")
    assert asked(http, name) == 2


@pytest.mark.parametrize("parts", ["wasm", "config", "both"])
def test_a_form_has_either_part_or_both(http: httpx.Client, deploy: Deploy, parts: str) -> None:
    name = deploy(ONE, config={"n": 1})
    files: dict[str, Any] = {}
    if parts != "config":
        files["wasm"] = ("m.wasm", wasm(TWO), "application/wasm")
    if parts != "wasm":
        files["config"] = (None, json.dumps({"config": {"n": 2}}))
    answer = http.put(f"/agents/{name}", files=files)
    assert answer.status_code in (201, 202), answer.text
    settle(http, f"/agents/{name}", 2, "version")
    assert asked(http, name) == (1 if parts == "config" else 2)
    assert http.get(f"/agents/{name}").json()["config"]["config"] == {"n": 1 if parts == "wasm" else 2}


def test_base64_is_taken_too_and_prefer_gives_a_job(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(ONE)
    body = {"wasm_module": base64.b64encode(slow_to_compile()).decode()}
    answer = http.put(f"/agents/{name}", json=body, headers={"Prefer": "respond-async"})
    assert (answer.status_code, answer.json()["kind"]) == (202, "update")
    done = settle(http, answer.headers["location"].removeprefix("/api/v1"), "done")
    assert done["result"]["version"] == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"wat": ONE, "wasm_module": "AA=="},
        {"wasm_module": "not base64"},
        {"wat": ONE, "colour": "red"},
        {"wat": ONE, "name": "another"},
        {"wat": ONE, "strategy": "hope"},
        {"wat": ONE, "canary": {"percent": 10}},
        {"wat": ONE, "strategy": "canary", "canary": {"percent": 0}},
        {"wat": ONE, "strategy": "canary", "canary": {"percent": 101}},
        {"wat": ONE, "strategy": "canary", "blue_green": {"keep_seconds": 1}},
        {"wat": ONE, "strategy": "blue_green", "blue_green": {"keep_seconds": -1}},
        {"limits": {"memory_bytes": -1}},
        {"profile": None},
    ],
)
def test_bad_input_changes_nothing(http: httpx.Client, deploy: Deploy, body: dict[str, Any]) -> None:
    name = deploy(ONE)
    details = problem(http.put(f"/agents/{name}", json=body), 400, "INVALID_REQUEST")
    assert details.get("path") is not None
    assert http.get(f"/agents/{name}").json()["version"] == 1


def test_what_cannot_be_found_or_started(http: httpx.Client, deploy: Deploy) -> None:
    problem(http.put("/agents/nobody", json={"wat": ONE}), 404, "AGENT_NOT_FOUND")
    for path in ("rollback", "rollout"):
        body = {"action": "abort"} if path == "rollout" else {}
        problem(http.post(f"/agents/nobody/{path}", json=body), 404, "AGENT_NOT_FOUND")
    name = deploy(ONE)
    problem(http.get(f"/agents/{name}/rollout"), 404, "NOT_FOUND")
    problem(http.post(f"/agents/{name}/rollout", json={"action": "promote"}), 409, "CONFLICT")
    problem(http.post(f"/agents/{name}/rollout", json={"action": "hope"}), 400, "INVALID_REQUEST")
    problem(http.post(f"/agents/{name}/rollback", json={"version": 7}), 400, "INVALID_REQUEST")
    answer = http.put(f"/agents/{name}", json={"wat": BAD_INIT})
    if answer.status_code == 202:
        job = settle(http, answer.headers["location"].removeprefix("/api/v1"), "failed")
        assert job["error"]["code"] == "AGENT_FAILED"
    else:
        problem(answer, 502, "AGENT_FAILED")
    assert asked(http, name) == 1


def test_versions_rollback_and_a_canary(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(ONE)
    put(http, name, {"wat": TWO})
    items = http.get(f"/agents/{name}/versions").json()["items"]
    assert [(item["version"], item["state"]) for item in items] == [(2, "current"), (1, "kept")]
    back = http.post(f"/agents/{name}/rollback")
    assert (back.status_code, back.json()["version"], asked(http, name)) == (200, 1, 1)
    put(http, name, {"wat": TWO, "strategy": "canary", "canary": {"percent": 100}})
    settle(http, f"/agents/{name}/rollout", "running")
    assert asked(http, name) == 2
    running = http.get(f"/agents/{name}/rollout").json()
    assert (running["strategy"], running["to_version"], running["canary"]["percent"]) == ("canary", 3, 100)
    assert running["new"]["executions"] == 1
    problem(http.put(f"/agents/{name}", json={"wat": ONE}), 409, "CONFLICT")
    ended = http.post(f"/agents/{name}/rollout", json={"action": "abort"}).json()
    assert (ended["version"], ended["rollout"], asked(http, name)) == (1, None, 1)
