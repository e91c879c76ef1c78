"""Tokens that are refused though their signature holds: revoke, list, look up.

Owns their rows. Must never see a token: an id is all that is needed.
"""

from __future__ import annotations

import re
import time
from typing import Final

from caxton.protocol.access import JTI
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Listing, Named, TokenRevoke
from caxton.protocol.views import Page, TokenRecord, TokenView
from caxton.router.desk import Desk
from caxton.router.paging import check_limit, read_last, write_last
from caxton.router.views import token_view
from caxton.store import Changes, RevokedTokenRow

_JTI: Final = re.compile(JTI).fullmatch


async def revoke(desk: Desk, args: TokenRevoke) -> TokenView:
    """Durable when it is answered; revoking twice keeps the first time."""
    if not _JTI(args.jti):
        expected = "1 to 255 visible ASCII characters"
        raise CaxtonError(Code.INVALID_REQUEST, f"jti: {expected}", path="jti", expected=expected)
    known = await desk.read(desk.store.reader.revoked_token, args.jti)
    if known is not None:
        return token_view(known)
    row = RevokedTokenRow(args.jti, time.time(), args.expires_at)
    await desk.core.commit(Changes(revoked_tokens=[row]))
    desk.events.publish("token.revoked", {"jti": row.jti})
    return token_view(row)


async def list_tokens(desk: Desk, args: Listing) -> Page:
    """All that are remembered; one is forgotten some time after its token has ended by itself."""
    after = read_last(args.cursor)
    found = await desk.read(desk.store.reader.revoked_tokens, limit=check_limit(args.limit), cursor=after)
    return Page([token_view(row) for row in found.rows], write_last(found.next_cursor))


async def lookup(desk: Desk, args: Named) -> TokenRecord:
    """Whether the token was revoked."""
    return TokenRecord(await desk.read(desk.store.reader.revoked_token, args.name) is not None)
