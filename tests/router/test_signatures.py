"""Signed modules on a router: what comes in, what is kept of it, and what a key's end means."""

from __future__ import annotations

import hashlib
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Named, Stop
from caxton.provenance import PrivateKey, key_id_of, new_key, sign
from support.desk_node import RouterNode, deploy, invoke, refusal, until
from support.router_client import RouterClient
from support.router_modules import CONSTANT, ECHO, wasm
from support.versions import answering, rollback, update

CODE, NEXT = wasm(CONSTANT), wasm(answering(2))


class Signers:
    """Two keys in files, as a node trusts them: `all` everywhere, `team` for its own namespace."""

    def __init__(self, directory: Path) -> None:
        self.all, self.team = new_key(directory / "all"), new_key(directory / "team")
        self.trusted = [f"{directory}/all.pub", f"team/*={directory}/team.pub"]


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Signers:
    return Signers(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def node(signers: Signers) -> Iterator[RouterNode]:
    with RouterNode(security={"require_signatures": True, "trusted_keys": signers.trusted}) as started:
        yield started


@pytest.fixture
def client(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as connected:
        yield connected


def signed(key: PrivateKey, code: bytes, scope: str = "*") -> str:
    return sign(key, hashlib.sha256(code).hexdigest(), scope)


def reason(call: Any, *args: Any, **fields: Any) -> str:
    with pytest.raises(CaxtonError) as caught:
        call(*args, **fields)
    assert caught.value.code is Code.SIGNATURE_REFUSED, caught.value
    return str(caught.value.details["reason"])


def believe(node: RouterNode, *keys: str, required: bool = True) -> None:
    """The node's file says so from now on."""
    lines = node.config.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("require_signatures", "trusted_keys"))]
    at = kept.index("[security]") + 1
    quoted = ", ".join(f'"{key}"' for key in keys)
    kept[at:at] = [f"require_signatures = {str(required).lower()}", f"trusted_keys = [{quoted}]"]
    node.config.write_text("\n".join(kept))


def reload(node: RouterNode) -> None:
    assert node.router is not None
    before = node.log.count("reload")
    node.router.send_signal(signal.SIGHUP)
    until(lambda: node.log.count("reload") > before)


def test_a_module_comes_in_signed_for_its_agent_or_not_at_all(
    node: RouterNode, client: RouterClient, signers: Signers
) -> None:
    assert reason(deploy, client, "a", CODE) == "missing"
    assert reason(deploy, client, "a", CODE, signature=signed(PrivateKey.generate(), CODE)) == "unknown_key"
    assert reason(deploy, client, "a", CODE, signature=signed(signers.all, NEXT)) == "wrong_module"
    assert reason(deploy, client, "a", CODE, signature=signed(signers.team, CODE)) == "not_for_namespace"
    assert reason(deploy, client, "a", CODE, signature=signed(signers.all, CODE, "team/*")) == "not_for_namespace"
    assert not list((node.data / "modules").iterdir())
    view = deploy(client, "team/a", CODE, signature=signed(signers.team, CODE, "team/*"))
    assert view["signed_by"] == key_id_of(signers.team.public_key())
    assert invoke(client, "team/a")["content"] == 42


def test_versions_keep_their_signature_through_update_and_rollback(client: RouterClient, signers: Signers) -> None:
    ours, teams = (key_id_of(key.public_key()) for key in (signers.all, signers.team))
    deploy(client, "team/a", CODE, signature=signed(signers.team, CODE))
    assert reason(update, client, "team/a", NEXT) == "missing"
    assert update(client, "team/a", NEXT, signature=signed(signers.all, NEXT))["signed_by"] == ours
    assert update(client, "team/a", config={"x": 1})["signed_by"] == ours
    assert update(client, "team/a", signature=signed(signers.team, NEXT))["signed_by"] == teams
    listed = client.call("agent.versions", Named("team/a"))["items"]
    assert [item["signed_by"] for item in listed] == [teams, ours, ours, teams]
    assert rollback(client, "team/a", 1)["signed_by"] == teams


