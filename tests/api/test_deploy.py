"""POST /agents."""

from __future__ import annotations

import base64
import json
import threading

import httpx
import pytest
from api.checks import problem, settle
from api.conftest import Deploy
from api.raw import ask, post

from support.node import Node
from support.router_modules import slow_to_compile, wasm
from support.wat import ECHO, SILENT

WASM = wasm(ECHO)
HEADER = b"\0asm\1\0\0\0"
BAD_MODULES = {
    "empty": b"",
    "magic only": HEADER[:4],
    "header only": HEADER,
    "half of one": WASM[: len(WASM) // 2],
    "a section without end": HEADER + b"\1",
    "a section of 4 GB": HEADER + b"\1\xff\xff\xff\xff\x0f",
    "text": b"this is text",
    "zeros": bytes(64),
    "ELF": b"\x7fELF\2\1\1" + bytes(100),
    "broken WAT": b"(module (func (export",
    "no exports": b"(module)",
    "a component": b"\0asm\x0d\0\1\0",
    "UTF-16": "(module)".encode("utf-16"),
}


def test_deploys_wat_and_answers_201_with_etag_and_location(http: httpx.Client) -> None:
    answer = http.post("/agents", json={"name": "team/wat", "wat": ECHO})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/v1/agents/team/wat"
    assert answer.headers["etag"] == f'"{answer.json()["etag"]}"'
    assert answer.json()["status"] == "running"
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
    payload = b"\4note" + bytes(20_000_000)
    length = b"".join(bytes([len(payload) >> shift & 0x7F | 0x80]) for shift in (0, 7, 14, 21)) + b"\0"
    module = WASM + b"\0" + length + payload
    answer = http.post("/agents", files={"wasm": module, "config": '{"name": "big"}'})
    assert answer.status_code in (201, 202)
    assert settle(http, "/agents/big", "running", "status")["module_bytes"] == len(module)
    http.delete("/agents/big")


def test_a_module_over_the_limit_is_413_unread(node: Node) -> None:
    answer = ask(node, post("/api/v1/agents", f"Content-Length: {1 << 31}"))
    assert (answer.status, answer.code()) == (413, "PAYLOAD_TOO_LARGE")


def test_respond_async_answers_a_job_that_ends_with_the_agent(http: httpx.Client) -> None:
    body = {"name": "later", "wat": ECHO}
    answer = http.post("/agents", json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['job_id']}"
    job = settle(http, f"/jobs/{answer.json()['job_id']}", "done")
    assert (job["kind"], job["progress"], job["result"]["name"]) == ("deploy", 1, "later")
    http.delete("/agents/later")


def test_a_long_compilation_answers_a_job_by_itself(http: httpx.Client) -> None:
    files = {"wasm": slow_to_compile(2_500), "config": '{"name": "long"}'}
    answer = http.post("/agents", files=files)
    assert answer.status_code == 202
    settle(http, answer.headers["location"].removeprefix("/api/v1"), "done")
    assert http.delete("/agents/long").status_code == 200


def test_a_job_that_fails_says_why(http: httpx.Client) -> None:
    answer = http.post("/agents", json={"name": "never", "wat": "(module)"}, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    job = settle(http, f"/jobs/{answer.json()['job_id']}", "failed")
    assert job["error"]["code"] == "INVALID_WASM"
    problem(http.get("/agents/never"), 404, "AGENT_NOT_FOUND")


def test_the_same_name_twice_is_refused(http: httpx.Client) -> None:
    problem(http.post("/agents", json={"name": "echo", "wat": ECHO}), 409, "AGENT_ALREADY_EXISTS")


def test_of_two_at_once_with_the_same_name_one_wins(node: Node) -> None:
    answers: list[httpx.Response] = []
    gate = threading.Barrier(4)

    def send() -> None:
        with httpx.Client(base_url=f"{node.url}/api/v1", timeout=30) as client:
            gate.wait()
            answers.append(client.post("/agents", json={"name": "twin", "wat": SILENT}))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    for answer in answers:
        if answer.status_code == 409:
            problem(answer, 409, "AGENT_ALREADY_EXISTS")
    assert node.client.delete("/api/v1/agents/twin").status_code == 200


def refused(http: httpx.Client, answer: httpx.Response) -> None:
    """The module is refused; on a host with much to do, by the job of a deployment that took more than a second."""
    if answer.status_code == 202:
        assert settle(http, f"/jobs/{answer.json()['job_id']}", "failed")["error"]["code"] == "INVALID_WASM"
    else:
        problem(answer, 422, "INVALID_WASM")


@pytest.mark.parametrize("module", BAD_MODULES.values(), ids=BAD_MODULES.keys())
def test_what_is_no_wasm_is_422_and_leaves_nothing(http: httpx.Client, module: bytes) -> None:
    answer = http.post("/agents", files={"wasm": ("m.wasm", module, "application/wasm"), "config": '{"name": "bad"}'})
    refused(http, answer)
    problem(http.get("/agents/bad"), 404, "AGENT_NOT_FOUND")


@pytest.mark.parametrize("text", ["", "text", "(module", "(module (func unknown))", "\0asm"])
def test_what_is_no_wat_is_422(http: httpx.Client, text: str) -> None:
    refused(http, http.post("/agents", json={"name": "bad", "wat": text}))


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"wat": "(module)"}, "name"),
        ({"name": "Upper", "wat": "(module)"}, "name"),
        ({"name": "a/b/c", "wat": "(module)"}, "name"),
        ({"name": "a/invoke", "wat": "(module)"}, "name"),
        ({"name": 7, "wat": "(module)"}, "name"),
        ({"name": "a"}, "wasm_module"),
        ({"name": "a", "wat": "x", "wasm_module": "eA=="}, "wasm_module"),
        ({"name": "a", "wasm_module": "???"}, "wasm_module"),
        ({"name": "a", "wat": "x", "limits": {"memory_bytes": -1}}, "limits.memory_bytes"),
        ({"name": "a", "wat": "x", "limits": {"memory_bytes": "1MB"}}, "limits.memory_bytes"),
        ({"name": "a", "wat": "x", "limits": {"memory_byte": 1}}, "limits.memory_byte"),
        ({"name": "a", "wat": "x", "limits": []}, "limits"),
        ({"name": "a", "wat": "x", "grants": {"dirs": [{"host": "/a", "guest": "b"}]}}, "grants.dirs[0].guest"),
        ({"name": "a", "wat": "x", "grants": {"dirs": [{"host": "/\0", "guest": "/b"}]}}, "grants.dirs[0].host"),
        ({"name": "a", "wat": "x", "limits": {"fuel": 10**30}}, "limits.fuel"),
        ({"name": "a", "wat": "x", "limits": {"state_bytes": 2**63}}, "limits.state_bytes"),
        ({"name": "a", "wat": "x", "shape": "blob"}, "shape"),
        ({"name": "a", "wat": "x", "args": "-v"}, "args"),
        ({"name": "a", "wat": 1}, "wat"),
    ],
)
def test_a_wrong_field_is_named(http: httpx.Client, body: dict[str, object], path: str) -> None:
    details = problem(http.post("/agents", json=body), 400, "INVALID_REQUEST")
    assert details["path"] == path


