from __future__ import annotations

import base64
import json

import httpx
import pytest
from api.checks import problem

WASM = b"\0asm\1\0\0\0"


def test_deploys_wat_and_answers_201_with_etag_and_location(http: httpx.Client) -> None:
    answer = http.post("/agents", json={"name": "team/wat", "wat": "(module)"})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/v1/agents/team/wat"
    assert answer.headers["etag"] == '"e1"'
    assert http.get("/agents/team/wat").json()["name"] == "team/wat"
    assert http.delete("/agents/team%2Fwat").status_code == 200


def test_deploys_base64(http: httpx.Client) -> None:
    body = {"name": "b64", "wasm_module": base64.b64encode(WASM).decode(), "env": {"A": "b"}}
    answer = http.post("/agents", json=body)
    assert answer.status_code == 201
    assert answer.json()["module_bytes"] == len(WASM)
    assert answer.json()["config"]["env"] == {"A": "b"}
    http.delete("/agents/b64")


@pytest.mark.parametrize("as_file", [True, False])
def test_deploys_multipart(http: httpx.Client, as_file: bool) -> None:
    config = json.dumps({"name": "form"})
    files = {"wasm": ("m.wasm", WASM, "application/wasm")}
    if as_file:
        answer = http.post("/agents", files={**files, "config": ("c.json", config, "application/json")})
    else:
        answer = http.post("/agents", files=files, data={"config": config})
    assert answer.status_code == 201
    assert answer.json()["module_bytes"] == len(WASM)
    http.delete("/agents/form")


def test_a_module_of_20_mb_passes(http: httpx.Client) -> None:
    module = WASM + bytes(20_000_000)
    answer = http.post("/agents", files={"wasm": module, "config": '{"name": "big"}'})
    assert answer.status_code == 201
    assert answer.json()["module_bytes"] == len(module)
    http.delete("/agents/big")


def test_respond_async_answers_a_job(http: httpx.Client) -> None:
    answer = http.post("/agents", json={"name": "later", "wat": "(module)"}, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['job_id']}"


def test_the_same_name_twice_is_refused(http: httpx.Client, echo: str) -> None:
    problem(http.post("/agents", json={"name": echo, "wat": "(module)"}), 409, "AGENT_ALREADY_EXISTS")


@pytest.mark.parametrize(
    "module", [b"", WASM[:3], b"this is text", b"\0" * 8], ids=["empty", "truncated", "text", "zeros"]
)
def test_what_is_no_wasm_is_422(http: httpx.Client, module: bytes) -> None:
    problem(http.post("/agents", files={"wasm": module, "config": '{"name": "bad"}'}), 422, "INVALID_WASM")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"wat": "(module)"}, "name"),
        ({"name": "Upper", "wat": "(module)"}, "name"),
        ({"name": "a/b/c", "wat": "(module)"}, "name"),
        ({"name": "a/invoke", "wat": "(module)"}, "name"),
        ({"name": "a"}, "wasm_module"),
        ({"name": "a", "wat": "x", "wasm_module": "eA=="}, "wasm_module"),
        ({"name": "a", "wasm_module": "???"}, "wasm_module"),
        ({"name": "a", "wat": "x", "limits": {"memory_bytes": -1}}, "limits.memory_bytes"),
        ({"name": "a", "wat": "x", "limits": {"memory_byte": 1}}, "limits.memory_byte"),
        ({"name": "a", "wat": "x", "grants": {"dirs": [{"host": "/a", "guest": "b"}]}}, "grants.dirs[0].guest"),
        ({"name": "a", "wat": "x", "shape": "blob"}, "shape"),
        ({"name": "a", "wat": 1}, "wat"),
    ],
)
def test_a_wrong_field_is_named(http: httpx.Client, body: dict[str, object], path: str) -> None:
    details = problem(http.post("/agents", json=body), 400, "INVALID_REQUEST")
    assert details["path"] == path


def test_an_unknown_field_names_the_nearest(http: httpx.Client) -> None:
    details = problem(http.post("/agents", json={"name": "a", "limit": {}}), 400, "INVALID_REQUEST")
    assert details["nearest"] == "limits"
    details = problem(
        http.post("/agents", json={"name": "a", "grants": {"dirs": [{"host": "/a", "guset": "/b"}]}}),
        400,
        "INVALID_REQUEST",
    )
    assert details["nearest"] == "guest"


@pytest.mark.parametrize(
    "files", [{"wasm": WASM}, {"config": '{"name": "a"}'}, {"wasm": WASM, "config": "{}", "x": "1"}]
)
def test_a_form_has_exactly_two_parts(http: httpx.Client, files: dict[str, bytes]) -> None:
    problem(http.post("/agents", files=files), 400, "INVALID_REQUEST")


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_form_that_is_none_is_refused(http: httpx.Client, content_type: str) -> None:
    answer = http.post("/agents", content=b"no form at all", headers={"Content-Type": content_type})
    problem(answer, 400, "INVALID_REQUEST")


def test_other_content_types_are_415(http: httpx.Client) -> None:
    details = problem(
        http.post("/agents", content=WASM, headers={"Content-Type": "application/wasm"}),
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    )
    assert "application/json" in details["expected"]
