"""GET /jobs/{id}."""

from __future__ import annotations

import uuid

import httpx
import pytest
from api.checks import problem, settle
from api.conftest import Deploy

from support.wat import sleeping


@pytest.mark.parametrize("job_id", [str(uuid.uuid4()), "7", "x" * 300, "%C3%A4"])
def test_an_unknown_job_is_404(http: httpx.Client, job_id: str) -> None:
    problem(http.get(f"/jobs/{job_id}"), 404, "JOB_NOT_FOUND")


def test_a_job_under_way_says_so(http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(sleeping(0.5))
    made = http.post(f"/agents/{name}/invoke", json={}, headers={"Prefer": "respond-async"}).json()
    assert made["state"] in ("queued", "running")
    shown = http.get(f"/jobs/{made['job_id']}").json()
    assert (shown["state"], shown["kind"]) == ("running", "invoke")
    assert 0 <= shown["progress"] < 1
    done = settle(http, f"/jobs/{made['job_id']}", "done")
    assert done["created_at"] <= done["finished_at"]
    assert done["result"]["content"] is True
