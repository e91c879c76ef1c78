from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx
import jwt
import pytest
from api.checks import BASE, KEY_HEADER, SECRET, problem

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


def token(secret: str = SECRET, algorithm: str = "HS256", **claims: object) -> str:
    return jwt.encode({"sub": "bob", "exp": time.time() + 60, **claims}, secret, algorithm)


def bearer(guarded: Node, text: str) -> httpx.Response:
    return httpx.get(f"{guarded.url}/api/v1/ledger", headers={"Authorization": f"Bearer {text}"})


def test_the_key_names_the_sender(alice: httpx.Client) -> None:
    message_id = alice.post("/messages", json=MESSAGE).json()["message_id"]
    assert alice.get(f"/messages/{message_id}").json()["sender"] == "client:alice"


def test_the_token_names_the_sender(guarded: Node, alice: httpx.Client) -> None:
    headers = {"Authorization": f"bearer {token()}"}
    answer = httpx.post(f"{guarded.url}/api/v1/messages", json=MESSAGE, headers=headers)
    assert alice.get(f"/messages/{answer.json()['message_id']}").json()["sender"] == "client:bob"


def test_every_route_needs_credentials(guarded: Node) -> None:
    document = httpx.get(f"{guarded.url}/api/v1/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            answer = httpx.request(method, guarded.url + re.sub(r"{\w+}", "a", path))
            if described["security"]:
                problem(answer, 401, "UNAUTHORIZED")
                assert "Bearer" in answer.headers["www-authenticate"]
            else:
                assert answer.status_code == 200


@pytest.mark.parametrize("path", ["agents/a/invoke", "messages"])
def test_the_hot_routes_need_credentials_before_a_body(guarded: Node, path: str) -> None:
    problem(httpx.post(f"{guarded.url}/api/v1/{path}", content=b"{"), 401, "UNAUTHORIZED")


def test_the_admin_routes_need_credentials(guarded: Node, key: str) -> None:
    url = f"{guarded.admin_url}/api/v1/admin/keys"
    problem(httpx.get(url), 401, "UNAUTHORIZED")
    assert httpx.get(url, headers={KEY_HEADER: key}).status_code == 200


def test_a_wrong_key_is_refused(guarded: Node, key: str) -> None:
    last = "A" if key[-1] != "A" else "B"
    unknown = "caxton_" + "0" * 16 + key[23:]
    for wrong in (key[:-1] + last, key[:-1], key + "x", unknown, "x", "caxton__"):
        problem(httpx.get(f"{guarded.url}/api/v1/ledger", headers={KEY_HEADER: wrong}), 401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    "text",
    [
        token(secret="another-secret-that-is-long-enough-0123456"),
        token(exp=time.time() - 60),
        token(nbf=time.time() + 600),
        token(sub="a b"),
        token(sub=""),
        jwt.encode({"sub": "bob"}, SECRET, "HS256"),
        jwt.encode({"exp": time.time() + 60}, SECRET, "HS256"),
        token(algorithm="HS512", secret=SECRET * 2),
        jwt.encode({"sub": "bob", "exp": time.time() + 60}, None, "none"),
        "a.b.c",
    ],
    ids=[
        "signature",
        "expired",
        "not yet",
        "subject",
        "empty subject",
        "no exp",
        "no sub",
        "HS512",
        "none",
        "text",
    ],
)
def test_a_wrong_token_is_refused(guarded: Node, text: str) -> None:
    problem(bearer(guarded, text), 401, "UNAUTHORIZED")


def test_a_clock_may_be_a_little_off(guarded: Node) -> None:
    assert bearer(guarded, token(exp=time.time() - 3)).status_code == 200


def test_other_schemes_are_refused(guarded: Node, key: str) -> None:
    answer = httpx.get(f"{guarded.url}/api/v1/ledger", auth=("alice", key))
    problem(answer, 401, "UNAUTHORIZED")


def admin_post(guarded: Node, body: dict[str, object]) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token()}"}
    made: dict[str, str] = httpx.post(f"{guarded.admin_url}{BASE}/admin/keys", json=body, headers=headers).json()
    return made


def test_a_revoked_key_is_refused_by_every_worker_soon(guarded: Node, key: str) -> None:
    made = admin_post(guarded, {"subject": "carol"})
    headers = {KEY_HEADER: made["key"]}
    assert httpx.get(f"{guarded.url}{BASE}/ledger", headers=headers).status_code == 200
    revoked = httpx.delete(f"{guarded.admin_url}{BASE}/admin/keys/{made['key_id']}", headers={KEY_HEADER: key})
    assert revoked.status_code == 200

    def refused() -> bool:
        return httpx.get(f"{guarded.url}{BASE}/ledger", headers=headers).status_code == 401

    until(refused, 3, "the key is refused")


def test_a_key_ends_with_its_time(guarded: Node) -> None:
    headers = {KEY_HEADER: admin_post(guarded, {"subject": "dave", "ttl_seconds": 0.5})["key"]}
    until(lambda: httpx.get(f"{guarded.url}{BASE}/ledger", headers=headers).status_code == 401, 5, "it has ended")


def test_one_subjects_idempotency_key_is_not_anothers(guarded: Node, alice: httpx.Client) -> None:
    headers = {"Idempotency-Key": "same"}
    mine = alice.post("/messages", json=MESSAGE, headers=headers).json()["message_id"]
    bob = {"Authorization": f"Bearer {token()}", **headers}
    theirs = httpx.post(f"{guarded.url}{BASE}/messages", json=MESSAGE, headers=bob).json()["message_id"]
    assert mine != theirs
