"""The operator's console: a page of plain files that asks this API like any other client.

Owns the routes below /console, and what a browser may do with what they answer. Must never answer anything of the
node: the files are the same for everybody, so they are open, and what they show takes credentials.
"""

from __future__ import annotations

import hashlib
import html
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from flask import Blueprint, Response, request

from caxton.api.gateway import gateway
from caxton.api.operation import Operation, operation
from caxton.protocol.errors import CaxtonError, Code

blueprint = Blueprint("console", __name__)
INDEX: Final = "index.html"
_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_KEY_HEADER: Final = b"{api_key_header}"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing from elsewhere, nothing inline; and no text can become markup: the browser refuses `innerHTML` itself."""


class File(NamedTuple):
    """One file as it is sent."""

    body: bytes
    media_type: str
    tag: str


def _read() -> dict[str, File]:
    found = {}
    for path in sorted((Path(__file__).parent / "console_files").iterdir()):
        if path.suffix in _TYPES:
            found[path.name] = _made(path.read_bytes(), path.suffix)
    return found


def _made(body: bytes, suffix: str) -> File:
    return File(body, _TYPES[suffix], hashlib.sha256(body).hexdigest()[:32])


FILES: Final = _read()


@blueprint.get("/console")
@operation(Operation("The console for operators", {200: str}, answer_media="text/html"))
def page() -> Response:
    """The page that loads the rest."""
    return _sent(_index())


@blueprint.get("/console/<name>")
@operation(Operation("A file of the console", {200: str}, answer_media=tuple(_TYPES.values())))
def file(name: str) -> Response:
    """A script, or a style."""
    found = _index() if name == INDEX else FILES.get(name)
    if found is None:
        raise CaxtonError(Code.NOT_FOUND, f"the console has no file {name[:80]!r}")
    return _sent(found)


def _index() -> File:
    return _saying(gateway().config.security.api_key_header)


@cache
def _saying(key_header: str) -> File:
    """The page, which says how this node takes API keys: a browser would not know."""
    return _made(FILES[INDEX].body.replace(_KEY_HEADER, html.escape(key_header).encode()), ".html")


def _sent(found: File) -> Response:
    """304 where the browser has it: it asks each time, so that an upgraded node is never shown by an old console."""
    response = Response(found.body, mimetype=found.media_type)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(found.tag)
    response.make_conditional(request)
    return response
