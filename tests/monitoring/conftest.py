"""One monitored node for all tests here: a prefix of its own, TLS, traffic of every kind, a backup and a drill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.authority import Authority
from support.monitoring_stack import PREFIX, TOKEN, Receiver, Stack, TlsAnswer, with_low_disk
from support.operated_cluster import operated
from support.served_node import ECHO, TRAP, ServedNode, until


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    pair = authority.issue("node1")
    served = ServedNode(
        CAXTON_OBSERVABILITY__METRICS_PREFIX=PREFIX,
        CAXTON_NETWORKING__TLS_ENABLED="true",
        CAXTON_NETWORKING__TLS_CERT_PATH=str(pair.certificate),
        CAXTON_NETWORKING__TLS_KEY_PATH=str(pair.key),
    )
    served.environ["CAXTON_URL"] = served.url.replace("http://", "https://")
    served.environ["CAXTON_CA_FILE"] = str(authority.certificate)
    served.environ["CAXTON_BACKUP__DIRECTORY"] = str(served.directory / "backups")
    served.write("node.toml", with_low_disk("1MB"))
    served.start("--config", str(served.directory / "node.toml"), "serve")
    try:
        for name, wat in (("echo", ECHO), ("trap", TRAP)):
            deployed = served.cli("agent", "deploy", served.write(f"{name}.wat", wat))
            assert deployed.returncode == 0, deployed.stderr
            served.cli("agent", "invoke", name, "x")
        refused = served.cli("agent", "deploy", served.write("odd.wat", '(module (import "who" "knows" (func)))'))
        assert refused.returncode != 0
        for verb in ("state", "drill"):
            done = served.cli("backup", verb)
            assert done.returncode == 0, done.stderr
        yield served
    finally:
        served.close()


@pytest.fixture(scope="session")
def series(stack: Stack) -> dict[str, set[str]]:
    """Labels by metric, of live scrapes: a node with traffic, backup and drill; a cluster; the real exporters."""
    until(lambda: len(stack.value("count_over_time(up[5m]) >= 3")) == 6, "each target was read three times", 60)
    found = stack.series()
    with operated(2, CAXTON_OBSERVABILITY__METRICS_PREFIX=PREFIX) as cluster:
        address = cluster["n1"].environ["CAXTON_NETWORKING__METRICS_ADDRESS"]
        families = list(text_string_to_metric_families(httpx.get(f"http://{address}/metrics").text))
    for family in families:
        for one in family.samples:
            found.setdefault(one.name, {"instance", "job"}).update(one.labels)
    return found


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def stack(node: ServedNode, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("monitoring")
    answer = TlsAnswer(tmp_path_factory.mktemp("tls"))
    address, port = node.environ["CAXTON_NETWORKING__METRICS_ADDRESS"].split(":")
    stack = Stack(
        folder,
        PREFIX,
        answer.ca,
        caxton_monitoring_nodes=[{"name": "node1", "address": address, "port": port}],
        caxton_monitoring_probes=[{"name": "vip", "url": answer.url}],
        caxton_monitoring_webhooks=[{"url": receiver.url, "token": TOKEN}],
    )
    try:
        yield stack.start()
    finally:
        stack.close()
        answer.close()
