"""The API's description: /openapi.json, and a page that shows it.

Owns these two routes. Must never load anything from elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flask import Blueprint, Response, current_app

from caxton.api import openapi
from caxton.api.headers import POLICY
from caxton.api.operation import Operation, answer, operation
from caxton.protocol.errors import Code

blueprint = Blueprint("documents", __name__)
_PAGE: Final = (Path(__file__).parent / "docs.html").read_text("utf-8")
_POLICY: Final = f"{POLICY}; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
"""The page's own script and style are in it; it loads nothing but the description."""


@blueprint.get("/openapi.json")
@operation(Operation("The description of this API", {200: dict}, errors=(Code.RATE_LIMITED,)))
def description() -> Response:
    """OpenAPI 3.1, made of the models that validate the requests."""
    return answer(openapi.text(current_app._get_current_object()))  # type: ignore[attr-defined]  # the proxy is no key


@blueprint.get("/docs")
@operation(Operation("This description as a page", {200: str}, errors=(Code.RATE_LIMITED,), answer_media="text/html"))
def page() -> Response:
    """One self-contained page."""
    response = Response(_PAGE, mimetype="text/html")
    response.headers["Content-Security-Policy"] = _POLICY
    return response
