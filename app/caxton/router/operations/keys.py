"""API keys: create, list, revoke, look up.

Owns a key's row. Must never keep or log a key's text: it is in one answer, once.
"""

from __future__ import annotations

import time
from typing import Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.keys import new_key
from caxton.protocol.operations import KeyCreate, Listing, Named
from caxton.protocol.views import KeyRecord, KeyView, Page
from caxton.router.desk import Desk
from caxton.router.paging import check_limit, read_last, write_last
from caxton.router.views import key_view
from caxton.store import ApiKeyRow, Changes

MAX_SUBJECT_LENGTH: Final = 128
MAX_TTL_SECONDS: Final = 100 * 365 * 86_400.0


async def create(desk: Desk, args: KeyCreate) -> KeyView:
    """A new key, durable when its text is answered."""
    if not 0 < len(args.subject) <= MAX_SUBJECT_LENGTH or not args.subject.isprintable():
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"subject: 1 to {MAX_SUBJECT_LENGTH} printable characters",
            path="subject",
            found=args.subject[:MAX_SUBJECT_LENGTH],
        )
    if args.ttl_seconds is not None and not 0 < args.ttl_seconds <= MAX_TTL_SECONDS:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            "ttl_seconds: more than 0, at most 100 years",
            path="ttl_seconds",
            found=args.ttl_seconds,
        )
    made, now = new_key(), time.time()
    expires_at = None if args.ttl_seconds is None else now + args.ttl_seconds
    row = ApiKeyRow(made.key_id, args.subject, made.salt, made.digest, now, expires_at)
    await desk.core.commit(Changes(api_keys=[row]))
    return key_view(row, made.text)


async def list_keys(desk: Desk, args: Listing) -> Page:
    """All keys, revoked and expired ones too."""
    after = read_last(args.cursor)
    found = await desk.read(desk.store.reader.api_keys, limit=check_limit(args.limit), cursor=after)
    return Page([key_view(row) for row in found.rows], write_last(found.next_cursor))


async def revoke(desk: Desk, args: Named) -> KeyView:
    """Ends a key; revoking twice keeps the first time."""
    row = await _require(desk, args.name)
    if row.revoked_at is None:
        row = msgspec.structs.replace(row, revoked_at=time.time())
        await desk.core.commit(Changes(api_keys=[row]))
        desk.events.publish("key.revoked", {"key_id": row.key_id, "subject": row.subject})
    return key_view(row)


async def lookup(desk: Desk, args: Named) -> KeyRecord:
    """What an API worker needs to verify a key."""
    row = await _require(desk, args.name)
    return KeyRecord(row.key_id, row.subject, row.salt, row.digest, row.expires_at, row.revoked_at)


async def _require(desk: Desk, key_id: str) -> ApiKeyRow:
    row = await desk.read(desk.store.reader.api_key, key_id)
    if row is None:
        raise CaxtonError(Code.KEY_NOT_FOUND, f"no key has the id {key_id[:64]!r}", key_id=key_id[:64])
    return row