@pytest.mark.parametrize("field", ["config", "supervision"])
def test_a_number_that_nothing_can_hold_is_refused(http: httpx.Client, field: str) -> None:
    problem(http.post("/agents", json={"name": "a", "wat": ECHO, field: {"n": 10**400}}), 400, "INVALID_REQUEST")


def test_an_unknown_field_names_the_nearest(http: httpx.Client) -> None:
    details = problem(http.post("/agents", json={"name": "a", "limit": {}}), 400, "INVALID_REQUEST")
    assert details["nearest"] == "limits"
    grants = {"dirs": [{"host": "/a", "guset": "/b"}]}
    details = problem(http.post("/agents", json={"name": "a", "grants": grants}), 400, "INVALID_REQUEST")
    assert details["nearest"] == "guest"


@pytest.mark.parametrize(
    "files", [{"wasm": WASM}, {"config": '{"name": "a"}'}, {"wasm": WASM, "config": "{}", "x": "1"}]
)
def test_a_form_has_exactly_two_parts(http: httpx.Client, files: dict[str, bytes]) -> None:
    problem(http.post("/agents", files=files), 400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    "config", [b"", b"{", b"[]", b'{"name": "\xff"}', b'{"name": "a", "name": "b"}', b"[" * 9000]
)
def test_a_configuration_that_is_none_is_400(http: httpx.Client, config: bytes) -> None:
    answer = http.post("/agents", files={"wasm": WASM, "config": config})
    problem(answer, 400, "INVALID_REQUEST")


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_form_that_is_none_is_refused(http: httpx.Client, content_type: str) -> None:
    answer = http.post("/agents", content=b"no form at all", headers={"Content-Type": content_type})
    problem(answer, 400, "INVALID_REQUEST")


def test_other_content_types_are_415(http: httpx.Client) -> None:
    answer = http.post("/agents", content=WASM, headers={"Content-Type": "application/wasm"})
    assert "application/json" in problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")["expected"]


def test_one_agent_more_than_the_node_may_have_is_refused(small: Node) -> None:
    have = len(small.client.get("/api/v1/agents").json()["items"])
    names = [f"one{number}" for number in range(3 - have)]
    for name in names:
        small.deploy(name, SILENT)
    answer = small.client.post("/api/v1/agents", json={"name": "more", "wat": SILENT})
    details = problem(answer, 409, "RESOURCE_LIMIT_EXCEEDED")
    assert (details["limit"], details["maximum"]) == ("max_agents", 3)
    for name in names:
        small.client.delete(f"/api/v1/agents/{name}")


def test_a_self_test_that_fails_leaves_nothing(http: httpx.Client, deploy: Deploy) -> None:
    config = {"name": "selfless", "wat": ECHO, "self_test": {"content": 1, "expect": 2}}
    problem(http.post("/agents", json=config), 502, "AGENT_FAILED")
    problem(http.get("/agents/selfless"), 404, "AGENT_NOT_FOUND")
