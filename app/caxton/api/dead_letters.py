"""Dead letters over HTTP: list, show, replay, purge.

Owns the routes below /dead-letters. Must never decide why a message died.
"""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from caxton.api import body
from caxton.api.answers import MessagePage
from caxton.api.gateway import ask
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import DeadQuery, NoQuery
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.jsontext import decode
from caxton.protocol.names import require_agent_name
from caxton.protocol.operations import Affected, DeadPurge, DeadReplay, DeadReplayOne, Listing, Named
from caxton.protocol.requests import EditBody, PurgeBody, ReplayBody, checked_id
from caxton.protocol.views import MessageView

_DECIDING = (Code.AGENT_NOT_FOUND, Code.MESSAGE_NOT_FOUND, Code.CONFLICT, Code.STORAGE_FULL)
blueprint = Blueprint("dead_letters", __name__)
_replay_decoder = msgspec.json.Decoder(ReplayBody)
_edit_decoder = msgspec.json.Decoder(EditBody)
_purge_decoder = msgspec.json.Decoder(PurgeBody)


@blueprint.get("/dead-letters")
@operation(Operation("List dead letters", {200: MessagePage}, query=DeadQuery))
def index() -> Response:
    """Newest first."""
    asked = query(DeadQuery)
    return answer(ask("dead.list", Listing(name=asked.agent, limit=asked.limit, cursor=asked.cursor)))


@blueprint.get("/dead-letters/<message:message_id>")
@operation(Operation("Show a dead letter", {200: MessageView}, query=NoQuery, errors=(Code.MESSAGE_NOT_FOUND,)))
def show(message_id: str) -> Response:
    """Why it died, with all attempts."""
    query(NoQuery)
    return answer(ask("dead.get", Named(checked_id(message_id) or "")))


@blueprint.post("/dead-letters/replay")
@operation(
    Operation(
        "Put dead letters back into a mailbox",
        {200: Affected},
        body=ReplayBody,
        errors=(
            Code.AGENT_FAILED,
            Code.AGENT_NOT_FOUND,
            Code.AGENT_STOPPED,
            Code.CONFLICT,
            Code.MAILBOX_FULL,
            Code.MESSAGE_NOT_FOUND,
            Code.STORAGE_FULL,
        ),
    )
)
def replay() -> Response:
    """By id, or all of one agent; `to` names another agent to handle them, `version` a version of theirs."""
    asked = decode(body.read_json(request.environ), _replay_decoder)
    ids = _ids(asked.message_ids)
    _exactly_one(message_ids=bool(ids), agent=asked.agent is not None)
    for path, name in (("agent", asked.agent), ("to", asked.to)):
        if name is not None:
            require_agent_name(name, path)
    _at_most_one(to=asked.to, version=asked.version)
    return answer(ask("dead.replay", DeadReplay(ids, asked.agent, asked.to, asked.version)))


@blueprint.post("/dead-letters/<message:message_id>/replay")
@operation(Operation("Put one dead letter back, edited if need be", {200: Affected}, body=EditBody, errors=_DECIDING))
def replay_one(message_id: str) -> Response:
    """With `content` it is tried with that; `to` names another agent. What waits for it goes on behind it."""
    asked = decode(body.read_json(request.environ), _edit_decoder)
    if asked.to is not None:
        require_agent_name(asked.to, "to")
    edited = None if asked.content is msgspec.UNSET else bytes(asked.content)
    return answer(ask("dead.replay_one", DeadReplayOne(checked_id(message_id) or "", edited, asked.to)))


@blueprint.post("/dead-letters/<message:message_id>/skip")
@operation(Operation("Let a conversation go on without its dead letter", {200: Affected}, errors=_DECIDING))
def skip(message_id: str) -> Response:
    """Only where the agent's `retry.on_dead` is `hold`; the dead letter stays."""
    return answer(ask("dead.skip", Named(checked_id(message_id) or "")))


@blueprint.post("/dead-letters/purge")
@operation(Operation("Forget dead letters", {200: Affected}, body=PurgeBody, errors=(Code.MESSAGE_NOT_FOUND,)))
def purge() -> Response:
    """By id, all of one agent, or everything."""
    asked = decode(body.read_json(request.environ), _purge_decoder)
    ids = _ids(asked.message_ids)
    _exactly_one(message_ids=bool(ids), agent=asked.agent is not None, everything=asked.everything)
    return answer(ask("dead.purge", DeadPurge(ids, asked.agent, asked.everything)))


def _ids(texts: list[str]) -> list[str]:
    return [checked_id(text) or "" for text in texts]


def _at_most_one(**given: object) -> None:
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise CaxtonError(
            Code.INVALID_REQUEST, f"{' and '.join(names)} exclude each other", path=names[0], expected="one of them"
        )


def _exactly_one(**given: bool) -> None:
    if sum(given.values()) != 1:
        names = ", ".join(given)
        raise CaxtonError(
            Code.INVALID_REQUEST, f"exactly one of {names} is needed", path=next(iter(given)), expected=names
        )
