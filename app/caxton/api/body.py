"""Reading a request's body: bounded while it is read, never more than asked for.

Owns size limits and content types. Must never decode what it reads.
"""

from __future__ import annotations

import io
from typing import Any, Final, NamedTuple

from gunicorn.http.errors import NoMoreData, ParseException
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from caxton.api.unreader import TooSlowError
from caxton.api.worker_class import ENVIRON_EXPECTED, ENVIRON_REQUEST
from caxton.protocol.errors import CaxtonError, Code

SMALL_BYTES: Final = 1_000_000
ENVELOPE_BYTES: Final = 64 * 1024
"""What a body may have beside its content."""
MODULE_BYTES: Final = 104_857_600
BATCH_BYTES: Final = 64 * 1024 * 1024
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
MULTIPART: Final = "multipart/form-data"
_PLAIN: Final = "identity"
PARTS: Final = ("wasm", "config", "signature")


class Form(NamedTuple):
    """The parts of a deployment."""

    config: bytes
    module: bytes
    signature: str | None


def media_type(environ: dict[str, Any]) -> str:
    """The content type without its parameters, in lower case; empty when there is none."""
    text: str = environ.get("CONTENT_TYPE", "")
    return text.partition(";")[0].strip().lower()


def require_type(environ: dict[str, Any], *allowed: str) -> str:
    """The content type if it is allowed, else `UNSUPPORTED_MEDIA_TYPE`."""
    found = media_type(environ)
    if found in allowed:
        return found
    raise CaxtonError(
        Code.UNSUPPORTED_MEDIA_TYPE,
        f"Content-Type {found!r} is not taken here, only {', '.join(allowed)}",
        found=found,
        expected=list(allowed),
    )


def read(environ: dict[str, Any], limit: int) -> bytes:
    """The whole body, at most `limit` bytes; `PAYLOAD_TOO_LARGE` without reading on when there is more."""
    if environ.get("HTTP_CONTENT_ENCODING", _PLAIN).strip().lower() not in ("", _PLAIN):
        raise _compressed(environ)
    length = environ.get("CONTENT_LENGTH")
    chunked = "HTTP_TRANSFER_ENCODING" in environ
    if not length and not chunked:
        return b""
    if length and int(length) > limit:
        raise _too_large(environ, limit, int(length))
    if environ.pop(ENVIRON_EXPECTED, False):
        environ["gunicorn.socket"].sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        data: bytes = environ["wsgi.input"].read(int(length) if length else limit + 1)
    except TooSlowError:
        raise _broken(environ, Code.REQUEST_TIMEOUT, "the body did not arrive in time") from None
    except (ParseException, NoMoreData) as error:
        raise _broken(environ, Code.INVALID_REQUEST, f"the body is broken: {error}"[:200]) from None
    if len(data) > limit:
        raise _too_large(environ, limit, len(data))
    if length and len(data) < int(length):
        raise _broken(environ, Code.INVALID_REQUEST, "the body ended before its Content-Length")
    return data


def read_json(environ: dict[str, Any], limit: int = SMALL_BYTES, *, optional: bool = False) -> bytes:
    """A JSON body; `{}` when it may be left out and is."""
    if optional and not environ.get("CONTENT_LENGTH", "").strip("0") and "HTTP_TRANSFER_ENCODING" not in environ:
        return b"{}"
    require_type(environ, JSON)
    return read(environ, limit)


def read_form(environ: dict[str, Any]) -> Form:
    """The parts `wasm` and `config` of a multipart body, and `signature` if it has one."""
    parts = read_parts(environ)
    for name in ("config", "wasm"):
        if name not in parts:
            raise CaxtonError(Code.INVALID_REQUEST, f"{name}: this part is required", path=name, expected="a part")
    return Form(parts["config"], parts["wasm"], signature_in(parts))


def signature_in(parts: dict[str, bytes]) -> str | None:
    """The part `signature` as text; what is no text is no signature, and is refused as such."""
    return parts["signature"].decode("utf-8", "replace") if "signature" in parts else None


def read_parts(environ: dict[str, Any]) -> dict[str, bytes]:
    """Those of the parts `wasm`, `config` and `signature` that a multipart body has."""
    data = read(environ, MODULE_BYTES + SMALL_BYTES)
    _, options = parse_options_header(environ.get("CONTENT_TYPE"))
    parser = FormDataParser(
        stream_factory=lambda *_, **__: io.BytesIO(),
        max_form_memory_size=SMALL_BYTES,
        max_form_parts=4,
        silent=False,
    )
    try:
        _, fields, files = parser.parse(io.BytesIO(data), MULTIPART, len(data), options)
    except (ValueError, HTTPException) as error:
        raise CaxtonError(
            Code.INVALID_REQUEST, f"the multipart body is broken: {error}"[:200], expected="parts wasm and config"
        ) from None
    unknown = (set(fields) | set(files)) - set(PARTS)
    if unknown:
        name = min(unknown)[:80]
        raise CaxtonError(Code.INVALID_REQUEST, f"{name}: there is no such part", path=name, expected=list(PARTS))
    parts = {name: part.read() for name, part in files.items()}
    return parts | {name: text.encode() for name, text in fields.items()}


def _close_after(environ: dict[str, Any]) -> None:
    request = environ.get(ENVIRON_REQUEST)
    if request is not None:
        request.force_close()


def _broken(environ: dict[str, Any], code: Code, message: str) -> CaxtonError:
    """A body whose rest cannot be found: the connection must not be used again."""
    _close_after(environ)
    return CaxtonError(code, message)


def _compressed(environ: dict[str, Any]) -> CaxtonError:
    """Nothing is decompressed here: how large a body is has to be known before it is taken."""
    _close_after(environ)
    found = environ["HTTP_CONTENT_ENCODING"][:80]
    return CaxtonError(
        Code.UNSUPPORTED_MEDIA_TYPE, f"Content-Encoding {found!r} is not taken here", found=found, expected=_PLAIN
    )


def _too_large(environ: dict[str, Any], limit: int, found: int) -> CaxtonError:
    _close_after(environ)
    return CaxtonError(
        Code.PAYLOAD_TOO_LARGE,
        f"the body is larger than the {limit} bytes taken here",
        found_bytes=found,
        limit_bytes=limit,
    )
