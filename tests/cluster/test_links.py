"""Links between nodes: a real node at the one end, and a client that shows a node's certificate at the other."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from caxton.cluster.links import Peers
from caxton.config import Networking, link_context
from caxton.protocol.access import Caller, Role
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.frames import encode_frame
from caxton.protocol.operations import LINK_OPERATIONS, Call, Nothing
from caxton.protocol.peers import LINK_PATH, LINK_UPGRADE, Beat, PeerOpen, Relay
from support.authority import Authority, Pair
from support.router_client import RouterClient
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
        "CAXTON_COORDINATION__HEARTBEAT_INTERVAL": "100ms",
        "CAXTON_COORDINATION__DETECTION_TIMEOUT": "1s",
        "CAXTON_NETWORKING__MAX_CONNECTIONS_PER_ADDRESS": "8",
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
async def peers(
    node: ServedNode,
    authority: Authority,
    pair: Pair,
    name: str = SERVER,
    relays: Callable[[str], Sequence[str]] = lambda _: (),
) -> AsyncIterator[Peers]:
    """Links of a node that shows `pair`, to `node`, which is taken for `name`."""
    networking = Networking(
        tls_cert_path=str(pair.certificate), tls_key_path=str(pair.key), tls_ca_path=str(authority.certificate)
    )
    made = Peers(lambda: link_context(networking), relays)
    made.meet({name: f"127.0.0.1:{port_of(node)}"})
    try:
        yield made
    finally:
        await made.close()


def socket_of(node: ServedNode) -> Path:
    return node.directory / "data" / "run" / "router.sock"


def api_worker(node: ServedNode) -> int:
    """The process that serves the API: the youngest child of gunicorn's master."""
    master = node.children()["caxton.api"]
    workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return int(workers[-1])


@contextmanager
def raw_link(node: ServedNode, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """A connection that has become a link, and says nothing by itself."""
    plain = socket.create_connection(("127.0.0.1", port_of(node)), 10)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        lines = [f"POST {LINK_PATH} HTTP/1.1", f"Host: {SERVER}", "Connection: Upgrade", f"Upgrade: {LINK_UPGRADE}"]
        connection.sendall("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 101 ")
        yield connection


def beat() -> Beat:
    return Beat(node_id=CLIENT, boot_id="a", at=0.0)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 60))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Pair:
    return of_a_node(authority, CLIENT)


# ---- who comes through -----------------------------------------------------------------------------


def test_a_node_is_answered(node: ServedNode, authority: Authority, own: Pair) -> None:
    async def work() -> Beat:
        async with peers(node, authority, own) as made:
            answer = await made.call(SERVER, "peer.beat", beat())
            figures = made.figures()[SERVER]
            assert (figures.connects, figures.calls, figures.errors) == (1, 1, 0)
            assert figures.bytes_in > len(answer)
            assert figures.bytes_out > 0
            return msgspec.json.decode(answer, type=Beat)

    assert run(work()).node_id == SERVER


def test_who_shows_no_certificate_is_refused(node: ServedNode, authority: Authority) -> None:
    assert refusal(node, authority.context()) == (403, "FORBIDDEN")


def test_a_persons_certificate_of_the_same_authority_is_refused(node: ServedNode, authority: Authority) -> None:
    person = authority.issue("alice", "DNS:alice")
    assert refusal(node, authority.context(person)) == (403, "FORBIDDEN")


@pytest.mark.parametrize("names", [("DNS:localhost",), ("IP:127.0.0.1",)], ids=["other", "address"])
def test_a_name_that_the_certificate_is_not_for_is_refused(
    node: ServedNode, authority: Authority, names: tuple[str, ...]
) -> None:
    """The common name alone is nothing that a client of TLS would verify."""
    assert refusal(node, authority.context(authority.issue(CLIENT, *names))) == (403, "FORBIDDEN")
    of_a_node(authority, CLIENT)  # its files have the same names


def test_the_nodes_own_certificate_opens_no_link_to_itself(node: ServedNode, authority: Authority) -> None:
    own = Pair(
        Path(node.environ["CAXTON_NETWORKING__TLS_CERT_PATH"]), Path(node.environ["CAXTON_NETWORKING__TLS_KEY_PATH"])
    )
    assert refusal(node, authority.context(own)) == (403, "FORBIDDEN")


def test_an_api_key_or_no_login_opens_nothing_internal(node: ServedNode, authority: Authority) -> None:
    """Nor is anything told of what is there."""
    for path in (LINK_PATH, "/internal/v1/other", "/internal/"):
        for method in ("GET", "POST", "DELETE"):
            assert refusal(node, authority.context(), path, method) == (403, "FORBIDDEN")


