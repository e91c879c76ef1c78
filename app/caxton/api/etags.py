"""ETag and If-Match of agents.

Owns their comparison. Must never make a tag: the router does.
"""

from __future__ import annotations

import msgspec
from flask import Response, request
from werkzeug.http import quote_etag, unquote_etag

from caxton.api.gateway import ask
from caxton.api.operation import answer
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Named


class _Tagged(msgspec.Struct):
    etag: str


_decode = msgspec.json.Decoder(_Tagged).decode


def tagged(view: bytes) -> Response:
    """An agent's view with its ETag. The tag names a version, not the counters: there is no 304 by it."""
    return answer(view, ETag=quote_etag(_decode(view).etag))


def if_match() -> str | None:
    """The one tag of If-Match; None when there is none, or `*`."""
    text = request.headers.get("If-Match")
    if text is None or text.strip() == "*":
        return None
    tag, weak = unquote_etag(text)
    if not tag or weak or "," in tag or not text.strip().startswith('"'):
        raise CaxtonError(
            Code.INVALID_REQUEST, "If-Match: one strong entity tag is expected", path="If-Match", expected='"tag"'
        )
    return tag


def require_match(name: str) -> None:
    """`CONFLICT` when the agent is not the one that If-Match names."""
    wanted = if_match()
    if wanted is None:
        return
    found = _decode(ask("agent.get", Named(name))).etag
    if found != wanted:
        raise CaxtonError(Code.CONFLICT, f"{name} has changed meanwhile", found=found, expected=wanted)
