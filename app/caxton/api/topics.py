"""Topics over HTTP: list, show, subscribe, unsubscribe. To publish is to send a message to `topic:NAME`.

Owns the routes below /topics. Must never deliver anything.
"""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from caxton.api import body
from caxton.api.answers import TopicPage
from caxton.api.gateway import ask
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import NoQuery, PageQuery
from caxton.protocol.errors import Code
from caxton.protocol.jsontext import decode
from caxton.protocol.names import require_agent_name
from caxton.protocol.operations import Listing, Named
from caxton.protocol.talks import Subscribe, SubscriberBody, TopicView

blueprint = Blueprint("topics", __name__)
_decoder = msgspec.json.Decoder(SubscriberBody)


@blueprint.get("/topics")
@operation(Operation("List topics", {200: TopicPage}, query=PageQuery))
def index() -> Response:
    """Those that somebody subscribed to, by name."""
    asked = query(PageQuery)
    return answer(ask("topic.list", Listing(limit=asked.limit, cursor=asked.cursor)))


@blueprint.get("/topics/<topic:name>")
@operation(Operation("Show a topic", {200: TopicView}, query=NoQuery))
def show(name: str) -> Response:
    """Who subscribed to it."""
    query(NoQuery)
    return answer(ask("topic.get", Named(require_agent_name(name, "topic"))))


@blueprint.post("/topics/<topic:name>/subscribe")
@operation(
    Operation(
        "Subscribe an agent",
        {200: TopicView},
        query=NoQuery,
        body=SubscriberBody,
        errors=(Code.AGENT_NOT_FOUND, Code.RESOURCE_LIMIT_EXCEEDED),
    )
)
def subscribe(name: str) -> Response:
    """It gets everything that is published from now on."""
    return _change(name, on=True)


@blueprint.post("/topics/<topic:name>/unsubscribe")
@operation(Operation("Unsubscribe an agent", {200: TopicView}, query=NoQuery, body=SubscriberBody))
def unsubscribe(name: str) -> Response:
    """What is in its mailbox already stays there."""
    return _change(name, on=False)


def _change(name: str, *, on: bool) -> Response:
    query(NoQuery)
    agent = require_agent_name(decode(body.read_json(request.environ), _decoder).agent, "agent")
    return answer(ask("topic.subscribe", Subscribe(require_agent_name(name, "topic"), agent, on)))
