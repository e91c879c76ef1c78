"""One trace from the client to the reply, as a collector gets it; and a collector that is gone, slow or broken."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from caxton.protocol import spans as protocol
from caxton.protocol.agents import Schedule
from caxton.protocol.spans import send_id
from caxton.router.replies import scheduled_message, timer_message
from caxton.telemetry.exporter.otlp import encoded
from support import router_agents as agents
from support.collector import Collector, Span, running_collector
from support.node import Node, running_node
from support.router_modules import CONSTANT, LEAK, SILENT, TRAP
from support.served_node import until
from support.web import web

TRACE = "0af7651916cd43dd8448eb211c8031"
CLIENT_SPAN = "b7ad6b7169203331"
SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
SECRET = "s3cret"
SENDS = {"grants": {"kv": True, "send": ["*"]}}
INVOKE, SUBMIT = "POST /api/v1/agents/<agent:name>/invoke", "POST /api/v1/messages"


def traced(number: int, flags: str = "01") -> tuple[str, dict[str, str]]:
    trace_id = f"{TRACE}{number:02x}"
    return trace_id, {"traceparent": f"00-{trace_id}-{CLIENT_SPAN}-{flags}"}


def tracing(endpoint: str, **more: Any) -> dict[str, Any]:
    return {"enable_tracing": True, "trace_sample_rate": 0, "otlp_endpoint": endpoint, **more}


def of_the_sampled_half(trace_id: str) -> bool:
    """As whoever follows W3C's level 2 decides it: the upper half of the last 56 bits."""
    return int(trace_id, 16) & ((1 << 56) - 1) >= 1 << 55


def by_name(spans: list[Span]) -> dict[str, Span]:
    found = {one["name"]: one for one in spans}
    assert len(found) == len(spans), sorted(one["name"] for one in spans)
    return found


def counts(node: Node) -> dict[str, float]:
    text = httpx.get(f"{node.metrics_url}/metrics").text
    head = "caxton_trace_spans_total{outcome="
    lines = [line.removeprefix(head).split("} ") for line in text.splitlines() if line.startswith(head)]
    return {outcome.strip('"'): float(value) for outcome, value in lines}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running_collector(tmp_path_factory.mktemp("collector")) as made:
        yield made


@pytest.fixture(scope="module")
def node(collector: Collector) -> Iterator[Node]:
    """It samples nothing by itself: what is sampled, its client has chosen."""
    messaging = {"max_deliveries": 2, "retry_delay": "10ms"}
    runtime = {"egress_allow": ["127.0.0.0/8"]}
    with running_node(observability=tracing(collector.endpoint), messaging=messaging, runtime=runtime) as made:
        made.deploy("worker", CONSTANT)
        made.deploy("asker", agents.requester("worker"), **SENDS)
        made.deploy("sender", agents.sender("sink"), **SENDS)
        made.deploy("sink", SILENT)
        made.deploy("broken", TRAP)
        made.deploy("leaky", LEAK)
        yield made


def test_a_request_is_one_trace_from_the_client_to_the_reply(node: Node, collector: Collector) -> None:
    trace_id, headers = traced(1)
    answer = node.client.post("/api/v1/agents/worker/invoke", json={"content": 1}, headers=headers)
    assert (answer.status_code, answer.headers["x-trace-id"]) == (200, trace_id)
    spans = by_name(collector.trace(trace_id, INVOKE, "send worker", "process worker"))
    server, sent, done = spans[INVOKE], spans["send worker"], spans["process worker"]
    assert server["parent_id"] == CLIENT_SPAN
    assert sent["parent_id"] == server["span_id"]
    assert done["parent_id"] == sent["span_id"]
    assert (server["kind"], sent["kind"], done["kind"]) == (SERVER, PRODUCER, CONSUMER)
    assert server["start"] <= sent["start"] <= done["start"] <= done["end"] <= server["end"]
    assert server["attributes"]["http.response.status_code"] == 200
    assert done["attributes"]["messaging.destination.name"] == "worker"
    assert done["attributes"]["messaging.message.id"] == answer.json()["message_id"]
    assert done["attributes"]["caxton.execution.id"] == answer.json()["execution"]["id"]
    assert done["attributes"]["caxton.peak_memory_bytes"] > 0
    assert {one["resource"]["caxton.process"] for one in spans.values()} == {"api", "router"}
    assert {one["resource"]["service.name"] for one in spans.values()} == {"caxton"}


