"""What every answer must look like, and waiting for what becomes true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.node import until

BASE = "/api/v1"
BOTH_WAYS = pytest.mark.parametrize("http", ["node", "flask_node"], indirect=True, ids=["short cut", "flask"])
"""Runs a test on the short cut in front of Flask and on Flask's own route."""


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error's details, after checking that the whole answer is as specified."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"]
    body = response.json()
    assert set(body) >= {"type", "title", "status", "detail", "error"}
    assert body["status"] == status
    error = body["error"]
    assert error["code"] == code, body
    assert error["trace_id"] == response.headers["x-trace-id"]
    assert len(error["trace_id"]) == 32
    if status in (429, 503):
        assert int(response.headers["retry-after"]) >= 1
    details: dict[str, Any] = error["details"]
    return details


def settle(client: httpx.Client, path: str, value: str, field: str = "state") -> dict[str, Any]:
    """Waits until the thing at `path` has this state; gives it."""

    def there() -> Any:
        answer = client.get(path)
        return answer.json() if answer.status_code == 200 and answer.json()[field] == value else None

    return dict(until(there, 30, f"{path}: {field} is {value}"))


def pages(client: httpx.Client, path: str, **params: Any) -> Iterator[list[dict[str, Any]]]:
    """Every page of a list."""
    cursor: str | None = None
    while True:
        given = {**params, **({"cursor": cursor} if cursor else {})}
        answer = client.get(path, params=given)
        assert answer.status_code == 200, answer.text
        yield answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return


SCHEMATHESIS = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 404, 405, 408, 409, 413, 414, 415, 422, 429, 431, 503]
"""
"""What schemathesis takes for a refusal: its own list does not know a URL that is too long."""
