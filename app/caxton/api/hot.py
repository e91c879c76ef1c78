"""The two routes that carry the load, as plain functions of a WSGI environ: invoke, and accept messages.

Owns what these routes do; Flask's views and the short cut in front of Flask both call them. Must never
differ between the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import gevent
import msgspec

from caxton.api import batch, body, permissions
from caxton.api.gateway import Gateway, client_fd
from caxton.api.trace import ENVIRON_AGENT, ENVIRON_KEY
from caxton.protocol.access import Caller
from caxton.protocol.errors import CaxtonError, Code, ErrorBody
from caxton.protocol.ids import idempotent_id
from caxton.protocol.jsontext import decode
from caxton.protocol.messages import Message
from caxton.protocol.names import CLIENT_PREFIX, require_agent_name
from caxton.protocol.operations import Invoke, Submit
from caxton.protocol.requests import InvokeBody, MessageBody, invoke_message, parse_message, to_message, too_large
from caxton.protocol.views import ItemView

MARGIN_SECONDS: Final = 5.0
"""How much longer than the caller's timeout the router may take to say so."""
_IDEMPOTENCY_KEY: Final = re.compile(r"[!-~]{1,255}")
YIELD_EVERY: Final = 250
"""Messages parsed before other callers of this worker get a turn."""

_invoke_decoder = msgspec.json.Decoder(InvokeBody)
_items_decoder = msgspec.json.Decoder(list[ItemView])
_encode = msgspec.json.encode
_REPLY_PREFIX: Final = b'{"reply":'
_NAMES_ITS_ID: Final = b'"message_id"'
"""What is in every message whose sender chose its id."""
_INVOKE: Final = permissions.PERMISSION_OF[permissions.INVOKE]
_SUBMIT: Final = permissions.PERMISSION_OF[permissions.SUBMIT]
JsonAnswer = tuple[int, bytes, str | None]
"""Status, JSON text, Location."""


class _Invoked(msgspec.Struct):
    reply: msgspec.Raw = msgspec.Raw(b"")
    job: msgspec.Raw = msgspec.Raw(b"")


class _Job(msgspec.Struct):
    job_id: str


class Accepted(NamedTuple):
    """What POST /messages answers: the items, and the first error if nothing at all was accepted."""

    items: bytes
    refused: ErrorBody | None


def invoke(here: Gateway, environ: dict[str, Any], name: str) -> JsonAnswer:
    """Sends one message to an agent and waits for its outcome, or answers a job at once."""
    caller = here.admit(environ, _INVOKE)
    subject = caller.subject
    require_agent_name(name)
    environ[ENVIRON_AGENT] = name
    request = decode(body.read_json(environ, here.max_content + body.ENVELOPE_BYTES), _invoke_decoder)
    key = idempotency_key(environ)
    message = invoke_message(
        request,
        receiver=name,
        sender=CLIENT_PREFIX + subject,
        traceparent=environ[ENVIRON_KEY].traceparent,
        max_bytes=here.max_content,
        message_id=idempotent_id(subject, key) if key else None,
    )
    seconds = request.timeout_seconds or here.timeout
    as_job = prefers_job(environ)
    known = key is not None or request.message_id is not None
    args = Invoke(message, seconds, request.delivery, as_job=as_job, idempotent=known)
    result = here.router.call("invoke", args, timeout=seconds + MARGIN_SECONDS, fd=client_fd(environ), caller=caller)
    if result.startswith(_REPLY_PREFIX) and not as_job:
        return 200, result[len(_REPLY_PREFIX) : -1], None
    return _job_answer(msgspec.json.decode(result, type=_Invoked))


def submit(here: Gateway, environ: dict[str, Any]) -> JsonAnswer:
    """Accepts one message, a JSON array or NDJSON; every item is answered on its own."""
    caller = here.admit(environ, _SUBMIT)
    data = _read_messages(here, environ)
    single = not isinstance(data, list)
    texts = [data] if isinstance(data, bytes) else data
    here.limits.more(environ, len(texts) - 1)
    accepted = _accept(here, environ, caller, texts)
    if accepted.refused is not None:
        raise _nothing_accepted(accepted, single)
    if single:
        return 202, accepted.items[1:-1], None
    return 202, b'{"items":' + accepted.items + b"}", None


