"""The private authority of the playbooks: made once, renewed before the end, and replaced by another without a gap.

The tests are steps of one story and run in their order.
"""

from __future__ import annotations

import json
import re
import ssl
import stat
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from support.ansible_tree import ROOT, load

Call = Callable[..., CompletedProcess[str]]
DAY = 86_400
pytestmark = pytest.mark.timeout(900)  # each run starts a dozen programs of Ansible
NODE, ADDRESS = "node1", "10.0.1.10"
NODES = load(ROOT / "inventories" / "example_production" / "group_vars" / "caxton_nodes" / "main.yml")
ALL = load(ROOT / "inventories" / "example_production" / "group_vars" / "all" / "main.yml")
VARIABLES = {
    name: value
    for name, value in {**ALL, **NODES}.items()
    if name.startswith(("caxton_certificates_", "caxton_node_tls_"))
}
"""As the example of production says it."""


class Site:
    """A directory of a controller, and runs of the playbooks' tasks there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.certificates = home / "certificates"
        own = {"caxton_certificates_directory": str(self.certificates)}
        inventory = {"all": {"hosts": {NODE: {"ansible_host": ADDRESS}}, "vars": VARIABLES | own}}
        (home / "hosts.json").write_text(json.dumps(inventory))
        tasks = [{"ansible.builtin.include_tasks": str(ROOT / "playbooks" / "tasks" / "certificates.yml")}]
        (home / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))

    def run(self, call: Call, **variables: Any) -> int:
        """One run; how many tasks changed something."""
        line = ["ansible-playbook", "-i", str(self.home / "hosts.json"), str(self.home / "play.yml")]
        done = call(*line, "-e", json.dumps(variables))
        assert done.returncode == 0, done.stdout + done.stderr
        return sum(int(count) for count in re.findall(r"changed=(\d+)", done.stdout))

    def certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.certificates / f"{name}.crt").read_bytes())

    def believed(self, trusted: str) -> bool:
        """Whether a strict client that believes these authorities accepts what the node shows."""
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(self.certificates / f"{NODE}.crt", self.certificates / f"{NODE}.key")
        client = ssl.create_default_context(cadata=trusted)
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        return _handshake(client, server)

    @property
    def trusted(self) -> str:
        return (self.certificates / "trusted.crt").read_text()


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> bool:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(back, there, server_hostname=ADDRESS)
    other = server.wrap_bio(there, back, server_side=True)
    for side in (one, other, one, other):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError:
            return False
    return True


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("controller"))


def test_what_is_made(site: Site, call: Call) -> None:
    assert site.run(call, caxton_certificates_days=20) > 0
    names_of_files = {path.name for path in site.certificates.iterdir()}
    assert names_of_files == {"ca.key", "ca.crt", "trusted.crt", "node1.key", "node1.crt"}
    assert stat.S_IMODE(site.certificates.stat().st_mode) == 0o700
    assert {stat.S_IMODE(key.stat().st_mode) for key in site.certificates.glob("*.key")} == {0o600}
    made = site.certificate(NODE)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"node1", "caxton-node", "localhost"}
    assert {str(one) for one in names.get_values_for_type(x509.IPAddress)} == {ADDRESS, "127.0.0.1"}
    usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert site.believed(site.trusted)


def test_what_ends_within_thirty_days_is_renewed_and_nothing_else(site: Site, call: Call) -> None:
    before, authority = site.certificate(NODE), site.certificate("ca")
    assert before.not_valid_after_utc.timestamp() - time.time() < 21 * DAY
    assert site.run(call) == 1
    after = site.certificate(NODE)
    assert after.not_valid_after_utc.timestamp() - time.time() > 390 * DAY
    assert after.public_key() == before.public_key(), "the key stays, so that one file changes and not two"
    assert site.certificate("ca") == authority


def test_another_authority_takes_the_place_without_a_gap(site: Site, call: Call) -> None:
    first = site.trusted
    assert site.run(call, caxton_certificates_trusted=["ca", "ca2"]) > 0
    both = site.trusted
    assert site.believed(first), "those who have not heard of it yet"

    second = {"caxton_certificates_trusted": ["ca", "ca2"], "caxton_certificates_authority": "ca2"}
    assert site.run(call, **second) == 1
    assert site.believed(both), "those who believe both"
    assert not site.believed(first)

    last = {"caxton_certificates_trusted": ["ca2"], "caxton_certificates_authority": "ca2"}
    assert site.run(call, **last) == 1, "the list of those who are believed"
    assert site.believed(site.trusted)
    assert site.run(call, **last) == 0
