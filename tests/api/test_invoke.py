"""POST /agents/{name}/invoke."""

from __future__ import annotations

import base64
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from api.checks import BOTH_WAYS, problem, settle
from api.conftest import Deploy

from support import wat
from support.node import Node, until


def cancelled(http: httpx.Client, name: str) -> int:
    """How many of the agent's messages were cancelled and nothing else is left of."""
    rows = [row for row in http.get("/ledger").json()["agents"] if row["name"] == name]
    assert all(row["imbalance"] == 0 for row in rows)
    return sum(row["cancelled"] for row in rows if row["accepted"] == row["cancelled"])


@BOTH_WAYS
def test_the_reply_comes_back(http: httpx.Client) -> None:
    answer = http.post("/agents/echo/invoke", json={"content": {"n": [1, 2, "ä", None]}})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"message_id", "conversation_id", "performative", "content", "execution"}
    assert set(body["execution"]) >= {"id", "duration_seconds", "fuel", "peak_memory_bytes"}
    assert body["performative"] == "inform"
    heard = body["content"]
    assert heard["content"] == {"n": [1, 2, "ä", None]}
    assert (heard["sender"], heard["performative"]) == ("client:anonymous", "request")
    assert answer.headers["x-trace-id"] in heard["trace_context"]


def test_content_may_be_left_out(http: httpx.Client) -> None:
    assert http.post("/agents/echo/invoke", json={}).json()["content"]["content"] is None


def test_an_agent_that_answers_nothing_is_a_null(http: httpx.Client, deploy: Deploy) -> None:
    answer = http.post(f"/agents/{deploy(wat.SILENT)}/invoke", json={"content": 1})
    assert (answer.status_code, answer.json()["content"], answer.json()["performative"]) == (200, None, None)