def test_other_internal_paths_and_methods_are_refused_to_nodes_too(
    node: ServedNode, authority: Authority, own: Pair
) -> None:
    context = authority.context(own)
    assert refusal(node, context, "/internal/v1/other") == (404, "NOT_FOUND")
    assert refusal(node, context, method="GET") == (405, "METHOD_NOT_ALLOWED")
    answer = get(node, context, LINK_PATH, "POST")
    assert (answer.status_code, answer.json()["error"]["details"]["path"]) == (400, "Upgrade")


@pytest.mark.parametrize("named", ["n3", "localhost"])
def test_a_server_with_another_nodes_certificate_is_not_believed(
    node: ServedNode, authority: Authority, own: Pair, named: str
) -> None:
    """Also not by a name that its certificate shares with all others."""

    async def work() -> CaxtonError:
        async with peers(node, authority, own, named) as made:
            with pytest.raises(CaxtonError) as refused:
                await made.call(named, "peer.beat", beat(), timeout=5)
            assert not made.up()
            return refused.value

    refused = run(work())
    assert (refused.code, refused.details["node"], refused.details["not_sent"]) == (Code.NOT_READY, named, True)


# ---- what can be asked -----------------------------------------------------------------------------


def test_an_ordinary_connection_takes_nothing_of_nodes(node: ServedNode) -> None:
    with RouterClient(socket_of(node)) as client:
        for op in sorted(LINK_OPERATIONS):
            with pytest.raises(CaxtonError) as refused:
                client.call(op, Nothing())
            assert refused.value.code is Code.FORBIDDEN


def test_a_link_takes_nothing_else_and_speaks_for_itself_only(node: ServedNode) -> None:
    with RouterClient(socket_of(node)) as client:
        client.call("peer.open", PeerOpen(CLIENT, 1))
        client.caller = Caller("root", Role.ADMIN)
        for op in ("agent.list", "stats", "key.list", "peer.open"):
            with pytest.raises(CaxtonError) as refused:
                client.call(op, PeerOpen("n3", 1) if op == "peer.open" else Nothing())
            assert refused.value.code is Code.FORBIDDEN
        with pytest.raises(CaxtonError) as refused:
            client.call("peer.beat", msgspec.structs.replace(beat(), node_id="n3"))
        assert refused.value.code is Code.FORBIDDEN
        assert client.call("peer.beat", beat())["node_id"] == SERVER


def test_an_old_version_of_links_is_refused(node: ServedNode) -> None:
    with RouterClient(socket_of(node)) as client:
        with pytest.raises(CaxtonError) as refused:
            client.call("peer.open", PeerOpen(CLIENT, 0))
        assert refused.value.code is Code.FORBIDDEN


def test_what_is_not_for_nodes_is_not_relayed(node: ServedNode, authority: Authority, own: Pair) -> None:
    async def work(op: str) -> Code:
        async with peers(node, authority, own) as made:
            with pytest.raises(CaxtonError) as refused:
                await made.call(SERVER, "peer.relay", Relay("n3", op, b"\x80"))
            return refused.value.code

    assert run(work("agent.list")) is Code.INVALID_REQUEST
    assert run(work("peer.relay")) is Code.INVALID_REQUEST
    assert run(work("peer.beat")) is Code.NOT_READY  # n3 is not there


def test_what_was_relayed_stays_counted_when_the_relay_leaves(
    node: ServedNode, authority: Authority, own: Pair
) -> None:
    async def work() -> tuple[int, int]:
        async with peers(node, authority, own, relays=lambda _: [SERVER]) as made:
            await made.call(SERVER, "peer.beat", beat())  # the link is up
            with pytest.raises(CaxtonError):
                await made.call("n3", "peer.beat", beat())  # n3 is not there
            before = made.relayed
            made.meet({})
            return before, made.relayed

    assert run(work()) == (1, 1)


# ---- what happens when something ends --------------------------------------------------------------


def test_calls_go_on_while_api_workers_are_replaced(node: ServedNode, authority: Authority, own: Pair) -> None:
    """None fails and none is answered twice: what the worker that ends did not take is asked again of the next."""

    async def work() -> int:
        async with peers(node, authority, own) as made:
            await made.call(SERVER, "peer.beat", beat())
            asked = 0
            process = node.process
            assert process is not None
            process.send_signal(signal.SIGHUP)
            while made.figures()[SERVER].connects < 2 or asked < 400:
                await asyncio.gather(*(made.call(SERVER, "peer.beat", beat()) for _ in range(20)))
                asked += 20
                await asyncio.sleep(0.01)
            figures = made.figures()[SERVER]
            assert (figures.errors, figures.in_flight) == (0, 0)
            return asked

    assert run(work()) >= 400


def test_a_killed_api_worker_is_noticed_and_replaced(node: ServedNode, authority: Authority, own: Pair) -> None:
    async def work() -> None:
        async with peers(node, authority, own) as made:
            await made.call(SERVER, "peer.beat", beat())
            os.kill(api_worker(node), signal.SIGKILL)
            while made.figures()[SERVER].connects < 2:
                with suppress(CaxtonError):
                    await made.call(SERVER, "peer.beat", beat())
                await asyncio.sleep(0.01)
            await made.call(SERVER, "peer.beat", beat())

    run(work())


