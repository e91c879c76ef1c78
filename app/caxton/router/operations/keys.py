"""API keys: create, list, revoke, rotate, look up; the first one of a node.

Owns a key's row, and that a subject has at most two that live. Must never keep or log a key's text: it is in one
answer, once.
"""

from __future__ import annotations

import re
import time
from typing import Final

import msgspec

from caxton.protocol.access import SUBJECT, Scope
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.keys import UNBOUND, new_key
from caxton.protocol.operations import KeyCreate, KeyRotate, Listing, Named, Nothing
from caxton.protocol.views import KeyRecord, KeyView, Page, RotationView
from caxton.router.desk import Desk
from caxton.router.paging import check_limit, read_last, write_last
from caxton.router.views import key_view, scope_of
from caxton.store import ApiKeyRow, Changes

MAX_TTL_SECONDS: Final = 100 * 365 * 86_400.0
MOST_LIVE: Final = 2
"""Keys of one subject: the one in use, and the one that takes its place."""
BOOTSTRAP: Final = "bootstrap"
"""Whose the first key of a node is, until there is an administrator's."""
BOOTSTRAP_SECONDS: Final = 86_400.0
_SUBJECT: Final = re.compile(SUBJECT).fullmatch
_KEYS: Final = "\0keys"
"""The lock of everything here; no agent is called so."""


async def create(desk: Desk, args: KeyCreate) -> KeyView:
    """A new key, durable when its text is answered; `CONFLICT` when the subject has two that live."""
    _check(args)
    async with desk.lock(_KEYS):
        now = time.time()
        live = await desk.read(desk.store.reader.live_keys, args.subject, now)
        if len(live) >= MOST_LIVE:
            raise _too_many(args.subject, live)
        row, text = _made(args.subject, args.scope, args.ttl_seconds, now)
        ended = await _bootstrap_keys(desk, now) if args.scope == UNBOUND else []
        await desk.core.commit(Changes(api_keys=[*ended, row]))
        desk.events.publish("key.created", {"key_id": row.key_id, "subject": row.subject, "role": args.scope.role})
        return key_view(row, text)


async def bootstrap(desk: Desk, _args: Nothing) -> KeyView | None:
    """An administrator's key for a day, in the place of the one before; None when an administrator has a key.

    It ends as soon as another key is made that may do everything.
    """
    async with desk.lock(_KEYS):
        now = time.time()
        if await desk.read(desk.store.reader.has_administrator, now, BOOTSTRAP):
            return None
        ended = await _bootstrap_keys(desk, now)
        row, text = _made(BOOTSTRAP, UNBOUND, BOOTSTRAP_SECONDS, now)
        await desk.core.commit(Changes(api_keys=[*ended, row]))
        return key_view(row, text)


async def rotate(desk: Desk, args: KeyRotate) -> RotationView:
    """A successor with the same subject and scope; the key itself ends after the overlap."""
    async with desk.lock(_KEYS):
        now = time.time()
        row = await _require(desk, args.key_id)
        live = await desk.read(desk.store.reader.live_keys, row.subject, now)
        if row.key_id not in {one.key_id for one in live}:
            raise CaxtonError(
                Code.CONFLICT, f"the key {row.key_id} is revoked or expired; make another", key_id=row.key_id
            )
        if len(live) >= MOST_LIVE:
            raise _too_many(row.subject, live)
        made, text = _made(row.subject, scope_of(row), args.ttl_seconds, now)
        end = min(now + args.overlap_seconds, row.expires_at or float("inf"))
        ends = msgspec.structs.replace(row, expires_at=end)
        await desk.core.commit(Changes(api_keys=[made, ends]))
        desk.events.publish(
            "key.created", {"key_id": made.key_id, "subject": made.subject, "role": scope_of(made).role}
        )
        return RotationView(key_view(made, text), key_view(ends))


async def list_keys(desk: Desk, args: Listing) -> Page:
    """All keys, revoked and expired ones too."""
    after = read_last(args.cursor)
    found = await desk.read(desk.store.reader.api_keys, limit=check_limit(args.limit), cursor=after)
    return Page([key_view(row) for row in found.rows], write_last(found.next_cursor))


async def revoke(desk: Desk, args: Named) -> KeyView:
    """Ends a key; revoking twice keeps the first time."""
    async with desk.lock(_KEYS):
        row = await _require(desk, args.name)
        if row.revoked_at is None:
            row = msgspec.structs.replace(row, revoked_at=time.time())
            await desk.core.commit(Changes(api_keys=[row]))
            desk.events.publish("key.revoked", {"key_id": row.key_id, "subject": row.subject})
        return key_view(row)


async def lookup(desk: Desk, args: Named) -> KeyRecord:
    """What an API worker needs to verify a key."""
    row = await _require(desk, args.name)
    return KeyRecord(row.key_id, row.subject, row.salt, row.digest, row.expires_at, row.revoked_at, scope_of(row))


async def _require(desk: Desk, key_id: str) -> ApiKeyRow:
    row = await desk.read(desk.store.reader.api_key, key_id)
    if row is None:
        raise CaxtonError(Code.KEY_NOT_FOUND, f"no key has the id {key_id[:64]!r}", key_id=key_id[:64])
    return row


async def _bootstrap_keys(desk: Desk, now: float) -> list[ApiKeyRow]:
    """Those that live, ended."""
    live = await desk.read(desk.store.reader.live_keys, BOOTSTRAP, now)
    return [msgspec.structs.replace(row, revoked_at=now) for row in live]


def _made(subject: str, scope: Scope, ttl_seconds: float | None, now: float) -> tuple[ApiKeyRow, str]:
    """The row of a fresh key, and its text."""
    made = new_key(scope)
    expires_at = None if ttl_seconds is None else now + ttl_seconds
    agents = None if scope.agents is None else msgspec.json.encode(scope.agents).decode()
    row = ApiKeyRow(
        made.key_id, subject, made.salt, made.digest, now, expires_at, None, scope.role, scope.namespace, agents
    )
    return row, made.text


def _check(args: KeyCreate) -> None:
    if not _SUBJECT(args.subject) or args.subject == BOOTSTRAP:
        expected = f"letters, digits, . _ @ -, at most 128, and not {BOOTSTRAP}"
        raise _invalid("subject", args.subject[:128], expected)
    if args.ttl_seconds is not None and not 0 < args.ttl_seconds <= MAX_TTL_SECONDS:
        raise _invalid("ttl_seconds", args.ttl_seconds, "more than 0, at most 100 years")
    problem = args.scope.problem()
    if problem is not None:
        raise _invalid(problem[0], getattr(args.scope, problem[0]), problem[1])


def _invalid(path: str, found: object, expected: str) -> CaxtonError:
    return CaxtonError(Code.INVALID_REQUEST, f"{path}: {expected}", path=path, found=found, expected=expected)


def _too_many(subject: str, live: list[ApiKeyRow]) -> CaxtonError:
    ids = [row.key_id for row in live]
    return CaxtonError(
        Code.CONFLICT,
        f"{subject} has {len(ids)} keys that live, {' and '.join(ids)}: revoke one of them first",
        key_ids=ids,
        limit=MOST_LIVE,
    )
