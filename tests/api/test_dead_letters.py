from __future__ import annotations

import uuid

import httpx
import pytest
from api.checks import problem


def test_lists(http: httpx.Client) -> None:
    assert http.get("/dead-letters", params={"agent": "a"}).json()["items"] == []


@pytest.mark.parametrize("verb", ["replay", "purge"])
def test_by_id(http: httpx.Client, verb: str) -> None:
    ids = [str(uuid.uuid4()) for _ in range(3)]
    assert http.post(f"/dead-letters/{verb}", json={"message_ids": ids}).json() == {"count": 3}


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("replay", {}),
        ("replay", {"agent": "a", "message_ids": [str(uuid.uuid4())]}),
        ("replay", {"agent": "a", "to": "B!"}),
        ("replay", {"message_ids": ["x"]}),
        ("replay", {"everything": True}),
        ("purge", {}),
        ("purge", {"agent": "a", "everything": True}),
        ("purge", {"message_ids": "x"}),
        ("purge", []),
    ],
)
def test_what_to_act_on_must_be_clear(http: httpx.Client, verb: str, body: object) -> None:
    problem(http.post(f"/dead-letters/{verb}", json=body), 400, "INVALID_REQUEST")


def test_a_body_is_required(http: httpx.Client) -> None:
    problem(http.post("/dead-letters/purge"), 415, "UNSUPPORTED_MEDIA_TYPE")