def test_what_a_guest_asks_and_sends_is_below_its_execution(node: Node, collector: Collector) -> None:
    trace_id, headers = traced(2)
    assert node.client.post("/api/v1/agents/asker/invoke", json={}, headers=headers).status_code == 200
    spans = collector.trace(trace_id, INVOKE, "process asker", "send worker", "process worker", "commit")
    asked = {one["name"]: one for one in spans if one["name"] != "commit"}
    assert asked["send worker"]["parent_id"] == asked["process asker"]["span_id"]
    assert asked["process worker"]["parent_id"] == asked["send worker"]["span_id"]
    trace_id, headers = traced(3)
    body = {"receiver": "sender", "performative": "request", "content": 1}
    assert node.client.post("/api/v1/messages", json=body, headers=headers).status_code == 202
    spans = collector.trace(trace_id, SUBMIT, "process sender", "send sink", "process sink", "commit", "commit")
    sent = {one["name"]: one for one in spans if one["name"] != "commit"}
    assert sent["send sink"]["parent_id"] == sent["process sender"]["span_id"]
    parents = {one["parent_id"] for one in spans if one["name"] == "commit"}
    assert parents == {sent["process sender"]["span_id"], sent["process sink"]["span_id"]}
    ids = {one["span_id"] for one in spans}
    assert [one["name"] for one in spans if one["parent_id"] not in ids] == [SUBMIT], "nothing hangs in the air"


def test_what_an_agent_asks_the_world_is_a_span_that_the_other_side_knows(node: Node, collector: Collector) -> None:
    with web() as server:
        origin = f"http://127.0.0.1:{server.port}"
        node.deploy("out", agents.fetcher(json.dumps({"url": f"{origin}/plain"})), grants={"http": [origin]})
        trace_id, headers = traced(8)
        assert node.client.post("/api/v1/agents/out/invoke", json={}, headers=headers).status_code == 200
        spans = {one["name"]: one for one in collector.trace(trace_id, "process out", "GET")}
        asked, told = spans["GET"], server.asked[0].headers["traceparent"]
    assert told == f"00-{trace_id}-{asked['span_id']}-01"
    assert (asked["parent_id"], asked["kind"]) == (spans["process out"]["span_id"], CLIENT)
    assert asked["attributes"]["server.address"] == "127.0.0.1"
    assert asked["attributes"]["http.response.status_code"] == 200


def test_what_a_task_says_and_what_comes_of_it_is_in_the_trace_of_whoever_created_it(
    node: Node, collector: Collector
) -> None:
    node.deploy("builder", agents.bidder('{"price":3}'), capabilities=["builds"])
    trace_id, headers = traced(9)
    due = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    wish = {"capability": "builds", "content": "a shed", "select": {"field": "price"}, "reply_by": due}
    assert node.client.post("/api/v1/tasks", json=wish, headers=headers).status_code == 201
    create = "POST /api/v1/tasks"
    spans = collector.trace(trace_id, create, *["send builder", "process builder"] * 2)
    (creating,) = (one["span_id"] for one in spans if one["name"] == create)
    calls = [one for one in spans if one["name"] == "send builder"]
    assert [one["parent_id"] for one in calls] == [creating] * 2, "the call for proposals, and the acceptance"
    assert {one["attributes"]["caxton.sender"] for one in calls} == {"task:node"}


