"""What must hold of a node that is one of several."""

from __future__ import annotations

from pathlib import Path

import pytest

from caxton.config import load, require_gossip_key
from caxton.protocol.errors import CaxtonError, Code
from support.authority import Authority

GOOD = {
    "CAXTON_COORDINATION__CLUSTER_ENABLED": "true",
    "CAXTON_COORDINATION__NODE_ID": "node1",
    "CAXTON_NETWORKING__TLS_ENABLED": "true",
    **{f"CAXTON_NETWORKING__TLS_{name}_PATH": f"/nonexistent/{name}" for name in ("CERT", "KEY", "CA")},
}


@pytest.mark.parametrize(
    ("changed", "value", "path"),
    [
        ("CAXTON_NETWORKING__TLS_ENABLED", "false", "networking.tls_enabled"),
        ("CAXTON_NETWORKING__TLS_CA_PATH", None, "networking.tls_ca_path"),
        ("CAXTON_COORDINATION__GOSSIP_RPC_ADDRESS", "0.0.0.0:7373", "coordination.gossip_rpc_address"),
        ("CAXTON_COORDINATION__GOSSIP_RPC_ADDRESS", "10.0.0.1:7373", "coordination.gossip_rpc_address"),
        ("CAXTON_COORDINATION__DETECTION_TIMEOUT", "3s", "coordination.detection_timeout"),
        ("CAXTON_COORDINATION__NODE_ID", "Node_1", "coordination.node_id"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused_by_its_key(changed: str, value: str | None, path: str) -> None:
    assert load(None, GOOD).config.coordination.cluster_enabled
    environ = {name: given for name, given in {**GOOD, changed: value}.items() if given is not None}
    with pytest.raises(CaxtonError) as refused:
        load(None, environ)
    assert refused.value.code is Code.CONFIG_INVALID
    assert [problem["path"] for problem in refused.value.details["problems"]] == [path]


def test_a_host_whose_name_is_no_nodes_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caxton.config.clustering.host_name", lambda: "My_Host")
    with pytest.raises(CaxtonError) as refused:
        load(None, {name: value for name, value in GOOD.items() if "NODE_ID" not in name})
    assert [problem["path"] for problem in refused.value.details["problems"]] == ["coordination.node_id"]


@pytest.mark.parametrize(
    ("bound", "refused"), [("127.0.0.1:7946", False), ("[::1]:7946", False), ("0.0.0.0:7946", True)]
)
def test_gossip_to_other_hosts_needs_a_key(bound: str, refused: bool) -> None:
    config = load(None, {**GOOD, "CAXTON_COORDINATION__BIND_ADDR": bound}).config
    if not refused:
        require_gossip_key(config)
        return
    with pytest.raises(CaxtonError) as caught:
        require_gossip_key(config)
    assert [problem["path"] for problem in caught.value.details["problems"]] == ["coordination.encrypt_key"]


def test_a_certificate_of_another_name_is_warned_about(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    def warned(name: str, *names: str) -> bool:
        made = authority.issue(name, *names)
        files = {"CERT": made.certificate, "KEY": made.key, "CA": authority.certificate}
        paths = {f"CAXTON_NETWORKING__TLS_{kind}_PATH": str(path) for kind, path in files.items()}
        found = load(None, {**GOOD, **paths}).warnings
        return any("networking.tls_cert_path" in line for line in found)

    assert not warned("node1", "DNS:node1", "DNS:caxton-node")
    assert warned("node2", "DNS:node1", "DNS:node2")
    assert warned("node1", "DNS:caxton-node")
