"""The audit over the socket: look records up, note what another process has seen.

Owns the cursor of the list. Must never change a record.
"""

from __future__ import annotations

from caxton.audit.listing import find
from caxton.protocol.access import Caller
from caxton.protocol.audit import AuditListing, AuditNotes, AuditPage
from caxton.protocol.operations import Affected
from caxton.router.desk import Desk
from caxton.router.paging import check_limit, read_cursor, write_cursor


async def list_records(desk: Desk, args: AuditListing) -> AuditPage:
    """Records, newest first: of everybody on the node, so for nobody who does not reach all of it."""
    check_limit(args.limit)
    position = read_cursor(args.cursor, int)
    before = None if position is None else int(position[0])
    found, after = await desk.read(find, desk.audit.recorder.directory, args, before)
    return AuditPage(found, None if after is None else write_cursor(after))


async def note(desk: Desk, args: AuditNotes, caller: Caller) -> Affected:
    """Takes notes of processes of this host."""
    return Affected(await desk.audit.note(args.notes, caller))
