"""Conversations over HTTP: list those that follow a protocol, show any as a timeline.

Owns the routes below /conversations. Must never know what a protocol allows.
"""

from __future__ import annotations

from flask import Blueprint, Response

from caxton.api.answers import ConversationPage
from caxton.api.gateway import ask
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import ConversationsQuery, PageQuery
from caxton.protocol.operations import Listing
from caxton.protocol.talks import ConversationListing, ConversationView

blueprint = Blueprint("conversations", __name__)


@blueprint.get("/conversations")
@operation(Operation("List conversations that follow a protocol", {200: ConversationPage}, query=ConversationsQuery))
def index() -> Response:
    """Newest first, one item for every two parties."""
    asked = query(ConversationsQuery)
    page = ConversationListing(
        limit=asked.limit,
        cursor=asked.cursor,
        protocol=asked.protocol,
        state=asked.state,
        agent=asked.agent,
        open=asked.open,
    )
    return answer(ask("conversation.list", page))


@blueprint.get("/conversations/<path:conversation_id>")
@operation(Operation("Show a conversation as a timeline", {200: ConversationView}, query=PageQuery))
def show(conversation_id: str) -> Response:
    """Its messages in the order of their acceptance, and where its protocols are."""
    asked = query(PageQuery)
    page = Listing(limit=asked.limit, cursor=asked.cursor, conversation_id=conversation_id)
    return answer(ask("conversation.get", page))
