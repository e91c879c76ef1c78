"""The head of a plain request, recognised by its bytes.

Owns which requests are so plain that they need no general parser: everything that is framed in more than one
way, folded or merely unusual is left to gunicorn. Must never refuse a request, only leave it.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

LINE_BYTES: Final = 4096
HEAD_BYTES: Final = 8192
HEADERS: Final = 60
BODY_BYTES: Final = 256 * 1024
"""Larger bodies are gunicorn's: it reads them piece by piece, under their own deadline."""

_TARGET: Final = re.compile(rb"POST (/[A-Za-z0-9_./-]{1,400}) HTTP/1\.1\r\n")
_HEADER: Final = re.compile(rb"([A-Za-z0-9-]{1,100}):[ \t]*([!-~](?:[ \t!-~]*[!-~])?)\r\n")
_LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_NOT_PLAIN: Final = frozenset(
    {
        *("TRANSFER_ENCODING", "EXPECT", "UPGRADE", "CONNECTION", "TRAILER", "TE", "HTTP2_SETTINGS", "SCRIPT_NAME"),
        *("FORWARDED", "X_FORWARDED_PROTOCOL", "X_FORWARDED_SSL"),
        *("PATH_INFO", "REMOTE_USER", "X_FORWARDED_HOST", "X_FORWARDED_PREFIX", "X_FORWARDED_PORT"),
    }
)
"""Names that say how the request is framed, or what is not said by proxies that balance load: these say
X-Forwarded-For and X-Forwarded-Proto, which `proxies` reads."""
_KEYS: Final[dict[bytes, str | None]] = {}
_MOST_KEYS: Final = 1_000
Environ = dict[str, Any]


class Head(NamedTuple):
    """The start of a request: its keys of a WSGI environ, where its body begins and how long it is."""

    environ: Environ
    begin: int
    length: int


def path_of(data: bytes) -> bytes | None:
    """The path of a POST without query, as far as the first line is here."""
    found = _TARGET.match(data)
    return found[1] if found else None


def read_head(data: bytes) -> Head | None:
    """The head if it is complete and plain, else None."""
    end = data.find(b"\r\n\r\n", 0, HEAD_BYTES)
    target = _TARGET.match(data)
    if end < 0 or target is None:
        return None
    environ: Environ = {"REQUEST_METHOD": "POST", "QUERY_STRING": "", "PATH_INFO": target[1].decode()}
    at, end = target.end(), end + 2
    while at < end:
        header = _HEADER.match(data, at, end)
        if header is None:
            return None
        name, value = header.groups()
        key = _KEYS[name] if name in _KEYS else _key(name)
        if key is None:
            if name.upper() != b"CONNECTION" or value.lower() != b"keep-alive":
                return None
        elif key in environ:
            return None
        else:
            environ[key] = value.decode()
        at = header.end()
    length = environ.get("CONTENT_LENGTH", "")
    if (
        len(environ) > HEADERS
        or not _LENGTH.fullmatch(length)
        or int(length) > BODY_BYTES
        or "HTTP_HOST" not in environ
    ):
        return None
    return Head(environ, end + 2, int(length))


def environ_key(header: str) -> str:
    """Where a WSGI environ has the header of this name."""
    return f"HTTP_{header.upper().replace('-', '_')}"


def _key(name: bytes) -> str | None:
    """The environ's key for a header; None for those that are not plain."""
    folded = name.decode().upper().replace("-", "_")
    key: str | None = f"HTTP_{folded}"
    if folded in _NOT_PLAIN:
        key = None
    elif folded in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = folded
    if len(_KEYS) < _MOST_KEYS:
        _KEYS[name] = key
    return key
