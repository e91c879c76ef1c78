"""What a client meets first: TLS 1.2 and later, a redirect from plain HTTP, errors in the API's form."""

from __future__ import annotations

import http.client
import json
import socket
import ssl

import httpx
import pytest

from support.balancers import Balancer


def handshake(balancer: Balancer, version: ssl.TLSVersion) -> str | None:
    """TLS of exactly this version; what was agreed on."""
    context = balancer.context()
    context.set_ciphers("ALL:@SECLEVEL=0")  # else this side refuses TLS 1.1 by itself
    context.minimum_version = context.maximum_version = version
    plain = socket.create_connection(("127.0.0.1", balancer.https), 10)
    with plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
        return secure.version()


@pytest.mark.parametrize(
    ("version", "name"), [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]
)
def test_modern_tls(balancer: Balancer, version: ssl.TLSVersion, name: str) -> None:
    assert handshake(balancer, version) == name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_1_1_is_refused_by_the_balancer(balancer: Balancer) -> None:
    with pytest.raises(ssl.SSLError) as refused:
        handshake(balancer, ssl.TLSVersion.TLSv1_1)
    assert refused.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_plain_http_is_redirected_with_its_method_and_target(balancer: Balancer, method: str) -> None:
    url = f"http://127.0.0.1:{balancer.http}/api/v1/agents?limit=5&status=running"
    answer = httpx.request(method, url)
    assert answer.status_code == 308
    assert answer.headers["Location"] == f"https://127.0.0.1:{balancer.https}/api/v1/agents?limit=5&status=running"


def test_hsts_on_every_answer_over_tls_and_on_no_other(balancer: Balancer) -> None:
    with balancer.client() as client:
        for path in ("/x", "/status/404", "/status/502"):
            assert client.get(path).headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in httpx.get(f"http://127.0.0.1:{balancer.http}/").headers


@pytest.mark.parametrize("status", [404, 429, 500, 502, 503, 504])
def test_what_a_node_answers_passes_as_it_is(balancer: Balancer, status: int) -> None:
    with balancer.client() as client:
        answer = client.post(f"/status/{status}")
    assert answer.status_code == status
    assert answer.json() == {"stub": True}


def test_a_body_beyond_the_limit_is_refused_in_the_apis_form(balancer: Balancer) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: caxton.test\r\nContent-Length: 141000001\r\n\r\n"
    plain = socket.create_connection(("127.0.0.1", balancer.https), 10)
    with plain, balancer.context().wrap_socket(plain, server_hostname="127.0.0.1") as secure:
        secure.sendall(head)
        answer = http.client.HTTPResponse(secure)
        answer.begin()
        assert answer.status == 413
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert json.loads(answer.read())["error"]["code"] == "PAYLOAD_TOO_LARGE"


def test_statistics_only_on_loopbacks_own_port(balancer: Balancer) -> None:
    assert httpx.get(f"http://127.0.0.1:{balancer.local}/stats").status_code == 200
    with balancer.client() as client:
        assert client.get("/stats").headers["X-Node"] in balancer.nodes
        assert client.get("/monitor").headers["X-Node"] in balancer.nodes
