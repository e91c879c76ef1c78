"""TLS from the client to the node: who is believed, what is refused, and a certificate that is renewed under load."""

from __future__ import annotations

import socket
import ssl
import urllib.error
from pathlib import Path

import pytest
from testinfra.host import Host

from checks import site
from checks.client import Client

testinfra_hosts = ["ansible://caxton_nodes"]
NODE, BALANCER = "10.42.1.11", "10.42.1.21"


def handshake(context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection to the node's API."""
    return context.wrap_socket(socket.create_connection((NODE, 8080), 10), server_hostname=NODE)


def believing() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=site.authority())


def test_the_node_s_certificate_is_the_authority_s() -> None:
    with handshake(believing()) as connection:
        names = {value for _, value in connection.getpeercert()["subjectAltName"]}  # type: ignore[index,misc]  # verified
        assert {"node1", "caxton-node", NODE} <= names
        assert connection.version() == "TLSv1.3"


def test_nobody_else_is_believed() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(ssl.create_default_context())


def test_plain_http_is_refused() -> None:
    assert Client(f"http://{NODE}:8080").get("/ready").status == 400


def test_tls_1_1_and_weak_suites_are_refused() -> None:
    old = believing()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    weak = believing()
    weak.set_ciphers("AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    for context, reason in ((old, "TLSV1_ALERT_PROTOCOL_VERSION"), (weak, "SSLV3_ALERT_HANDSHAKE_FAILURE")):
        with pytest.raises(ssl.SSLError) as refused:
            handshake(context)
        assert refused.value.reason == reason


def test_the_key_is_the_node_s_alone(host: Host) -> None:
    key = host.file("/opt/caxton/config/server.key")
    assert (key.user, key.group, key.mode) == ("root", "caxton", 0o640)
    assert not (Path(site.state()) / "certificates" / "ca.key").stat().st_mode & 0o077
    assert host.run("ls /opt/caxton/config/ca.key").rc != 0


def test_gossip_has_its_key(host: Host) -> None:
    secret = host.file("/etc/credstore/caxton.encrypt_key")
    assert (secret.user, secret.mode) == ("root", 0o600)


def test_a_reload_ends_no_connection_to_the_balancer(host: Host) -> None:
    client = site.through(BALANCER)
    before = host.check_output("systemctl show -P MainPID caxton")
    host.check_output("touch /opt/caxton/config/server.crt && systemctl reload caxton")
    for _ in range(50):
        try:
            assert client.get("/ready").status == 200
        except urllib.error.URLError as error:
            pytest.fail(f"a request failed: {error}")
    assert host.check_output("systemctl show -P MainPID caxton") == before
