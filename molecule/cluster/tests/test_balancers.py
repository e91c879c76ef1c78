"""The two balancers themselves, one of each engine, and the address that they share.

What is behind them: test_nodes.py.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator

import pytest
from testinfra.host import Host

from checks import site
from checks.client import Client
from checks.pressure import load
from checks.waiting import until
from lab.labs import Lab

testinfra_hosts = ["ansible://caxton_balancers"]
ENGINES = {"10.42.2.21": "haproxy", "10.42.2.22": "nginx"}
HOSTS = {"lb1": "10.42.2.21", "lb2": "10.42.2.22"}
SHARED = "10.42.2.100"
LAB = Lab("cluster")
ENGINE_OF = {"lb1": "haproxy", "lb2": "nginx"}
UNITS = {"haproxy": ["haproxy"], "nginx": ["nginx", "caxton-lb-ready.service", "caxton-lb-reload.path"]}


def name_of(host: Host) -> str:
    return str(host.check_output("hostname"))


def holders() -> list[str]:
    """The balancers that have the shared address now."""
    shown = {name: LAB.run(name, "ip", "-4", "-o", "address", "show", "dev", "host0").stdout for name in HOSTS}
    return [name for name, text in shown.items() if f" {SHARED}/" in text]


def connect(address: str, version: ssl.TLSVersion) -> str | None:
    """TLS of exactly this version."""
    context = ssl.create_default_context(cafile=site.authority())
    context.set_ciphers("ALL:@SECLEVEL=0")  # else this side refuses TLS 1.1 by itself
    context.minimum_version = context.maximum_version = version
    plain = socket.create_connection((address, 443), 10)
    with plain, context.wrap_socket(plain, server_hostname=address) as secure:
        return secure.version()


@pytest.fixture
def settled() -> Iterator[None]:
    """One holder before, and both balancers at work afterwards."""
    until(lambda: len(holders()) == 1, "the shared address is not on exactly one balancer")
    yield
    for name, engine in ENGINE_OF.items():
        LAB.start(name)
        assert LAB.run(name, "systemctl", "start", engine, "keepalived").returncode == 0
    until(lambda: len(holders()) == 1, "the shared address is not on exactly one balancer")


def test_the_engine_runs_and_starts_at_boot_and_the_other_one_does_not(host: Host) -> None:
    engine = ENGINE_OF[name_of(host)]
    for unit in [*UNITS[engine], "keepalived"]:
        assert host.service(unit).is_running
        assert host.service(unit).is_enabled
    other = "nginx" if engine == "haproxy" else "haproxy"
    assert not host.service(other).is_running


def test_the_engine_itself_finds_its_configuration_good(host: Host) -> None:
    check = {"haproxy": "haproxy -c -f /etc/haproxy/haproxy.cfg", "nginx": "nginx -t"}[ENGINE_OF[name_of(host)]]
    assert host.run(check).rc == 0
    failed = host.check_output("systemctl --failed --plain --no-legend")
    # Many machines use up the inotify instances of their host; systemd's own watch of passwords goes without then.
    assert [line for line in failed.splitlines() if not line.startswith("systemd-ask-password-")] == []


def test_the_key_is_roots_alone(host: Host) -> None:
    path = {"haproxy": "/etc/haproxy/caxton.pem", "nginx": "/etc/nginx/caxton.key"}[ENGINE_OF[name_of(host)]]
    key = host.file(path)
    assert (key.user, key.group, key.mode) == ("root", "root", 0o600)
    assert host.file("/etc/keepalived/keepalived.conf").mode == 0o600


def test_statistics_listen_on_loopback_only(host: Host) -> None:
    assert host.socket("tcp://127.0.0.1:8404").is_listening
    assert not host.socket("tcp://0.0.0.0:8404").is_listening
    assert not host.socket("tcp://0.0.0.0:9090").is_listening


def test_requests_are_in_the_journal(host: Host) -> None:
    name = name_of(host)
    assert site.through(HOSTS[name]).get("/health?from=test_balancers").status == 200
    mark = f"journalctl --no-pager --output=cat -t {ENGINE_OF[name]} | grep -c 'from=test_balancers'"
    until(lambda: int(host.run(mark).stdout or 0) > 0, "the request was not logged")


@pytest.mark.parametrize("address", [*ENGINES, SHARED])
def test_tls_1_2_and_later(address: str) -> None:
    assert connect(address, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert connect(address, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("address", ENGINES)
def test_tls_1_1_is_refused(address: str) -> None:
    with pytest.raises(ssl.SSLError) as refused:
        connect(address, ssl.TLSVersion.TLSv1_1)
    assert refused.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize("address", ENGINES)
def test_plain_http_is_redirected(address: str) -> None:
    answer = Client(f"http://{address}").get("/api/v1/agents?limit=3")
    assert answer.status == 308
    assert answer.headers["location"] == f"https://{address}/api/v1/agents?limit=3"
    assert "strict-transport-security" in site.through(address).get("/health").headers


@pytest.mark.parametrize("address", ENGINES)
def test_a_spoofed_client_address_changes_nothing(address: str) -> None:
    """The nodes trust the balancers' X-Forwarded-For; a client's own must not reach them, nor upset them."""
    client = site.through(address)
    spoofed = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "http", "X-Forwarded-Ssl": "off"}
    assert client.ask("GET", "/health", headers=spoofed).status == 200


@pytest.mark.usefixtures("settled")
def test_the_shared_address_moves_when_its_engine_stops() -> None:
    (first,) = holders()
    with load(SHARED, "/health", rate=40) as total:
        assert LAB.run(first, "systemctl", "stop", ENGINE_OF[first]).returncode == 0
        until(lambda: holders() not in ([first], []), "the shared address stayed where nothing answers")
    assert total.ok > 100
    # two checks a second apart, and what was asked meanwhile was refused
    assert total.failed <= 40 * 8, total


@pytest.mark.usefixtures("settled")
def test_the_shared_address_moves_when_its_machine_dies_and_does_not_move_back() -> None:
    (first,) = holders()
    with load(SHARED, "/health", rate=40) as total:
        LAB.kill(first)
        until(lambda: site.through(SHARED).get("/health").status == 200, "nobody took the shared address over")
    assert total.ok > 100
    assert total.failed <= 40 * 4, total
    LAB.start(first)
    until(lambda: LAB.run(first, "systemctl", "is-active", "keepalived").returncode == 0, "keepalived is not back")
    time.sleep(3)  # as long as a preferred balancer would take to claim it
    assert holders() == [name for name in HOSTS if name != first]


@pytest.mark.usefixtures("settled")
def test_a_reload_of_either_engine_under_load_costs_nothing() -> None:
    for name, address in HOSTS.items():
        with load(address, "/health", rate=40) as total:
            for _ in range(3):
                assert LAB.run(name, "systemctl", "reload", ENGINE_OF[name]).returncode == 0
        assert total.failed == 0, (name, total)
