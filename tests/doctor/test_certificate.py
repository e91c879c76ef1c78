"""What `caxton doctor` says of the API's certificate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from caxton.config import load
from caxton.doctor import Check, Patient, certificate
from support.authority import Authority, Pair
from support.served_node import ServedNode


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("node")


@pytest.fixture(scope="module")
def node(pair: Pair) -> Iterator[ServedNode]:
    served = ServedNode(
        CAXTON_NETWORKING__TLS_ENABLED="true",
        CAXTON_NETWORKING__TLS_CERT_PATH=str(pair.certificate),
        CAXTON_NETWORKING__TLS_KEY_PATH=str(pair.key),
    )
    try:
        yield served.start()
    finally:
        served.close()


def examined(node: ServedNode, shown: Pair) -> list[tuple[str, str]]:
    """Statuses and details for a node whose configuration names `shown`."""
    files = {
        "CAXTON_NETWORKING__TLS_CERT_PATH": str(shown.certificate),
        "CAXTON_NETWORKING__TLS_KEY_PATH": str(shown.key),
    }

    def nobody(_: str) -> None:
        raise AssertionError("this examination asks no router")

    found: list[Check] = list(certificate.examine(Patient(load(None, {**node.environ, **files}), nobody)))
    return [(check.status.value, check.detail) for check in found]


def test_a_good_one(node: ServedNode, pair: Pair) -> None:
    [(status, detail)] = examined(node, pair)
    assert status == "ok"
    assert "good for 19.9" in detail or "good for 20.0" in detail


def test_one_that_ends_soon_and_is_not_what_the_api_shows(node: ServedNode, authority: Authority) -> None:
    assert [status for status, _ in examined(node, authority.issue("soon", days=3))] == ["warn", "warn"]


def test_one_that_does_not_fit(node: ServedNode, authority: Authority, pair: Pair) -> None:
    other = authority.issue("other")
    [(status, detail)] = examined(node, Pair(pair.certificate, other.key))
    assert status == "fail"
    assert "a key that is not the certificate's" in detail


def test_one_that_is_not_there(node: ServedNode, pair: Pair, tmp_path: Path) -> None:
    [(status, _)] = examined(node, Pair(tmp_path / "missing.crt", pair.key))
    assert status == "fail"


def test_the_whole_examination_of_a_node_with_tls(node: ServedNode) -> None:
    found = {check["name"]: check["status"] for check in node.json("doctor")["checks"]}
    assert found["certificate"] == found["ready"] == found["version of api"] == "ok"
