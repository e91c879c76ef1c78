"""Rows of this node as bodies of the registry's records, and back.

Owns that translation, for every kind but agents. Must never decide which record holds.

A key's end is a record of its own: of two records the later one stays, and no later change of a key may bring a
revoked one back to life. Names of subscriptions are `TOPIC AGENT`: neither has a space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from caxton.cluster import registry
from caxton.protocol.peers import Record
from caxton.store import ApiKeyRow, CapabilityRow, Changes, NamespaceRow, RevokedTokenRow, SecretRow

AGENT: Final = registry.AGENT
API_KEY: Final = "api_key"
REVOKED_KEY: Final = "revoked_key"
REVOKED_TOKEN: Final = "revoked_token"
NAMESPACE: Final = "namespace"
SECRET: Final = "secret"
CAPABILITY: Final = "capability"
SUBSCRIPTION: Final = "subscription"
FIELDS: Final = frozenset(
    {"api_keys", "revoked_tokens", "namespaces", "secrets", "secrets_removed", "capabilities", "subscriptions"}
)
"""Of `Changes`: what of it every node must know."""

Entry = tuple[str, str, bytes | None]
"""Kind, name, body (None: it is gone)."""
Find = Callable[[str, str], Record | None]
_encode: Final = msgspec.msgpack.Encoder().encode


def entries(used: Mapping[str, Any]) -> Iterator[Entry]:
    """What these changes (by their attributes that are used) say, for every kind but agents."""
    for key in used.get("api_keys", ()):
        yield API_KEY, key.key_id, _encode(msgspec.structs.replace(key, revoked_at=None))
        if key.revoked_at is not None:
            yield REVOKED_KEY, key.key_id, _encode(key.revoked_at)
    for token in used.get("revoked_tokens", ()):
        yield REVOKED_TOKEN, token.jti, _encode(token)
    for row in used.get("namespaces", ()):
        yield NAMESPACE, row.name, None if row.quota is None else _encode(row)
    for secret in used.get("secrets", ()):
        yield SECRET, secret.name, _encode(secret)
    for name in used.get("secrets_removed", ()):
        yield SECRET, name, None
    for capability in used.get("capabilities", ()):
        known = capability.strategy or capability.providers
        yield CAPABILITY, capability.name, _encode(capability) if known else None
    for topic, agent, since in used.get("subscriptions", ()):
        yield SUBSCRIPTION, f"{topic} {agent}", None if since is None else _encode(since)


def add_row(changes: Changes, record: Record, find: Find) -> None:
    """Adds the row that a record stands for; `msgspec.ValidationError` for a body that this release cannot read.

    `find` gives the living record of a kind and name.
    """
    if record.kind in (API_KEY, REVOKED_KEY):
        key = api_key(record.name, find)
        if key is not None:
            changes.api_keys.append(key)
    elif record.kind == REVOKED_TOKEN:
        token = revoked_token(record)
        if token is not None:
            changes.revoked_tokens.append(token)
    elif record.kind == NAMESPACE:
        changes.namespaces.append(namespace(record))
    elif record.kind == SECRET:
        _add_secret(changes, record)
    elif record.kind == CAPABILITY:
        changes.capabilities.append(capability(record))
    elif record.kind == SUBSCRIPTION:
        changes.subscriptions.append(subscription(record))


def api_key(key_id: str, find: Find) -> ApiKeyRow | None:
    """A key, revoked if anybody has revoked it; None while only that is known."""
    made, revoked = find(API_KEY, key_id), find(REVOKED_KEY, key_id)
    if made is None or made.body is None:
        return None
    row = msgspec.msgpack.decode(made.body, type=ApiKeyRow)
    if revoked is None or revoked.body is None:
        return row
    return msgspec.structs.replace(row, revoked_at=msgspec.msgpack.decode(revoked.body, type=float))


def revoked_token(record: Record) -> RevokedTokenRow | None:
    """A token that is refused; a tombstone: its row goes in its own time."""
    return None if record.body is None else msgspec.msgpack.decode(record.body, type=RevokedTokenRow)


def namespace(record: Record) -> NamespaceRow:
    """Quotas; a tombstone: none."""
    if record.body is None:
        return NamespaceRow(record.name)
    return msgspec.msgpack.decode(record.body, type=NamespaceRow)


def capability(record: Record) -> CapabilityRow:
    """What is registered; a tombstone: nothing."""
    if record.body is None:
        return CapabilityRow(record.name)
    return msgspec.msgpack.decode(record.body, type=CapabilityRow)


def secret(record: Record) -> SecretRow | None:
    """The ciphertext; None: there is none."""
    return None if record.body is None else msgspec.msgpack.decode(record.body, type=SecretRow)


def subscription(record: Record) -> tuple[str, str, float | None]:
    """Topic, agent, since when; None: not any more."""
    topic, _, agent = record.name.partition(" ")
    return topic, agent, None if record.body is None else msgspec.msgpack.decode(record.body, type=float)


def _add_secret(changes: Changes, record: Record) -> None:
    row = secret(record)
    if row is None:
        changes.secrets_removed.append(record.name)
    else:
        changes.secrets.append(row)