def test_a_killed_router_ends_its_links_and_the_next_has_new_ones(
    node: ServedNode, authority: Authority, own: Pair
) -> None:
    async def work() -> tuple[str, str]:
        async with peers(node, authority, own) as made:
            before = msgspec.json.decode(await made.call(SERVER, "peer.beat", beat()), type=Beat)
            os.kill(node.children()["caxton.router"], signal.SIGKILL)
            while made.figures()[SERVER].connects < 2:
                await asyncio.sleep(0.01)
            after = msgspec.json.decode(await made.call(SERVER, "peer.beat", beat()), type=Beat)
            return before.boot_id, after.boot_id

    before, after = run(work())
    assert before != after


def test_who_says_nothing_is_cut_off(authority: Authority, node: ServedNode, own: Pair) -> None:
    """A machine that is gone sends no word of farewell: its place is not kept for ever."""
    with raw_link(node, authority.context(own)) as connection:
        connection.settimeout(30)
        assert connection.recv(1) == b""


def test_a_peer_that_reads_nothing_hangs_nobody(authority: Authority, node: ServedNode, own: Pair) -> None:
    """It asks and asks and takes no answer: it is taken nothing more from, and everybody else is served."""
    with raw_link(node, authority.context(own)) as connection:
        connection.settimeout(2)
        with pytest.raises(TimeoutError):
            _ask_until_nothing_is_taken(connection)

        async def work() -> None:
            async with peers(node, authority, own) as made:
                await made.call(SERVER, "peer.beat", beat(), timeout=10)

        run(work())


def _ask_until_nothing_is_taken(connection: ssl.SSLSocket) -> None:
    """Until all buffers are full: the kernel's alone may have 40 MB."""
    for first in range(0, 400_000, 1_000):
        calls = (encode_frame(Call(first + number, "peer.nothing", b"x" * 1000)) for number in range(1_000))
        connection.sendall(b"".join(calls))


def test_links_take_no_place_of_their_address(node: ServedNode, authority: Authority, own: Pair) -> None:
    """`max_connections_per_address` is 8 here."""
    with ExitStack() as held:
        for _ in range(20):
            held.enter_context(raw_link(node, authority.context(own)))
        assert answers(node, authority)


def test_clients_that_fill_an_address_keep_no_node_out(node: ServedNode, authority: Authority, own: Pair) -> None:
    with ExitStack() as held:
        for _ in range(30):
            held.enter_context(socket.create_connection(("127.0.0.1", port_of(node)), 10))
        until(lambda: not answers(node, authority), "the address has its fill")

        async def work() -> None:
            async with peers(node, authority, own) as made:
                while not made.up():
                    await asyncio.sleep(0.01)
                await made.call(SERVER, "peer.beat", beat())

        run(work())
        assert not answers(node, authority)
    until(lambda: answers(node, authority), "there is room again")


def test_a_renewed_certificate_is_shown_by_the_next_connection(
    node: ServedNode, authority: Authority, own: Pair, tmp_path: Path
) -> None:
    """The files are read at each connection: what was refused before is let in then."""
    shown = Pair(tmp_path / "shown.crt", tmp_path / "shown.key")
    authority.issue("bob", "DNS:bob").install(shown)

    async def work() -> None:
        async with peers(node, authority, shown) as made:
            with pytest.raises(CaxtonError):
                await made.call(SERVER, "peer.beat", beat(), timeout=5)
            own.install(shown)
            while not made.up():
                await asyncio.sleep(0.01)
            await made.call(SERVER, "peer.beat", beat())

    run(work())


def test_what_is_large_goes_beside_the_link(node: ServedNode, authority: Authority, own: Pair) -> None:
    async def work() -> Code:
        async with peers(node, authority, own) as made:
            large = Relay("n3", "peer.beat", bytes(8_000_000))
            with pytest.raises(CaxtonError) as refused:
                await made.call(SERVER, "peer.relay", large)
            await made.call(SERVER, "peer.beat", beat())
            figures = made.figures()[SERVER]
            assert (figures.connects, figures.bytes_out > 8_000_000) == (1, True)
            return refused.value.code

    assert run(work()) is Code.NOT_READY  # n1 has no link to n3: it got all of it


# ---- streams ---------------------------------------------------------------------------------------


def test_a_refused_stream_raises_and_leaves_the_link_alone(node: ServedNode, authority: Authority, own: Pair) -> None:
    async def work() -> Code:
        async with peers(node, authority, own) as made:
            async with aclosing(made.stream(SERVER, "peer.nothing", Nothing())) as items:
                with pytest.raises(CaxtonError) as refused:
                    await anext(items)
            await made.call(SERVER, "peer.beat", beat())
            return refused.value.code

    assert run(work()) is Code.INVALID_REQUEST
