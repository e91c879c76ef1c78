"""Links between nodes: a real node at the one end, and a client that shows a node's certificate at the other."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest

from caxton.cluster.links import Peers
from caxton.config import Networking, link_context
from caxton.protocol.peers import LINK_PATH, LINK_UPGRADE, Beat
from support.authority import Authority, Pair
from support.served_node import ServedNode, until

SERVER = "n1"
CLIENT = "n2"
UPGRADE = {"Connection": "Upgrade", "Upgrade": LINK_UPGRADE}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def of_a_node(authority: Authority, name: str) -> Pair:
    return authority.issue(name, f"DNS:{name}", "DNS:localhost", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def node(authority: Authority) -> Iterator[ServedNode]:
    """The node n1 of a cluster in which n2 is a seed."""
    made = ServedNode()
    made.environ |= clustered(authority, of_a_node(authority, SERVER), SERVER, seeds=f"{CLIENT}:7946")
    try:
        made.launch()
        until(lambda: answers(made, authority), "the API answers, and the router behind it", 60)
        yield made
    except BaseException:
        print(made.log[-6000:])
        raise
    finally:
        made.close()


def clustered(authority: Authority, pair: Pair, name: str, seeds: str) -> dict[str, str]:
    return {
        "CAXTON_NETWORKING__TLS_ENABLED": "true",
        "CAXTON_NETWORKING__TLS_CERT_PATH": str(pair.certificate),
        "CAXTON_NETWORKING__TLS_KEY_PATH": str(pair.key),
        "CAXTON_NETWORKING__TLS_CA_PATH": str(authority.certificate),
        "CAXTON_COORDINATION__CLUSTER_ENABLED": "true",
        "CAXTON_COORDINATION__NODE_ID": name,
        "CAXTON_COORDINATION__SEEDS": seeds,
    }


def answers(node: ServedNode, authority: Authority) -> bool:
    try:
        return get(node, authority.context(), "/api/v1/ledger").status_code == 200
    except httpx.HTTPError:
        return False


def port_of(node: ServedNode) -> int:
    return int(node.url.rpartition(":")[2])


def get(node: ServedNode, context: ssl.SSLContext, path: str, method: str = "GET", **more: Any) -> httpx.Response:
    with httpx.Client(verify=context, base_url=f"https://127.0.0.1:{port_of(node)}", timeout=30) as client:
        return client.request(method, path, **more)


def refusal(
    node: ServedNode, context: ssl.SSLContext, path: str = LINK_PATH, method: str = "POST"
) -> tuple[int, str]:
    """Status and code of an upgrade that must not succeed."""
    answer = get(node, context, path, method, headers=UPGRADE)
    return answer.status_code, answer.json()["error"]["code"]


@asynccontextmanager
async def peers(node: ServedNode, authority: Authority, pair: Pair, name: str = SERVER) -> AsyncIterator[Peers]:
    """Links of a node that shows `pair`, to `node`, which is taken for `name`."""
    networking = Networking(
        tls_cert_path=str(pair.certificate), tls_key_path=str(pair.key), tls_ca_path=str(authority.certificate)
    )
    made = Peers(lambda: link_context(networking))
    made.meet({name: f"127.0.0.1:{port_of(node)}"})
    try:
        yield made
    finally:
        await made.close()


def beat() -> Beat:
    return Beat(node_id=CLIENT, boot_id="a", at=0.0)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 60))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Pair:
    return of_a_node(authority, CLIENT)


def test_a_node_is_answered(node: ServedNode, authority: Authority, own: Pair) -> None:
    async def work() -> Beat:
        async with peers(node, authority, own) as made:
            return msgspec.json.decode(await made.call(SERVER, "peer.beat", beat()), type=Beat)

    assert run(work()).node_id == SERVER
