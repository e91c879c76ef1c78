"""A node learns who the client is from the balancer alone: what a client says itself never arrives."""

from __future__ import annotations

import pytest

from support.balancers import Balancer

SPOOFED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Protocol": "http",
    "X-Forwarded-Ssl": "off",
    "X-Real-IP": "203.0.113.7",
    "Forwarded": "for=203.0.113.7;proto=http",
}


def test_the_balancer_says_who_the_client_is(balancer: Balancer) -> None:
    with balancer.client() as client:
        headers = client.get("/x").json()["headers"]
    assert headers["x-forwarded-for"] == headers["x-real-ip"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"


@pytest.mark.parametrize("name", SPOOFED)
def test_a_spoofed_header_does_not_arrive(balancer: Balancer, name: str) -> None:
    with balancer.client() as client:
        arrived = client.get("/x", headers={name: SPOOFED[name]}).json()["all_headers"]
    assert SPOOFED[name] not in [value for _, value in arrived]
    assert [value for known, value in arrived if known == "x-forwarded-for"] == ["127.0.0.1"]
    assert [value for known, value in arrived if known == "x-forwarded-proto"] == ["https"]


def test_an_underscore_does_not_get_it_past(balancer: Balancer) -> None:
    with balancer.client() as client:
        arrived = client.get("/x", headers={"X_Forwarded_For": "203.0.113.7"}).json()["all_headers"]
    assert "203.0.113.7" not in [value for _, value in arrived]


def test_a_second_header_of_the_same_name_does_not_either(balancer: Balancer) -> None:
    twice = [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-For", "203.0.113.8")]
    with balancer.client() as client:
        arrived = client.get("/x", headers=twice).json()["all_headers"]
    assert [value for known, value in arrived if known == "x-forwarded-for"] == ["127.0.0.1"]


def test_credentials_idempotency_keys_and_traces_pass(balancer: Balancer) -> None:
    trace = {"Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Tracestate": "rojo=1,congo=2"}
    given = {
        "Authorization": "Bearer abc",
        "X-API-Key": "def",
        "Idempotency-Key": "ghi",
        "X-Request-Id": "jkl",
        **trace,
    }
    with balancer.client() as client:
        headers = client.post("/x", headers=given).json()["headers"]
    assert {name: headers[name.lower()] for name in given} == given


def test_no_idempotency_key_is_made_up(balancer: Balancer) -> None:
    with balancer.client() as client:
        assert "idempotency-key" not in client.post("/x").json()["headers"]
