"""Where a request goes: URLs taken apart once, and origins that a grant names.

Owns the one reading of a URL: what is compared with the grants is what is connected to. Must never resolve a name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from caxton.protocol.errors import CaxtonError, Code

MAX_URL_LENGTH: Final = 8_192
_PORTS: Final = {"http": 80, "https": 443}
_VISIBLE: Final = re.compile(r"[!-~]+")
_SPLITTING: Final = re.compile(r"[\\\"<>^`{|}]")
"""Where readers of URLs disagree: none of these has a place in one."""
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,252}[a-z0-9_])?\.?|\[[0-9a-f:.]{2,45}\]")


class Target(NamedTuple):
    """A URL in its parts. `host` in lower case, an IPv6 address without its brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port, the usual port left out."""
        return f"{self.scheme}://{self.authority}"

    @property
    def url(self) -> str:
        """The whole."""
        return f"{self.origin}{self.path}"


def parse_url(text: str) -> Target:
    """An `http` or `https` URL, without user, password, spaces or anything that is not ASCII; else `ValueError`."""
    if len(text) > MAX_URL_LENGTH or not _VISIBLE.fullmatch(text) or _SPLITTING.search(text):
        raise ValueError("a URL is ASCII without spaces; encode other characters (host names in punycode)")
    parts = urlsplit(text)
    scheme, authority = parts.scheme.lower(), parts.netloc.lower()
    if scheme not in _PORTS or not text[len(scheme) :].startswith("://"):
        raise ValueError("a URL begins with http:// or https://")
    host, port = _split(authority)
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    return Target(scheme, host.rstrip(".") or host, _PORTS[scheme] if port is None else port, path)


def _split(authority: str) -> tuple[str, int | None]:
    if "@" in authority or "%" in authority:
        raise ValueError("a URL carries no user, password or zone")
    found = re.fullmatch(r"(.*?)(?::([0-9]{1,5}))?", authority)
    assert found is not None  # the pattern takes everything
    host, port = found[1], found[2]
    if not _HOST.fullmatch(host):
        raise ValueError(f"{host[:80]!r} is no host name")
    if port is not None and not 0 < int(port) < 65_536:
        raise ValueError(f"{port} is no port")
    return host.strip("[]"), None if port is None else int(port)


def follow(target: Target, location: str) -> Target:
    """Where a redirect leads; `ValueError` when that is no URL that may be asked for."""
    return parse_url(urljoin(target.url, location.partition("#")[0]))


def is_granted(target: Target, grants: Sequence[str]) -> bool:
    """Whether one of the origins in `grants.http` is the target's."""
    return any(parse_url(origin).origin == target.origin for origin in grants)


def check_grants(origins: Sequence[str]) -> None:
    """`INVALID_REQUEST` unless each is an origin: scheme, host, perhaps a port, and nothing behind them."""
    for index, text in enumerate(origins):
        path = f"grants.http[{index}]"
        expected = "an origin such as https://api.example.com"
        try:
            target = parse_url(text)
        except ValueError as error:
            raise _no_origin(path, text, expected, str(error)) from None
        if target.path != "/" or "?" in text or "#" in text:
            raise _no_origin(path, text, expected, "an origin ends with its host or port")


def _no_origin(path: str, found: str, expected: str, reason: str) -> CaxtonError:
    return CaxtonError(Code.INVALID_REQUEST, f"{path}: {reason}", path=path, found=found[:200], expected=expected)
