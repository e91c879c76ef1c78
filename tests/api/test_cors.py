"""What browsers are told: which pages may ask, what they may read, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from api.conftest import brief_node
from api.limited import GUARD, ask, at, bearer, flask, identity, limited_node, plain

from caxton.api.cors import Cors
from caxton.config.sections import Security
from support.node import Node

PAGE = "https://dashboard.example.com"
Ask = Callable[[Node, dict[str, str]], httpx.Response]


@pytest.fixture(scope="module")
def shared() -> Iterator[Node]:
    """A node whose answers a dashboard may read."""
    with limited_node(cors_enabled=True, cors_origins=[PAGE], cors_methods=["GET", "POST"]) as made:
        yield made


def preflight(node: Node, path: str, method: str = "POST", origin: str = PAGE) -> httpx.Response:
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    return ask(node, "OPTIONS", path, headers)


def allowed(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control")}


@pytest.mark.parametrize("way", [plain, flask])
def test_a_page_may_read_answers_and_errors(shared: Node, way: Ask) -> None:
    page, me = {"Origin": PAGE}, identity()
    answers = [way(shared, me | page) for _ in range(GUARD["rate_limit_burst"] + 1)]
    answers.append(way(shared, page))
    assert [answer.status_code for answer in answers[-3:]] == [200, 429, 401]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "retry-after" in answer.headers["access-control-expose-headers"].lower()
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/agents/echo/invoke", "/messages", "/agents"])
def test_a_preflight_needs_no_credentials(shared: Node, path: str) -> None:
    answer = preflight(shared, path)
    assert answer.status_code == 200
    assert answer.content == b""
    found = allowed(answer)
    assert found["access-control-allow-origin"] == PAGE
    assert found["access-control-allow-methods"] == "GET, POST"
    assert set(found["access-control-allow-headers"].split(", ")) >= {
        *("Authorization", "X-API-Key", "Content-Type", "Idempotency-Key", "If-Match", "Prefer", "traceparent"),
    }
    assert int(found["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in found


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://dashboard.example.com",
        "https://dashboard.example.com:8443",
        "https://dashboard.example.com.evil.example",
        "https://evil-dashboard.example.com",
        "https://evil.example/?https://dashboard.example.com",
        "https://DASHBOARD.example.com",
        "https://dashboard.example.com/",
        f"{PAGE}, https://evil.example",
        "*",
        "",
    ],
)
def test_other_origins_may_nothing(shared: Node, origin: str) -> None:
    assert allowed(preflight(shared, "/agents", origin=origin)) == {}
    for way in (plain, flask):
        answer = way(shared, identity() | {"Origin": origin})
        assert answer.status_code == 200  # it is the browser that refuses
        assert allowed(answer) == {}
        assert answer.headers["vary"] == "Origin"


def test_a_preflight_for_what_is_not_there_or_not_allowed_allows_nothing(shared: Node) -> None:
    missing = preflight(shared, "/nowhere")
    assert missing.status_code == 404
    assert "access-control-allow-methods" not in missing.headers
    assert "access-control-allow-methods" not in preflight(shared, "/agents/echo", method="DELETE").headers


def test_preflights_use_nothing_up(shared: Node) -> None:
    assert {preflight(shared, "/agents").status_code for _ in range(30)} == {200}


def test_any_origin_without_credentials() -> None:
    with limited_node(cors_enabled=True, cors_origins=["*"]) as node:
        for answer in (preflight(node, "/agents"), flask(node, identity() | {"Origin": "https://a.example"})):
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in answer.headers
        assert allowed(flask(node, identity() | {"Origin": "null"})) == {}
        node.reload("security", cors_enabled=False)
        assert allowed(preflight(node, "/agents")) == {}
        assert "vary" not in plain(node, bearer("a") | at("10.0.0.9") | {"Origin": PAGE}).headers


def test_off_by_default(guarded: Node) -> None:
    assert Cors(Security()).headers({"REQUEST_METHOD": "GET", "HTTP_ORIGIN": PAGE}) == []
    assert allowed(preflight(guarded, "/agents")) == {}


def test_a_node_that_asks_nobody_who_he_is_obeys_no_page_of_another_site() -> None:
    """A form's POST asks no permission first; and a name that leads here for a moment is of the page's own origin."""
    module = {"module": ("a.wasm", b"\0asm"), "config": (None, "{}")}
    with brief_node() as node, httpx.Client(base_url=f"{node.url}/api/v1") as browser:
        own = f"http://127.0.0.1:{node.port}"
        assert browser.get("/agents", headers={"Origin": own}).status_code == 200
        assert browser.get("/agents", headers={"Host": f"localhost:{node.port}"}).status_code == 200
        for origin in (PAGE, "null", "http://[", "http://127.0.0.1:1", ""):
            page = {"Origin": origin}
            answers = [
                browser.post("/agents", files=module, headers=page),
                browser.post("/agents/echo/stop", headers=page),
                browser.post("/agents/echo/invoke", content=b"{}", headers=page | {"Content-Type": "text/plain"}),
                browser.post(f"{node.admin_url}/api/v1/admin/drain", headers=page),
            ]
            assert {(answer.status_code, answer.json()["error"]["code"]) for answer in answers} == {
                (403, "FORBIDDEN")
            }, origin
        rebound = {"Host": f"evil.test:{node.port}", "Origin": f"http://evil.test:{node.port}"}
        assert browser.get("/agents", headers=rebound).json()["error"]["code"] == "FORBIDDEN"
        assert browser.get("/agents", headers={"Host": "evil.test"}).json()["error"]["code"] == "FORBIDDEN"
        assert browser.get("/agents").json()["items"] == []


def test_such_a_node_obeys_the_pages_that_it_names() -> None:
    with brief_node(security={"cors_enabled": True, "cors_origins": [PAGE]}) as node:
        assert node.client.get("/api/v1/agents", headers={"Origin": PAGE}).status_code == 200
        assert node.client.get("/api/v1/agents", headers={"Host": "dashboard.example.com"}).status_code == 200
        assert node.client.get("/api/v1/agents", headers={"Origin": "https://other.test"}).status_code == 403