@BOTH_WAYS
@pytest.mark.parametrize(
    ("body", "path_of_field"),
    [
        ({"performative": "shout"}, "performative"),
        ({"performative": 1}, "performative"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": 1e9}, "timeout_seconds"),
        ({"timeout_seconds": "1s"}, "timeout_seconds"),
        ({"delivery": "maybe"}, "delivery"),
        ({"priority": 11}, "priority"),
        ({"message_id": "7"}, "message_id"),
        ({"conversation_id": "x" * 129}, "conversation_id"),
        ({"sender": "client:root"}, "sender"),
        ({"language": "bytes", "content": "no base64!"}, "content"),
        ({"language": "bytes", "content": 7}, "content"),
    ],
)
def test_a_wrong_field_is_named(http: httpx.Client, body: dict[str, object], path_of_field: str) -> None:
    details = problem(http.post("/agents/echo/invoke", json=body), 400, "INVALID_REQUEST")
    assert details["path"] == path_of_field


def test_an_unknown_field_names_the_nearest(http: httpx.Client) -> None:
    details = problem(http.post("/agents/echo/invoke", json={"timeout_second": 1}), 400, "INVALID_REQUEST")
    assert details["nearest"] == "timeout_seconds"


def test_performatives_may_be_written_with_a_dash(http: httpx.Client) -> None:
    heard = http.post("/agents/echo/invoke", json={"performative": "Query-If"}).json()["content"]
    assert heard["performative"] == "query_if"


@BOTH_WAYS
def test_an_unknown_agent_is_404(http: httpx.Client) -> None:
    problem(http.post("/agents/nobody/invoke", json={}), 404, "AGENT_NOT_FOUND")


@BOTH_WAYS
@pytest.mark.parametrize("name", ["-x-", "Upper", "a%20b", "a%00b", "%C3%A4", "x" * 300])
def test_a_name_that_cannot_be_one_is_400(http: httpx.Client, name: str) -> None:
    problem(http.post(f"/agents/{name}/invoke", json={}), 400, "INVALID_REQUEST")


def test_an_agent_with_a_team(http: httpx.Client) -> None:
    http.post("/agents", json={"name": "team/echo", "wat": wat.ECHO})
    for path in ("team/echo", "team%2Fecho"):
        heard = http.post(f"/agents/{path}/invoke", json={"content": 1}).json()["content"]
        assert (heard["content"], heard["receiver"]) == (1, "team/echo")
    http.delete("/agents/team/echo")


@BOTH_WAYS
def test_respond_async_answers_a_job_that_keeps_the_result(http: httpx.Client) -> None:
    answer = http.post("/agents/echo/invoke", json={"content": 5}, headers={"Prefer": "wait=1, respond-async"})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/api/v1/jobs/{job['job_id']}"
    done = settle(http, f"/jobs/{job['job_id']}", "done")
    assert (done["kind"], done["progress"], done["result"]["content"]["content"]) == ("invoke", 1, 5)


def test_a_job_whose_agent_fails_says_so(http: httpx.Client, deploy: Deploy) -> None:
    answer = http.post(f"/agents/{deploy(wat.TRAP)}/invoke", json={}, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert settle(http, f"/jobs/{answer.json()['job_id']}", "failed")["error"]["code"] == "AGENT_FAILED"


def test_no_job_for_an_agent_that_is_not_there(http: httpx.Client) -> None:
    answer = http.post("/agents/nobody/invoke", json={}, headers={"Prefer": "respond-async"})
    problem(answer, 404, "AGENT_NOT_FOUND")


@BOTH_WAYS
@pytest.mark.parametrize("delivery", ["ephemeral", "durable"])
def test_the_same_key_takes_effect_once(http: httpx.Client, deploy: Deploy, delivery: str) -> None:
    name = deploy(wat.TALLY)
    headers = {"Idempotency-Key": f"order-{name}-{delivery}"}
    body = {"content": 1, "delivery": delivery}
    first, again = (http.post(f"/agents/{name}/invoke", json=body, headers=headers).json() for _ in range(2))
    assert first["content"] == again["content"] == 1
    assert first["message_id"] == again["message_id"]
    assert first["execution"]["id"] == again["execution"]["id"]
    other = http.post(f"/agents/{name}/invoke", json={**body, "content": 2}, headers=headers)
    problem(other, 409, "CONFLICT")
    fresh = http.post(f"/agents/{name}/invoke", json=body, headers={"Idempotency-Key": f"other-{name}"})
    assert fresh.json()["content"] == 2


@BOTH_WAYS
def test_an_id_in_the_body_counts_before_a_key(http: httpx.Client, deploy: Deploy) -> None:
    name, chosen = deploy(wat.TALLY), str(uuid.uuid4())
    headers = {"Idempotency-Key": f"both-{name}"}
    body = {"message_id": chosen, "delivery": "durable"}
    answers = [http.post(f"/agents/{name}/invoke", json=body, headers=headers).json() for _ in range(2)]
    assert [(answer["message_id"], answer["content"]) for answer in answers] == [(chosen, 1)] * 2
    assert http.get(f"/messages/{chosen}").json()["state"] == "done"
    other = http.post(f"/agents/{name}/invoke", json={**body, "message_id": str(uuid.uuid4())}, headers=headers)
    assert other.json()["content"] == 2


@pytest.mark.parametrize("delivery", ["ephemeral", "durable"])
def test_the_same_key_twice_at_once_is_one_execution(
    http: httpx.Client, node: Node, deploy: Deploy, delivery: str
) -> None:
    url = f"{node.url}/api/v1/agents/{deploy(wat.sleeping(0.5))}/invoke"
    headers = {"Idempotency-Key": f"twice-{url}"}

    def call(_: int) -> httpx.Response:
        return httpx.post(url, json={"delivery": delivery}, headers=headers, timeout=20)

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(call, range(3)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["execution"]["id"] for answer in answers}) == 1


def test_the_same_key_for_a_job_takes_effect_once(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(wat.TALLY)
    headers = {"Idempotency-Key": f"job-{name}", "Prefer": "respond-async"}
    jobs = [http.post(f"/agents/{name}/invoke", json={}, headers=headers).json() for _ in range(2)]
    assert [settle(http, f"/jobs/{job['job_id']}", "done")["result"]["content"] for job in jobs] == [1, 1]


def test_the_first_outcome_counts_when_it_was_a_failure(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(wat.TRAP)
    headers = {"Idempotency-Key": f"fails-{name}"}
    for _ in range(2):
        answer = http.post(f"/agents/{name}/invoke", json={"delivery": "durable"}, headers=headers)
        problem(answer, 502, "AGENT_FAILED")
    assert len(http.get(f"/agents/{name}/messages").json()["items"]) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "ä".encode()])
def test_a_key_that_is_none_is_refused(http: httpx.Client, key: str | bytes) -> None:
    answer = http.post("/agents/echo/invoke", json={}, headers={b"Idempotency-Key": key})
    problem(answer, 400, "INVALID_REQUEST")


def test_the_timeout_is_the_callers(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(wat.sleeping(20))
    problem(http.post(f"/agents/{name}/invoke", json={"timeout_seconds": 0.2}), 504, "EXECUTION_TIMEOUT")
    until(lambda: cancelled(http, name) == 1, 10, "the execution is cancelled")


def test_the_agents_own_limit_is_a_timeout_too(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(wat.LOOP, limits={"execution_timeout_seconds": 0.2})
    problem(http.post(f"/agents/{name}/invoke", json={}), 504, "EXECUTION_TIMEOUT")
    assert http.post("/agents/echo/invoke", json={}).status_code == 200


def test_a_trap_is_502(http: httpx.Client, deploy: Deploy) -> None:
    problem(http.post(f"/agents/{deploy(wat.TRAP)}/invoke", json={}), 502, "AGENT_FAILED")


@pytest.mark.parametrize(
    ("text", "config", "code"),
    [
        (wat.LOOP, {"profile": "deterministic", "limits": {"fuel": 100_000}}, "FUEL_EXHAUSTED"),
        (wat.LOOP, {"limits": {"cpu_time_seconds": 0.1}}, "CPU_LIMIT"),
        (wat.RECURSION, {}, "STACK_OVERFLOW"),
        (wat.CAT, {"limits": {"output_bytes": 1}}, "OUTPUT_LIMIT"),
    ],
)
def test_every_limit_has_its_code(
    http: httpx.Client, deploy: Deploy, text: str, config: dict[str, object], code: str
) -> None:
    name = deploy(text, **config)
    problem(http.post(f"/agents/{name}/invoke", json={}), 502, code)
    assert http.get(f"/agents/{name}").json()["status"] == "running"


def test_a_failure_exit_code_is_an_answer(http: httpx.Client, deploy: Deploy) -> None:
    answer = http.post(f"/agents/{deploy(wat.EXIT_3)}/invoke", json={})
    assert answer.status_code == 200
    assert answer.json()["performative"] == "failure"
    assert answer.json()["content"]["exit_code"] == 3


@pytest.mark.parametrize("data", [b"", b"\0\1\2\xff", bytes(range(256)) * 100], ids=["none", "some", "many"])
def test_bytes_go_to_a_command_and_back(http: httpx.Client, deploy: Deploy, data: bytes) -> None:
    name = deploy(wat.CAT, output="bytes")
    body = {"language": "bytes", "content": base64.b64encode(data).decode()}
    answer = http.post(f"/agents/{name}/invoke", json=body)
    assert answer.status_code == 200
    assert base64.b64decode(answer.json()["content"], validate=True) == data


def test_a_caller_who_goes_away_ends_the_execution(http: httpx.Client, node: Node, deploy: Deploy) -> None:
    name = deploy(wat.sleeping(60))
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{node.url}/api/v1/agents/{name}/invoke", json={"timeout_seconds": 60}, timeout=0.3)

    until(lambda: cancelled(http, name) == 1, 10, "the execution is cancelled")


@BOTH_WAYS
def test_content_over_the_limit_is_413(http: httpx.Client) -> None:
    assert http.post("/agents/echo/invoke", json={"content": "x" * 900_000}).status_code == 200
    details = problem(http.post("/agents/echo/invoke", json={"content": "x" * 999_999}), 413, "PAYLOAD_TOO_LARGE")
    assert details["limit_bytes"] == 1_000_000
    problem(http.post("/agents/echo/invoke", json={"content": "x" * 2_000_000}), 413, "PAYLOAD_TOO_LARGE")


@BOTH_WAYS
def test_content_of_the_very_limit_is_taken(http: httpx.Client, deploy: Deploy) -> None:
    body = {"content": "x" * 999_998}
    assert http.post(f"/agents/{deploy(wat.SILENT)}/invoke", json=body).status_code == 200


def test_ids_are_honoured_or_made(http: httpx.Client) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = http.post("/agents/echo/invoke", json={}, headers={"traceparent": parent, "X-Request-Id": "mine-1"})
    assert answer.headers["x-trace-id"] == "0af7651916cd43dd8448eb211c80319c"
    assert answer.headers["x-request-id"] == "mine-1"
    for bad in ("00-" + "0" * 32 + "-b7ad6b7169203331-01", "nonsense", parent.upper()):
        made = http.post("/agents/echo/invoke", json={}, headers={"traceparent": bad, "X-Request-Id": "a b" * 99})
        assert made.headers["x-trace-id"] not in bad
        assert len(made.headers["x-request-id"]) == 36
