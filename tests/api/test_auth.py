"""Who is let in: keys and bearer tokens over HTTP, and what those are told who are not."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from api.checks import BASE, problem

from caxton.api.permissions import OPEN
from caxton.protocol.access import Permission, Role
from support.credentials import KEY_HEADER, bearer, make_key
from support.node import Node, until

MESSAGE = {"performative": "inform", "receiver": "echo"}


@pytest.fixture
def key(guarded: Node) -> str:
    """An API key of subject alice."""
    return guarded.client.headers[KEY_HEADER]


@pytest.fixture
def alice(guarded: Node, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=guarded.url + BASE, headers={KEY_HEADER: key}) as client:
        yield client


def test_the_key_names_the_sender(alice: httpx.Client) -> None:
    message_id = alice.post("/messages", json=MESSAGE).json()["message_id"]
    assert alice.get(f"/messages/{message_id}").json()["sender"] == "client:alice"


def test_the_token_names_the_sender(guarded: Node, alice: httpx.Client) -> None:
    answer = httpx.post(f"{guarded.url}/api/v1/messages", json=MESSAGE, headers=bearer(subject="bob"))
    assert alice.get(f"/messages/{answer.json()['message_id']}").json()["sender"] == "client:bob"


def test_every_route_needs_credentials(guarded: Node, alice: httpx.Client) -> None:
    document = alice.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            answer = httpx.request(method, guarded.url + re.sub(r"{\w+}", "a", path))
            if described["security"]:
                problem(answer, 401, "UNAUTHORIZED")
            else:
                assert (method.upper(), path.replace("{", "<").replace("}", ">")) in OPEN
                assert answer.status_code in (200, 400, 404)


def test_a_refusal_says_what_would_help(guarded: Node, alice: httpx.Client) -> None:
    """RFC 6750, 3 and 3.1."""
    url = f"{guarded.url}/api/v1/ledger"
    assert httpx.get(url).headers["www-authenticate"] == 'Bearer realm="caxton", ApiKey realm="caxton"'
    for headers in ({KEY_HEADER: "x"}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp5"}):
        assert 'error="invalid_token"' in httpx.get(url, headers=headers).headers["www-authenticate"]
    refused = httpx.delete(f"{guarded.url}{BASE}/agents/echo", headers=bearer(Role.VIEWER))
    details = problem(refused, 403, "FORBIDDEN")
    assert (details["role"], details["needed"]) == (Role.VIEWER, Permission.DEPLOY)
    assert details["roles"] == [Role.ADMIN, Role.DEPLOYER]
    assert 'error="insufficient_scope", scope="deploy"' in refused.headers["www-authenticate"]
    assert "www-authenticate" not in alice.get("/nothing").headers


@pytest.mark.parametrize("path", ["agents/a/invoke", "messages"])
def test_the_hot_routes_need_credentials_before_a_body(guarded: Node, path: str) -> None:
    url = f"{guarded.url}/api/v1/{path}"
    problem(httpx.post(url, content=b"{"), 401, "UNAUTHORIZED")
    problem(httpx.post(url, content=b"{", headers=bearer(Role.VIEWER)), 403, "FORBIDDEN")


def test_the_admin_routes_need_credentials(guarded: Node, key: str) -> None:
    url = f"{guarded.admin_url}/api/v1/admin/keys"
    problem(httpx.get(url), 401, "UNAUTHORIZED")
    assert httpx.get(url, headers={KEY_HEADER: key}).status_code == 200


def test_prometheus_brings_no_credentials(guarded: Node) -> None:
    assert httpx.get(f"{guarded.metrics_url}/metrics").status_code == 200


WRONG_KEYS = [
    "x",
    "caxton__",
    "caxton_" + "0" * 16,
    "",
    "'; DROP TABLE api_key; --",
    "caxton_../../../../etc_" + "A" * 43,
]


def test_a_wrong_key_is_refused(guarded: Node, key: str) -> None:
    last = "A" if key[-1] != "A" else "B"
    unknown = "caxton_" + "0" * 16 + key[23:]
    tricks = [key[:-1] + last, key[:-1], key + "x", key.upper(), f"{key},{key}", f"{key[:7]}{'%30' * 16}{key[23:]}"]
    for wrong in (*tricks, unknown, *WRONG_KEYS):
        problem(httpx.get(f"{guarded.url}/api/v1/ledger", headers={KEY_HEADER: wrong}), 401, "UNAUTHORIZED")
    for raw in ("ключ".encode(), key.encode() + b"\xff", b"caxton_" + b"\xc3\xa9" * 40):
        problem(httpx.get(f"{guarded.url}/api/v1/ledger", headers={KEY_HEADER: raw}), 401, "UNAUTHORIZED")


def test_a_key_with_the_id_of_another_is_refused(guarded: Node, key: str) -> None:
    other = make_key(guarded, "prefixed", Role.VIEWER)["key"]
    for mixed in (key[:24] + other[24:], other[:24] + key[24:]):
        problem(httpx.get(f"{guarded.url}/api/v1/ledger", headers={KEY_HEADER: mixed}), 401, "UNAUTHORIZED")


def test_other_schemes_are_refused(guarded: Node, key: str) -> None:
    answer = httpx.get(f"{guarded.url}/api/v1/ledger", auth=("alice", key))
    problem(answer, 401, "UNAUTHORIZED")


def test_a_key_ends_with_its_time(guarded: Node) -> None:
    headers = {KEY_HEADER: make_key(guarded, "dave", ttl_seconds=0.5)["key"]}
    until(lambda: httpx.get(f"{guarded.url}{BASE}/ledger", headers=headers).status_code == 401, 5, "it has ended")


def test_one_subjects_idempotency_key_is_not_anothers(guarded: Node, alice: httpx.Client) -> None:
    headers = {"Idempotency-Key": "same"}
    mine = alice.post("/messages", json=MESSAGE, headers=headers).json()["message_id"]
    bob = {**bearer(subject="bob"), **headers}
    theirs = httpx.post(f"{guarded.url}{BASE}/messages", json=MESSAGE, headers=bob).json()["message_id"]
    assert mine != theirs
