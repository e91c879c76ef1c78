"""Variables that change what the balancer speaks: TLS to the nodes, the guide's metrics, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from support.balancers import Balancer, balancing
from support.served_node import until
from support.stubs import make_certificate, stubs


def tls_to_nodes(ca: Path) -> dict[str, Any]:
    """Variables for nodes that speak TLS, with certificates of this CA."""
    return {
        "caxton_lb_node_tls": True,
        "caxton_lb_node_ca": str(ca),
        "caxton_lb_node_tls_name": "caxton.test",
        "__caxton_lb_haproxy_node_ca": str(ca),
        "__caxton_lb_nginx_node_ca": str(ca),
    }


def test_nodes_with_tls_are_verified(engine: str, tmp_path: Path) -> None:
    ours, strangers = tmp_path / "ours", tmp_path / "strangers"
    ours.mkdir()
    strangers.mkdir()
    ca, _ = make_certificate(ours)
    make_certificate(strangers)
    with (
        stubs("node1", certificate=ours / "both.pem") as good,
        stubs("node2", certificate=strangers / "both.pem") as bad,
        balancing(engine, {**good, **bad}, up=["node1"], **tls_to_nodes(ca)) as balancer,
        balancer.client() as client,
    ):
        balancer.until_state("node2", "DOWN")
        assert {client.get("/x").headers["X-Node"] for _ in range(20)} == {"node1"}
        assert bad["node2"].seen() == []


def test_nodes_with_tls_must_have_the_name(engine: str, tmp_path: Path) -> None:
    ca, _ = make_certificate(tmp_path)
    variables = {**tls_to_nodes(ca), "caxton_lb_node_tls_name": "somebody.else"}
    with (
        stubs("node1", certificate=tmp_path / "both.pem") as made,
        balancing(engine, made, up=[], **variables) as balancer,
        balancer.client() as client,
    ):
        until(lambda: client.get("/x").status_code in (502, 503), "the node is refused")
        assert made["node1"].seen() == []


@pytest.mark.parametrize("wanted", [False, True])
def test_balanced_metrics_only_where_they_are_asked_for(engine: str, wanted: bool) -> None:
    with stubs("node1") as made:
        variables = {"caxton_lb_metrics_frontend": wanted, "caxton_lb_node_metrics_port": made["node1"].port}
        with balancing(engine, made, **variables) as balancer:
            url = f"http://127.0.0.1:{balancer.metrics}/metrics"
            if wanted:
                assert httpx.get(url).headers["X-Node"] == "node1"
            else:
                with pytest.raises(httpx.ConnectError):
                    httpx.get(url)


def test_nginx_keeps_asking_when_no_node_says_that_it_is_ready() -> None:
    from .conftest import require

    require("nginx")
    with stubs("node1", "node2") as made, balancing("nginx", made) as balancer, balancer.client() as client:
        made["node1"].tell("ready?status=503")
        balancer.until_state("node1", "DOWN")
        made["node2"].tell("ready?status=503")
        balancer.until_state("node1", "UP")
        assert balancer.states() == {"node1": "UP", "node2": "UP"}
        assert client.get("/x").status_code == 200


def test_a_certificate_that_does_not_fit_its_key_is_never_in_force(engine: str, tmp_path: Path) -> None:
    with stubs("node1") as made, balancing(engine, made) as balancer, balancer.client() as client:
        certificate, _ = make_certificate(tmp_path)
        key = balancer.key.read_text()
        for path in (balancer.home / "both.pem", balancer.certificate):
            path.write_text(certificate.read_text() + (key if path.name == "both.pem" else ""))
        with pytest.raises(AssertionError):
            balancer.reload()
        assert client.get("/x").status_code == 200


def test_the_same_variables_render_the_same(balancer: Balancer) -> None:
    files = [path for name in ("haproxy.cfg", "nginx.conf", "ready.json") if (path := balancer.home / name).exists()]
    before = [path.read_text() for path in files]
    balancer.render()
    assert [path.read_text() for path in files] == before
    assert files