def test_each_attempt_is_a_span_and_the_last_one_says_that_the_message_is_dead(
    node: Node, collector: Collector
) -> None:
    trace_id, headers = traced(4)
    body = {"receiver": "broken", "performative": "request", "content": 1}
    assert node.client.post("/api/v1/messages", json=body, headers=headers).status_code == 202
    spans = collector.trace(trace_id, "process broken", "process broken", "commit")
    attempts = sorted((one for one in spans if one["name"] == "process broken"), key=lambda one: int(one["start"]))
    assert [one["events"] for one in attempts] == [["message.retry"], ["message.dead"]]
    assert [one["attributes"]["caxton.attempt"] for one in attempts] == [1, 2]
    assert {one["attributes"]["error.type"] for one in attempts} == {"AGENT_FAILED"}
    assert {one["status"] for one in attempts} == {2}
    assert len({one["span_id"] for one in attempts}) == 2


def test_a_program_that_fails_has_handled_its_message_and_what_it_said_stays_here(
    node: Node, collector: Collector
) -> None:
    trace_id, headers = traced(11)
    body = {"receiver": "leaky", "performative": "request", "content": 1}
    assert node.client.post("/api/v1/messages", json=body, headers=headers).status_code == 202
    spans = by_name(collector.trace(trace_id, SUBMIT, "send leaky", "process leaky", "commit"))
    done = spans["process leaky"]
    assert (done["status"], done["attributes"]["error.type"], done["said"]) == (2, "failure", "failure")
    assert (done["events"], done["attributes"]["caxton.attempt"]) == ([], 1)
    assert "secret" not in json.dumps(spans)


def test_a_client_that_does_not_sample_gets_no_spans(node: Node, collector: Collector) -> None:
    unwanted, headers = traced(5, "00")
    assert node.client.post("/api/v1/agents/worker/invoke", json={}, headers=headers).status_code == 200
    own = node.client.post("/api/v1/agents/worker/invoke", json={}).headers["x-trace-id"]
    last, headers = traced(6, "03")
    assert node.client.post("/api/v1/agents/worker/invoke", json={}, headers=headers).status_code == 200
    collector.trace(last, INVOKE, "process worker")
    assert not {unwanted, own} & {one["trace_id"] for one in collector.spans()}
    assert until(lambda: counts(node).get("exported"), "spans are counted") > 0


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Collector]]:
    """A node that samples half of what it is asked and logs all it can, and a collector of its own, to be spoiled."""
    with running_collector(tmp_path_factory.mktemp("other")) as collector:
        address = f"{collector.endpoint}?token={SECRET}"
        settings = tracing(address, trace_sample_rate=0.5, otlp_timeout="100ms", log_level="debug")
        headers = {"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization: Bearer {SECRET}"}  # to be written with a "="
        with running_node(headers, observability=settings) as made:
            made.deploy("worker", CONSTANT)
            yield made, collector


def test_the_share_that_is_configured_is_sampled(other: tuple[Node, Collector]) -> None:
    node, collector = other
    asked = [node.invoke("worker", 1).headers["x-trace-id"] for _ in range(200)]
    chosen = [one for one in asked if of_the_sampled_half(one)]
    assert 50 < len(chosen) < 150  # by chance beyond it: once in 10^12
    for one in chosen:
        collector.trace(one, INVOKE, "send worker", "process worker")
    got = Counter(one["trace_id"] for one in collector.spans() if one["trace_id"] in asked)
    assert got == dict.fromkeys(chosen, 3)
    assert not [one for one in collector.spans() if "ready" in one["name"]], "machines ask all day"


def test_scrapes_are_not_sampled_and_what_an_administrator_asks_has_its_route(other: tuple[Node, Collector]) -> None:
    node, collector = other
    for _ in range(40):  # none of them sampled by chance: once in 10^12
        counts(node)
    trace_id, headers = traced(10)
    assert httpx.post(f"{node.admin_url}/api/v1/admin/resume", headers=headers).status_code == 200
    collector.trace(trace_id, "POST /api/v1/admin/resume")
    own = [one["name"] for one in collector.spans() if one["resource"]["caxton.process"] == "admin"]
    assert own == ["POST /api/v1/admin/resume"]