def prefers_job(environ: dict[str, Any]) -> bool:
    """Whether the client asked for `Prefer: respond-async` (RFC 7240)."""
    text: str = environ.get("HTTP_PREFER", "")
    return bool(text) and any(part.partition(";")[0].strip().lower() == "respond-async" for part in text.split(","))


def _job_answer(invoked: _Invoked) -> JsonAnswer:
    if bytes(invoked.reply):
        return 200, bytes(invoked.reply), None
    if not bytes(invoked.job):
        raise CaxtonError(Code.INTERNAL_ERROR, "the router answered neither a reply nor a job")
    text = bytes(invoked.job)
    return 202, text, f"/api/v1/jobs/{msgspec.json.decode(text, type=_Job).job_id}"


def idempotency_key(environ: dict[str, Any]) -> str | None:
    """The header, or `INVALID_REQUEST` for one that is none."""
    key: str | None = environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is None or _IDEMPOTENCY_KEY.fullmatch(key):
        return key
    raise CaxtonError(
        Code.INVALID_REQUEST,
        "Idempotency-Key: it is empty, too long or not plain text",
        path="Idempotency-Key",
        expected="1 to 255 visible ASCII characters",
    )


def _read_messages(here: Gateway, environ: dict[str, Any]) -> bytes | list[bytes]:
    """One message's text, or the texts of a batch."""
    kind = body.require_type(environ, body.JSON, body.NDJSON)
    if kind == body.NDJSON:
        data = body.read(environ, body.BATCH_BYTES)
        return batch.split_lines(data)
    data = body.read(environ, body.BATCH_BYTES)
    if not data.lstrip(b" \t\r\n").startswith(b"["):
        return data
    return batch.split_array(data)


def _accept(here: Gateway, environ: dict[str, Any], caller: Caller, texts: list[bytes]) -> Accepted:
    subject = caller.subject
    key = idempotency_key(environ)
    parse = _parser(here, environ, subject)
    messages: list[Message] = []
    refused: dict[int, ItemView] = {}
    for index, text in enumerate(texts):
        if index % YIELD_EVERY == YIELD_EVERY - 1:
            gevent.sleep(0)
        try:
            messages.append(parse(text, idempotent_id(subject, key, index) if key else None))
        except CaxtonError as error:
            refused[index] = ItemView(error=error.body())
    result = b"[]"
    if len(messages) == 1:
        environ[ENVIRON_AGENT] = messages[0].receiver
    if messages:
        fresh = key is None and not any(_NAMES_ITS_ID in text for text in texts)
        result = here.router.call("submit", Submit(messages, fresh), timeout=here.timeout, caller=caller)
    if not refused and b'"error"' not in result:
        return Accepted(result, None)
    return _merge(len(texts), refused, _items_decoder.decode(result))


def _parser(here: Gateway, environ: dict[str, Any], subject: str) -> Callable[[bytes, str | None], Message]:
    sender = CLIENT_PREFIX + subject
    traceparent = environ[ENVIRON_KEY].traceparent

    def parse(text: bytes, message_id: str | None) -> Message:
        if len(text) > here.max_content + body.ENVELOPE_BYTES:  # before it costs anything
            raise too_large(len(text), here.max_content)
        given: MessageBody = parse_message(text)
        return to_message(
            given, sender=sender, traceparent=traceparent, max_bytes=here.max_content, message_id=message_id
        )

    return parse


def _merge(count: int, refused: dict[int, ItemView], answered: list[ItemView]) -> Accepted:
    """The items in the order of the request; those that never reached the router in between."""
    rest = iter(answered)
    items = [refused.get(index) or next(rest) for index in range(count)]
    errors = [item.error for item in items if item.error is not None]
    return Accepted(_encode(items), errors[0] if len(errors) == count else None)


class NothingAcceptedError(CaxtonError):
    """A batch of which nothing was accepted: the first error's status, every item's answer."""

    items: bytes = b"[]"

    def items_view(self) -> msgspec.Raw:
        """Every item's answer, as JSON text."""
        return msgspec.Raw(self.items)


def _nothing_accepted(accepted: Accepted, single: bool) -> CaxtonError:
    assert accepted.refused is not None
    first = accepted.refused
    if single:
        return CaxtonError.from_body(first)
    error = NothingAcceptedError(first.code, first.message, **first.details)
    error.items = accepted.items
    return error
