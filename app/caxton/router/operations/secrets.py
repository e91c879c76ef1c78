"""Secrets: set, list, remove, encrypt anew.

Owns what is said about a secret. Must never say its value.
"""

from __future__ import annotations

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.names import require_agent_name
from caxton.protocol.operations import Affected, Listing, Named, Nothing
from caxton.protocol.secrets import MAX_SECRET_BYTES, Rekeyed, SecretSet, SecretView
from caxton.protocol.views import Page
from caxton.router.access.reach import EVERYTHING, Reach
from caxton.router.desk import Desk
from caxton.router.paging import check_limit, read_last, write_last
from caxton.router.timing.times import rfc3339
from caxton.store import SecretRow


async def set_secret(desk: Desk, args: SecretSet) -> SecretView:
    """The value is durable when this answers, and what the next execution sees."""
    require_agent_name(args.name)
    if not 0 < len(args.value) <= MAX_SECRET_BYTES:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"value: 1 to {MAX_SECRET_BYTES} bytes",
            path="value",
            found_bytes=len(args.value),
            limit_bytes=MAX_SECRET_BYTES,
        )
    row = await desk.core.secrets.set(args.name, args.value)
    desk.events.publish("secret.set", {"name": row.name, "version": row.version})
    return _view(desk, row)


async def list_secrets(desk: Desk, args: Listing, reach: Reach = EVERYTHING) -> Page:
    """Those in reach, by name; never a value."""
    limit, after = check_limit(args.limit), read_last(args.cursor) or ""
    found = [row for row in desk.core.secrets.rows() if row.name > after and reach.inside(row.name)]
    cursor = found[limit - 1].name if len(found) > limit else None
    return Page([_view(desk, row) for row in found[:limit]], write_last(cursor))


async def remove(desk: Desk, args: Named) -> Affected:
    """An agent that asks for it from now on is told that there is none."""
    await desk.core.secrets.remove(args.name)
    desk.events.publish("secret.removed", {"name": args.name})
    return Affected(1)


async def rekey(desk: Desk, args: Nothing) -> Rekeyed:
    """After a change of the node's key: all that the previous one encrypted, with the new one."""
    done = await desk.core.secrets.rekey()
    desk.events.publish("secret.rekeyed", {"count": done.count, "key_id": done.key_id})
    return done


def _view(desk: Desk, row: SecretRow) -> SecretView:
    return SecretView(
        name=row.name,
        version=row.version,
        created_at=rfc3339(row.created_at),
        updated_at=rfc3339(row.updated_at),
        key_id=row.key_id,
        readable=desk.core.secrets.readable(row),
    )
