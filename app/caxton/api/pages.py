"""Which web pages may ask: a browser sends what a page of any site tells it to, and says which site that was.

Owns the judgement of `Origin` and `Host`. Must never be what lets somebody in where credentials are asked for:
programs write into both what they like.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from caxton.api.cors import Cors
from caxton.api.plain import Environ
from caxton.config.sections import Security
from caxton.protocol.errors import CaxtonError, Code

_LOCALHOST: Final = "localhost"


class LocalPages:
    """On a node without authentication, which listens on loopback only: whose pages may ask it for anything.

    Its own, and those of `cors_origins`. Without this every page that its operator looks at could deploy an agent
    there: a POST of a form asks no permission of the other site. And a page whose name was made to lead to 127.0.0.1
    (DNS rebinding) is of the same origin as the node; but its name is one of the internet.
    """

    def __init__(self, security: Security) -> None:
        self._cors = Cors(security)
        self._names = {_host(urlsplit(origin).netloc) for origin in security.cors_origins if "//" in origin}

    def require(self, environ: Environ) -> None:
        """`FORBIDDEN` for a page of another site, and under a name that anybody could have."""
        if not same_origin(environ) and not self._cors.allows(environ["HTTP_ORIGIN"]):
            raise _refusal("a page of another site")
        host = _host(environ.get("HTTP_HOST", ""))
        if _may_be_anybodys(host) and host not in self._names:
            raise _refusal("a request under a name that anybody on the internet could have")


def same_origin(environ: Environ) -> bool:
    """Whether the page that asks is one of this node's, or no page asks: programs say no origin.

    A balancer may have taken the port off the host.
    """
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return True
    host: str = environ.get("HTTP_HOST", "").lower()
    try:
        parts = urlsplit(origin.lower())
        return host != "" and host in (parts.netloc, parts.hostname)
    except ValueError:  # it is no URL, so it is nobody's page
        return False


def _refusal(what: str) -> CaxtonError:
    """Without the name itself: nothing that is answered is made of what the client calls the node."""
    why = "asks a node without authentication; name it in security.cors_origins, or set security.auth_enabled"
    return CaxtonError(Code.FORBIDDEN, f"{what} {why}")


def _host(netloc: str) -> str:
    """Without the port; lower case."""
    name, colon, port = netloc.lower().rpartition(":")
    return name if colon and (port.isdigit() or not port) and not name.endswith(":") else netloc.lower()


def _may_be_anybodys(host: str) -> bool:
    """Whether a stranger could have the name lead here: addresses lead nowhere else, names without a dot neither."""
    if "." not in host or host.endswith(f".{_LOCALHOST}"):
        return False
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return True
    return False
