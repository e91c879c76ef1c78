"""What every error must look like."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

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
    assert error["code"] == code
    assert error["trace_id"] == response.headers["x-trace-id"]
    assert len(error["trace_id"]) == 32
    if status in (429, 503):
        assert int(response.headers["retry-after"]) >= 1
    details: dict[str, Any] = error["details"]
    return details


SCHEMATHESIS = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 404, 405, 408, 409, 413, 414, 415, 422, 429, 431, 503]
"""
"""What schemathesis takes for a refusal: its own list does not know a URL that is too long."""
