"""Agents' secrets: by name and grant, encrypted at rest, new values at once, and what a lost key means."""

from __future__ import annotations

import base64
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Listing, Named, Nothing
from caxton.protocol.secrets import SecretSet
from caxton.selftest.wat import reactor
from support.desk_node import RouterNode, deploy, invoke, refusal
from support.router_client import RouterClient
from support.versions import update

VALUE = b"correct horse battery staple 7421"


def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def asks(name: str, room: int = 200) -> str:
    """An agent that replies with its secret in quotes, or with the status it was given for it when that is none."""
    return reactor(
        f"""(local.set $got (call $secret (i32.const 16) (i32.const {len(name)}) (i32.const 1025) (i32.const {room})))
        (if (i32.lt_s (local.get $got) (i32.const 0)) (then (return (call $answer (local.get $got)))))
        (if (i32.gt_s (local.get $got) (i32.const {room})) (then (return (call $answer (local.get $got)))))
        (i32.store8 (i32.const 1024) (i32.const 34))
        (i32.store8 (i32.add (i32.const 1025) (local.get $got)) (i32.const 34))
        (call $reply (i32.const 1024) (i32.add (local.get $got) (i32.const 2)))""",
        extra=f'(data (i32.const 16) "{name}")',
        locals_="(local $got i32)",
    )


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode(security={"secrets_key": key()}) as started:
        yield started


@pytest.fixture
def client(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as connected:
        yield connected


def put(client: RouterClient, name: str, value: bytes = VALUE) -> Any:
    return client.call("secret.set", SecretSet(name, value))


def answer(client: RouterClient, agent: str) -> Any:
    return invoke(client, agent)["content"]


def test_an_agent_gets_the_secret_that_it_was_granted_and_no_other(client: RouterClient) -> None:
    put(client, "first")
    put(client, "second", b"another")
    deploy(client, "granted", asks("first"), grants={"secrets": ["first"]})
    deploy(client, "other", asks("second"), grants={"secrets": ["first"]})
    deploy(client, "none", asks("first"))
    deploy(client, "missing", asks("third"), grants={"secrets": ["third"]})
    deploy(client, "small", asks("first", room=4), grants={"secrets": ["first"]})
    found = [answer(client, name) for name in ("granted", "other", "none", "missing", "small")]
    assert found == [VALUE.decode(), -1, -1, -4, len(VALUE)]


def test_a_new_value_is_what_the_next_execution_sees_also_of_a_warm_instance(client: RouterClient) -> None:
    assert put(client, "rotated", b"one")["version"] == 1
    view = deploy(client, "rotating", asks("rotated"), grants={"secrets": ["rotated"]})
    assert answer(client, "rotating") == "one"
    assert put(client, "rotated", b"two")["version"] == 2
    assert answer(client, "rotating") == "two"
    assert client.call("secret.remove", Named("rotated")) == {"count": 1}
    assert answer(client, "rotating") == -4
    assert refusal(client, "secret.remove", Named("rotated")).code is Code.SECRET_NOT_FOUND
    shown = client.call("agent.get", Named("rotating"))
    assert shown["resources"]["incarnation"] == view["resources"]["incarnation"]  # it was the same instance


def test_a_grant_that_is_taken_away_is_gone_with_the_update(client: RouterClient) -> None:
    put(client, "first")
    deploy(client, "revoked", asks("first"), grants={"secrets": ["first"]})
    assert answer(client, "revoked") == VALUE.decode()
    update(client, "revoked", grants={"secrets": []})
    assert answer(client, "revoked") == -1


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("a", {"grants": {"secrets": ["*"]}}),
        ("a", {"grants": {"secrets": [""]}}),
        ("team/a", {"grants": {"secrets": ["global"]}}),
        ("team/a", {"grants": {"secrets": ["team/own", "other/one"]}}),
        ("a", {"grants": {"secrets": ["first"]}, "state": "snapshot"}),
    ],
)
def test_what_may_not_be_granted_is_refused_with_the_deployment(client: RouterClient, name: str, config: Any) -> None:
    with pytest.raises(CaxtonError) as caught:
        deploy(client, name, asks("first"), **config)
    assert (caught.value.code, caught.value.details["path"]) == (Code.INVALID_REQUEST, "grants.secrets")


