from __future__ import annotations

import httpx
import pytest
from api.checks import BOTH_WAYS, problem
from api.nodes import Node, await_true


@pytest.fixture
def slow(http: httpx.Client) -> str:
    http.post("/agents", json={"name": "slow", "wat": "(module)"})
    return "slow"


@BOTH_WAYS
def test_the_reply_comes_back(http: httpx.Client, echo: str) -> None:
    answer = http.post("/agents/echo/invoke", json={"content": {"n": [1, 2, "ä"]}})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["content"] == {"n": [1, 2, "ä"]}
    assert answer.json()["performative"] == "inform"


def test_content_may_be_left_out(http: httpx.Client, echo: str) -> None:
    assert http.post("/agents/echo/invoke", json={}).json()["content"] is None


@BOTH_WAYS
@pytest.mark.parametrize(
    ("body", "path_of_field"),
    [
        ({"performative": "shout"}, "performative"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
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
def test_a_wrong_field_is_named(http: httpx.Client, echo: str, body: dict[str, object], path_of_field: str) -> None:
    details = problem(http.post("/agents/echo/invoke", json=body), 400, "INVALID_REQUEST")
    assert details["path"] == path_of_field


def test_performatives_may_be_written_with_a_dash(http: httpx.Client, echo: str) -> None:
    assert http.post("/agents/echo/invoke", json={"performative": "Query-If"}).status_code == 200


@BOTH_WAYS
def test_an_unknown_agent_is_404(http: httpx.Client) -> None:
    problem(http.post("/agents/nobody/invoke", json={}), 404, "AGENT_NOT_FOUND")


def test_a_name_that_cannot_be_one_is_400(http: httpx.Client) -> None:
    problem(http.post("/agents/-x-/invoke", json={}), 400, "INVALID_REQUEST")


def test_an_agent_with_a_team(http: httpx.Client) -> None:
    http.post("/agents", json={"name": "team/echo", "wat": "(module)"})
    assert http.post("/agents/team/echo/invoke", json={"content": 1}).json()["content"] == 1
    assert http.post("/agents/team%2Fecho/invoke", json={"content": 1}).json()["content"] == 1
    http.delete("/agents/team/echo")


@BOTH_WAYS
def test_respond_async_answers_a_job(http: httpx.Client, echo: str) -> None:
    answer = http.post("/agents/echo/invoke", json={}, headers={"Prefer": "wait=1, respond-async"})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['job_id']}"


def test_an_idempotency_key_is_a_message_id(http: httpx.Client, echo: str) -> None:
    headers = {"Idempotency-Key": "order-7"}
    first, again = (http.post("/agents/echo/invoke", json={}, headers=headers).json()["message_id"] for _ in range(2))
    other = http.post("/agents/echo/invoke", json={}, headers={"Idempotency-Key": "order-8"}).json()["message_id"]
    assert first == again != other
    problem(http.post("/agents/echo/invoke", json={}, headers={"Idempotency-Key": "x" * 256}), 400, "INVALID_REQUEST")


def test_the_timeout_is_the_callers(http: httpx.Client, slow: str) -> None:
    problem(http.post("/agents/slow/invoke", json={"timeout_seconds": 0.2}), 504, "EXECUTION_TIMEOUT")


def test_a_caller_who_goes_away_is_hung_up(http: httpx.Client, node: Node, slow: str) -> None:
    def hung_up() -> float:
        text = httpx.get(f"http://127.0.0.1:{node.metrics_port}/metrics").text
        return float(next(line for line in text.splitlines() if line.startswith("caxton_hung_up ")).split()[1])

    before = hung_up()
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{node.url}/api/v1/agents/slow/invoke", json={"timeout_seconds": 60}, timeout=0.3)
    await_true(lambda: hung_up() == before + 1)


@BOTH_WAYS
def test_content_over_the_limit_is_413(http: httpx.Client, echo: str) -> None:
    assert http.post("/agents/echo/invoke", json={"content": "x" * 999_998}).status_code == 200
    problem(http.post("/agents/echo/invoke", json={"content": "x" * 999_999}), 413, "PAYLOAD_TOO_LARGE")
    problem(http.post("/agents/echo/invoke", json={"content": "x" * 2_000_000}), 413, "PAYLOAD_TOO_LARGE")


def test_ids_are_honoured_or_made(http: httpx.Client, echo: str) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = http.post("/agents/echo/invoke", json={}, headers={"traceparent": parent, "X-Request-Id": "mine-1"})
    assert answer.headers["x-trace-id"] == "0af7651916cd43dd8448eb211c80319c"
    assert answer.headers["x-request-id"] == "mine-1"
    for bad in ("00-" + "0" * 32 + "-b7ad6b7169203331-01", "nonsense", parent.upper()):
        made = http.post("/agents/echo/invoke", json={}, headers={"traceparent": bad, "X-Request-Id": "a b" * 99})
        assert made.headers["x-trace-id"] not in bad
        assert len(made.headers["x-request-id"]) == 36
