"""Certificates of clients: asked for with `tls_ca_path`, and needed where `tls_client_auth` says so."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api.conftest import brief_node
from api.tls_nodes import encrypted, handshake

from caxton.config import load, public_connection
from support.authority import Authority, Pair
from support.credentials import SECRET
from support.node import Node

REQUEST = b"GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(home: Path) -> Authority:
    return Authority(home)


@pytest.fixture(scope="module")
def client(authority: Authority) -> Pair:
    return authority.issue("client")


@pytest.fixture(scope="module")
def strangers(home: Path) -> Pair:
    """A certificate of another authority with the same name."""
    return Authority(home / "other").issue("client")


@pytest.fixture(scope="module", params=["optional", "required"])
def node(request: pytest.FixtureRequest, authority: Authority, client: Pair) -> Iterator[Node]:
    wanted = {"tls_ca_path": authority.certificate, "tls_client_auth": request.param}
    with encrypted(authority, authority.issue("node"), shown=client, **wanted) as made:
        yield made


def answer(node: Node, context: ssl.SSLContext) -> bytes:
    """What one request gets; with TLS 1.3 a refusal comes only after the client's part of the handshake."""
    with handshake(node, context) as connection:
        connection.sendall(REQUEST)
        return connection.recv(65536)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_one_of_another_authority_is_refused(
    node: Node, authority: Authority, strangers: Pair, version: ssl.TLSVersion
) -> None:
    context = authority.context(strangers)
    context.minimum_version = context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)) as refused:
        answer(node, context)
    if isinstance(refused.value, ssl.SSLError):
        assert refused.value.reason == "TLSV1_ALERT_UNKNOWN_CA"


def test_one_of_the_authority_is_good(node: Node, authority: Authority, client: Pair) -> None:
    assert answer(node, authority.context(client)).startswith(b"HTTP/1.1 200 OK")


def test_who_shows_none_is_refused_only_where_one_is_required(node: Node, authority: Authority) -> None:
    if node.settings["networking"]["tls_client_auth"] == "optional":
        assert answer(node, authority.context()).startswith(b"HTTP/1.1 200 OK")
        return
    with pytest.raises((ssl.SSLError, ConnectionError)) as refused:
        answer(node, authority.context())
    if isinstance(refused.value, ssl.SSLError):
        assert refused.value.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED"


def test_the_nodes_own_tools_show_its_certificate(node: Node) -> None:
    connection = public_connection(load(node.config_file, {}).config, 10)
    try:
        connection.request("GET", "/ready")
        assert connection.getresponse().status == 200
    finally:
        connection.close()


def test_a_certificate_is_no_key(authority: Authority, client: Pair) -> None:
    """It opens the connection and nothing else: who somebody is, keys and tokens say."""
    own = authority.issue("guarded")
    tls = {
        "tls_enabled": True,
        "tls_cert_path": own.certificate,
        "tls_key_path": own.key,
        "tls_ca_path": authority.certificate,
    }
    guard = {"auth_enabled": True, "jwt_secret": SECRET}
    with brief_node(trust=authority.context(client), networking=tls, security=guard) as made:
        refused: httpx.Response = made.client.get("/api/v1/agents")
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "UNAUTHORIZED")