def test_a_timer_begins_a_trace_and_its_share_is_sampled(other: tuple[Node, Collector]) -> None:
    node, collector = other
    node.deploy("clock", agents.TIMER)
    for _ in range(20):  # none of them sampled by chance: once in a million
        assert node.invoke("clock", 1).status_code == 200

    def by_timers() -> list[Span]:
        return [
            one for one in collector.spans() if str(one["attributes"].get("caxton.sender", "")).startswith("timer:")
        ]

    sent = until(by_timers, "a timer's message is sampled")[0]
    assert (sent["name"], sent["parent_id"]) == ("send clock", "")
    done = next(one for one in collector.trace(sent["trace_id"], "process clock") if one["name"] == "process clock")
    assert done["parent_id"] == sent["span_id"]
    assert all(of_the_sampled_half(one["trace_id"]) for one in by_timers())


def test_a_due_message_of_a_schedule_or_a_timer_begins_the_same_trace_each_time() -> None:
    schedule = Schedule("nightly", "0 3 * * *")
    made = [timer_message("a", "id", 1), timer_message("a", "id", 2), scheduled_message("a", "id", schedule, 60.0)]
    traces = [str(one.traceparent).split("-") for one in made]
    assert len({trace_id for _, trace_id, _, _ in traces}) == 3
    assert [parent for _, _, parent, _ in traces] == [send_id(one.message_id) for one in made]
    assert {flags for *_, flags in traces} == {"00"}, "nothing is sampled where nobody wants traces"
    assert timer_message("a", "id", 1) == made[0]


def test_a_value_may_be_a_list_as_detectors_of_resources_give_them() -> None:
    attributes: dict[str, Any] = {"listed": ("a", 1), "empty": []}
    span = protocol.Span("1" * 32, "1" * 16, None, "one", protocol.Kind.INTERNAL, 1, 2, attributes)
    (resource,) = ExportTraceServiceRequest.FromString(encoded("n1", [("api", span)])).resource_spans
    told = {pair.key: pair.value.array_value for pair in resource.scope_spans[0].spans[0].attributes}
    first, second = told["listed"].values
    assert (first.string_value, second.int_value, list(told["empty"].values)) == ("a", 1, [])


def test_how_the_collector_is_asked_is_in_no_log(other: tuple[Node, Collector]) -> None:
    node, collector = other
    trace_id, headers = traced(12)
    url = "/api/v1/agents/worker/invoke"
    assert node.client.post(url, json={}, headers=headers).status_code == 200
    collector.trace(trace_id, "process worker")
    log = node.log.read_text()
    assert SECRET not in log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert "debug" in {line["level"] for line in lines}
    own = [line["level"] for line in lines if "OTEL_EXPORTER_OTLP_HEADERS" in line["message"]]
    assert own == ["warning"], "a header that is left out is said"


def test_a_collector_that_is_broken_slow_or_gone_harms_nobody(other: tuple[Node, Collector]) -> None:
    node, collector = other
    for spoil in (
        lambda: collector.answer(500),
        lambda: collector.answer(302),
        lambda: collector.answer(200, 600.0),
        collector.kill,
    ):
        spoil()
        before = counts(node)["failed"]

        def fails(before: float = before) -> bool:
            assert node.invoke("worker", 1).status_code == 200
            return counts(node)["failed"] > before

        until(fails, "spans that no collector takes are counted")
    assert node.invoke("worker", 1).status_code == 200
    assert node.stop() == 0
    log = node.log.read_text()
    complaints = [json.loads(line) for line in log.splitlines() if "takes no spans" in line]
    assert len(complaints) in (1, 2), log  # once a minute
    assert {(one["service"], one["level"]) for one in complaints} == {("exporter", "warning")}
    assert "Traceback" not in log
    assert SECRET not in log


def test_an_exporter_that_is_killed_is_started_again(node: Node, collector: Collector) -> None:
    node.kill("exporter")
    trace_id, headers = traced(7)
    url = "/api/v1/agents/worker/invoke"

    def arrives() -> bool:
        assert node.client.post(url, json={}, headers=headers).status_code == 200
        return any(one["trace_id"] == trace_id for one in collector.spans())

    until(arrives, "spans are exported again")
    assert counts(node)["dropped"] > 0
