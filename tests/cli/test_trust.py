"""Whose certificates the command line believes, and what it shows of itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.authority import Authority, Pair
from support.served_node import ServedNode


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Pair:
    return authority.issue("operator")


@pytest.fixture(scope="module")
def node(authority: Authority) -> Iterator[ServedNode]:
    """It wants to see a certificate of every client."""
    pair = authority.issue("node")
    served = ServedNode(
        CAXTON_NETWORKING__TLS_ENABLED="true",
        CAXTON_NETWORKING__TLS_CERT_PATH=str(pair.certificate),
        CAXTON_NETWORKING__TLS_KEY_PATH=str(pair.key),
        CAXTON_NETWORKING__TLS_CA_PATH=str(authority.certificate),
        CAXTON_NETWORKING__TLS_CLIENT_AUTH="required",
    )
    served.environ["CAXTON_URL"] = served.url.replace("http://", "https://")
    try:
        yield served.start()
    finally:
        served.close()


@pytest.fixture
def variables(node: ServedNode) -> Iterator[dict[str, str]]:
    before = dict(node.environ)
    yield node.environ
    node.environ = before


def test_an_unknown_authority_is_not_believed(node: ServedNode) -> None:
    done = node.cli("agent", "list")
    assert (done.returncode, "[UNREACHABLE]" in done.stderr) == (3, True)


def test_an_option_and_variables(
    node: ServedNode, authority: Authority, own: Pair, variables: dict[str, str]
) -> None:
    ca = str(authority.certificate)
    assert node.cli("--ca", ca, "agent", "list").returncode == 3, "it shows no certificate yet"
    variables |= {"CAXTON_CERT_FILE": str(own.certificate), "CAXTON_KEY_FILE": str(own.key)}
    assert node.cli("--ca", ca, "agent", "list").returncode == 0
    variables["CAXTON_CA_FILE"] = ca
    assert node.cli("agent", "list").returncode == 0


def test_a_context(
    node: ServedNode, authority: Authority, own: Pair, variables: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "caxton").mkdir()
    (tmp_path / "caxton" / "config.toml").write_text(
        f'[contexts.here]\nurl = "{variables["CAXTON_URL"]}"\nca_file = "{authority.certificate}"\n'
        f'cert_file = "{own.certificate}"\nkey_file = "{own.key}"\n'
    )
    variables["XDG_CONFIG_HOME"] = str(tmp_path)
    assert node.cli("--context", "here", "agent", "list").returncode == 0


def test_a_file_that_does_not_serve_is_named(node: ServedNode, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    done = node.cli("--ca", missing, "agent", "list")
    assert done.returncode == 1
    assert "[CONFIG_INVALID]" in done.stderr
    assert missing in done.stderr