def test_a_key_that_is_trusted_no_more_takes_what_it_signed_with_it(node: RouterNode, signers: Signers) -> None:
    with node.client() as client:
        deploy(client, "team/a", CODE, signature=signed(signers.team, CODE))
        update(client, "team/a", NEXT, signature=signed(signers.all, NEXT))
        deploy(client, "team/b", CODE, signature=signed(signers.team, CODE))
        believe(node, signers.trusted[0])
        reload(node)
        assert reason(rollback, client, "team/a") == "unknown_key"
        assert invoke(client, "team/a")["content"] == 2
        assert invoke(client, "team/b")["content"] == 42  # it runs until it is ended
        assert "could not be started again: team/b" in node.log
        client.call("agent.stop", Stop("team/b", 1.0))
        assert refusal(client, "agent.start", Named("team/b")).code is Code.SIGNATURE_REFUSED
    node.stop_router()
    node.start_router()
    with node.client() as client:
        until(lambda: client.call("agent.get", Named("team/a"))["status"] == "running")
        assert invoke(client, "team/a")["content"] == 2
        assert client.call("agent.get", Named("team/b"))["status"] == "failed"
        believe(node, *signers.trusted)
        reload(node)
        client.call("agent.start", Named("team/b"))
        assert rollback(client, "team/a")["version"] == 1


def test_at_boot_an_agent_whose_key_has_gone_is_failed_with_the_reason(node: RouterNode, signers: Signers) -> None:
    with node.client() as client:
        deploy(client, "team/b", CODE, signature=signed(signers.team, CODE))
    node.stop_router()
    believe(node, signers.trusted[0])
    node.start_router()
    with node.client() as client:
        view = until(lambda: (v := client.call("agent.get", Named("team/b")))["status"] == "failed" and v)
        assert view["status_reason"].startswith("SIGNATURE_REFUSED")


def test_a_signature_outlives_a_release_that_knows_of_none(node: RouterNode, signers: Signers) -> None:
    with node.client() as client:
        deploy(client, "a", CODE, signature=signed(signers.all, CODE))
    node.stop_router()
    with closing(sqlite3.connect(node.data / "local.db")) as database:  # as its own way of writing the row leaves it
        database.execute("UPDATE agent SET document = json_remove(document, '$.signature', '$.signed_by')")
        database.commit()
    node.start_router()
    with node.client() as client:
        assert invoke(client, "a")["content"] == 42
        assert client.call("agent.get", Named("a"))["signed_by"] == key_id_of(signers.all.public_key())


def test_where_none_is_required_a_bad_one_is_refused_all_the_same(node: RouterNode, signers: Signers) -> None:
    believe(node, *signers.trusted, required=False)
    reload(node)
    with node.client() as client:
        assert reason(deploy, client, "a", CODE, signature=signed(signers.all, NEXT)) == "wrong_module"
        assert reason(deploy, client, "a", CODE, signature="") == "malformed"
        assert deploy(client, "a", CODE)["signed_by"] is None
        assert reason(update, client, "a", NEXT, signature=signed(signers.team, NEXT)) == "not_for_namespace"


def test_a_list_that_cannot_be_read_is_no_list(node: RouterNode, signers: Signers) -> None:
    believe(node, "/nonexistent/key.pub")
    reload(node)
    with node.client() as client:
        deploy(client, "a", CODE, signature=signed(signers.all, CODE))  # the old list holds
    assert "security.trusted_keys: item 1" in node.log
    node.stop_router()
    node.start_router(ready=False)
    assert node.router is not None
    assert node.router.wait(30) == 1


def test_a_module_that_was_changed_on_the_disk_is_not_run(node: RouterNode, client: RouterClient) -> None:
    believe(node, required=False)
    reload(node)
    view = deploy(client, "a", CODE)
    deploy(client, "b", ECHO)
    path = node.data / "modules" / view["module_sha256"]
    node.stop_router()
    path.chmod(0o640)
    path.write_bytes(NEXT + bytes(len(CODE) - len(NEXT)) if len(CODE) > len(NEXT) else NEXT)
    node.start_router()
    with node.client() as again:
        view = until(lambda: (v := again.call("agent.get", Named("a")))["status"] == "failed" and v)
        assert view["status_reason"].startswith("SIGNATURE_REFUSED")
        assert refusal(again, "agent.start", Named("a")).details["reason"] == "module_changed"
        assert until(lambda: again.call("agent.get", Named("b"))["status"] == "running")
        deploy(again, "c", CODE)  # brings the right bytes once more
        again.call("agent.start", Named("a"))
        assert invoke(again, "a")["content"] == 42
