"""TLS of outbound requests: verified against the name that was asked for, whatever address it leads to."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpcore
import pytest

from caxton.router.egress.addresses import networks
from caxton.router.egress.exchange import exchange
from caxton.router.egress.network import CheckedNetwork
from caxton.router.egress.request import parse_request
from support.web import Web, web

ISSUE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -keyout key.pem -out cert.pem "
    "-subj /CN=test -addext subjectAltName=DNS:localhost"
)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A directory with a certificate for `localhost` that is its own authority, and its key."""
    subprocess.run(ISSUE.split(), cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def ask(server: Web, host: str, trusted: Path | None) -> int:
    """The status of one request; `trusted` is the directory of the authority that is believed."""
    context = ssl.create_default_context()
    if trusted is not None:
        context.load_verify_locations(trusted / "cert.pem")
    origin = f"https://{host}:{server.port}"

    async def run() -> int:
        with ThreadPoolExecutor(1) as threads:
            network = CheckedNetwork(threads, lambda: networks(["127.0.0.0/8", "::1"]))
            request = parse_request(f'{{"url":"{origin}/plain"}}'.encode())
            return (await exchange(request, [origin], network, context, [], 1_000)).status

    return asyncio.run(run())


def test_the_certificate_must_be_trusted_and_be_for_the_name(certificate: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with web(tls=tls) as server:
        assert ask(server, "localhost", certificate) == 200
        with pytest.raises(httpcore.ConnectError):
            ask(server, "localhost", None)
        with pytest.raises(httpcore.ConnectError):
            ask(server, "127.0.0.1", certificate)  # the same machine, but another name
        assert len(server.asked) == 1
