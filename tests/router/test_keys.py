"""API keys: made, listed, looked up, revoked; only a salted digest is kept."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest

from caxton.protocol.access import Role, Scope
from caxton.protocol.errors import Code
from caxton.protocol.keys import UNBOUND, key_id_of, key_matches
from caxton.protocol.operations import KeyCreate, Listing, Named
from caxton.protocol.views import KeyRecord
from support.desk_node import RouterNode, refusal


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode() as started:
        yield started


def test_a_key_is_shown_once_and_verified_by_its_digest(node: RouterNode) -> None:
    with node.client() as client:
        made = client.call("key.create", KeyCreate("alice", UNBOUND))
        assert key_id_of(made["key"]) == made["key_id"]
        record = msgspec.convert(client.call("key.lookup", Named(made["key_id"])), KeyRecord)
        assert key_matches(made["key"], record.salt, record.digest, record.scope)
        assert not key_matches(made["key"][:-1] + "!", record.salt, record.digest, record.scope)
        assert all("key" not in item for item in client.call("key.list", Listing())["items"])
    files = [path for path in node.data.rglob("*") if path.is_file()]
    assert all(made["key"].encode() not in path.read_bytes() for path in files)


def test_a_key_survives_a_kill_and_a_revocation_too(node: RouterNode) -> None:
    with node.client() as client:
        kept, revoked = (client.call("key.create", KeyCreate(name, UNBOUND, 3600))["key_id"] for name in ("k", "r"))
        first = client.call("key.revoke", Named(revoked))
        assert client.call("key.revoke", Named(revoked)) == first
    node.kill_router()
    node.start_router()
    with node.client() as client:
        assert client.call("key.lookup", Named(kept))["expires_at"] > 0
        assert client.call("key.lookup", Named(revoked))["revoked_at"] > 0


def test_keys_are_listed_page_by_page(node: RouterNode) -> None:
    with node.client() as client:
        for number in range(5):
            client.call("key.create", KeyCreate(f"page-{number}", UNBOUND))
        seen: list[str] = []
        cursor = None
        while True:
            page = client.call("key.list", Listing(limit=2, cursor=cursor))
            seen += [item["key_id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) >= 5


@pytest.mark.parametrize(
    "args",
    [
        KeyCreate("", UNBOUND),
        KeyCreate("x" * 129, UNBOUND),
        KeyCreate("a\nb", UNBOUND),
        KeyCreate("a", UNBOUND, 0),
        KeyCreate("a", UNBOUND, -1.0),
        KeyCreate("bootstrap", UNBOUND),
        KeyCreate("a", Scope(Role.AGENT_CLIENT)),
        KeyCreate("a", Scope(Role.AGENT_CLIENT, None, ())),
        KeyCreate("a", Scope(Role.VIEWER, None, ("*",))),
        KeyCreate("a", Scope(Role.VIEWER, "Team")),
    ],
)
def test_bad_keys_are_refused(node: RouterNode, args: KeyCreate) -> None:
    with node.client() as client:
        assert refusal(client, "key.create", args).code is Code.INVALID_REQUEST


@pytest.mark.parametrize("op", ["key.lookup", "key.revoke"])
def test_an_unknown_key(node: RouterNode, op: str) -> None:
    with node.client() as client:
        assert refusal(client, op, Named("nobody")).code is Code.KEY_NOT_FOUND


def test_a_digest_covers_what_the_key_may_do(node: RouterNode) -> None:
    scope = Scope(Role.AGENT_CLIENT, "team", ("team/a-*",))
    with node.client() as client:
        made = client.call("key.create", KeyCreate("covered", scope))
        record = msgspec.convert(client.call("key.lookup", Named(made["key_id"])), KeyRecord)
    assert record.scope == scope
    for other in (UNBOUND, Scope(Role.AGENT_CLIENT, "team", ("*",)), Scope(Role.AGENT_CLIENT, None, scope.agents)):
        assert not key_matches(made["key"], record.salt, record.digest, other)


def test_a_key_of_a_release_without_roles_is_still_an_administrators(node: RouterNode) -> None:
    """Its row has no role; its digest was made of salt and text alone, which a release without roles goes on with."""
    salt, text = b"s" * 16, f"caxton_{'ab' * 8}_{'A' * 43}"
    node.kill_router()
    with closing(sqlite3.connect(node.data / "local.db")) as database, database:
        database.execute(
            "INSERT INTO api_key (key_id, subject, salt, digest, created_at) VALUES (?, 'old', ?, ?, 1.0)",
            ("ab" * 8, salt, hashlib.sha256(salt + text.encode()).digest()),
        )
    node.start_router()
    with node.client() as client:
        record = msgspec.convert(client.call("key.lookup", Named("ab" * 8)), KeyRecord)
        assert record.scope == UNBOUND
        assert key_matches(text, record.salt, record.digest, record.scope)
        made = client.call("key.create", KeyCreate("as-before", UNBOUND))
        fresh = msgspec.convert(client.call("key.lookup", Named(made["key_id"])), KeyRecord)
        limited = client.call("key.create", KeyCreate("not-before", Scope(Role.VIEWER)))
        other = msgspec.convert(client.call("key.lookup", Named(limited["key_id"])), KeyRecord)
    assert hashlib.sha256(fresh.salt + made["key"].encode()).digest() == fresh.digest
    assert hashlib.sha256(other.salt + limited["key"].encode()).digest() != other.digest
