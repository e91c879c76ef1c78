"""The audit over HTTP, for whoever has no shell on the node.

Owns the route below /audit. Must never show it to anybody but an administrator.
"""

from __future__ import annotations

from flask import Blueprint, Response

from caxton.api.gateway import ask
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import AuditQuery
from caxton.protocol.audit import AuditListing, AuditPage
from caxton.protocol.requests import instant

blueprint = Blueprint("audit", __name__)


@blueprint.get("/audit")
@operation(Operation("Who did what", {200: AuditPage}, query=AuditQuery))
def index() -> Response:
    """Newest first. A page may hold fewer than `limit` and still have a `next_cursor`."""
    return answer(ask("audit.list", _listing(query(AuditQuery))))


def _listing(asked: AuditQuery) -> AuditListing:
    return AuditListing(
        limit=asked.limit,
        cursor=asked.cursor,
        since=None if asked.since is None else instant(asked.since, "since"),
        until=None if asked.until is None else instant(asked.until, "until"),
        actor=asked.actor,
        action=asked.action,
        target=asked.target,
        outcome=asked.outcome,
    )