def test_bad_names_and_values_are_refused(client: RouterClient) -> None:
    for name, value in (("Bad", b"x"), ("", b"x"), ("a/b/c", b"x"), ("good", b""), ("good", bytes(65_537))):
        assert refusal(client, "secret.set", SecretSet(name, value)).code is Code.INVALID_REQUEST
    put(client, "good", bytes(range(256)) * 256)


def test_lists_come_in_pages_and_hold_no_value(client: RouterClient) -> None:
    for name in ("p/1", "p/2", "p/3"):
        put(client, name)
    found, cursor = [], None
    while page := client.call("secret.list", Listing(limit=2, cursor=cursor)):
        found += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    names = [item["name"] for item in found]
    assert names == sorted(set(names))
    assert {"p/1", "p/2", "p/3"} <= set(names)
    assert all(set(item) == {"name", "version", "created_at", "updated_at", "key_id", "readable"} for item in found)


def test_nothing_of_a_value_is_on_the_disk_in_events_or_in_the_log(node: RouterNode, client: RouterClient) -> None:
    put(client, "hidden", VALUE)
    deploy(client, "hides", asks("hidden"), grants={"secrets": ["hidden"]})
    assert answer(client, "hides") == VALUE.decode()
    deploy(client, "length", asks("hidden", room=0), grants={"secrets": ["hidden"]})
    put(client, "unsaid", b"never in any reply 118834")
    said = client.call("stats"), client.call("agent.get", Named("length")), client.call("secret.list", Listing())
    assert "never in any reply" not in repr(said)
    for path in node.directory.rglob("*"):
        if path.is_file():
            assert b"never in any reply" not in path.read_bytes(), path


def test_a_ciphertext_is_worth_nothing_under_another_name(node: RouterNode) -> None:
    with RouterNode(security={"secrets_key": key()}) as own:
        with own.client() as client:
            put(client, "mine", b"mine")
            put(client, "yours", b"yours")
            deploy(client, "thief", asks("mine"), grants={"secrets": ["mine"]})
        own.stop_router()
        with closing(sqlite3.connect(own.data / "local.db")) as database:
            database.execute(
                "UPDATE secret SET (nonce, ciphertext) = (SELECT nonce, ciphertext FROM secret WHERE name = 'yours') "
                "WHERE name = 'mine'"
            )
            database.commit()
        own.start_router()
        with own.client() as client:
            assert answer(client, "thief") == -6


def test_without_its_key_the_node_runs_and_secrets_are_unavailable(node: RouterNode) -> None:
    first, second = key(), key()
    with RouterNode(security={"secrets_key": first}) as own:

        def again(**keys: str) -> RouterClient:
            own.stop_router()
            text = "\n".join(line for line in own.config.read_text().splitlines() if "secrets_key" not in line)
            lines = "".join(f'{name} = "{value}"\n' for name, value in keys.items())
            own.config.write_text(text.replace("[security]\n", f"[security]\n{lines}"))
            own.start_router()
            return own.client()

        with own.client() as client:
            put(client, "kept")
            deploy(client, "needs", asks("kept"), grants={"secrets": ["kept"]})
        with again() as client:
            assert answer(client, "needs") == -6
            assert client.call("stats")["secrets"] == {"stored": 1, "unreadable": 1}
            assert refusal(client, "secret.set", SecretSet("new", b"x")).code is Code.SECRETS_UNAVAILABLE
            assert refusal(client, "secret.rekey", Nothing()).code is Code.SECRETS_UNAVAILABLE
            assert [item["readable"] for item in client.call("secret.list", Listing())["items"]] == [False]
        with again(secrets_key=second) as client:
            assert answer(client, "needs") == -6
            done = client.call("secret.rekey", Nothing())
            assert (done["count"], done["unreadable"]) == (0, ["kept"])
        with again(secrets_key=second, previous_secrets_key=first) as client:
            assert answer(client, "needs") == VALUE.decode()
            assert client.call("secret.rekey", Nothing())["count"] == 1
            assert answer(client, "needs") == VALUE.decode()
        with again(secrets_key=second) as client:
            assert answer(client, "needs") == VALUE.decode()
