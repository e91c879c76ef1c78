"""What clients send: the typed bodies of requests, and a message made of one (spec/api.md, spec/messages.md).

Owns which fields a client may set. Must never trust a sender, or know about HTTP.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw

from caxton.protocol.access import MAX_PATTERNS, SUBJECT, Role
from caxton.protocol.agents import AgentConfig
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import is_uuid, new_id
from caxton.protocol.jsontext import decode, is_json
from caxton.protocol.messages import DEFAULT_PRIORITY, MAX_CORRELATION_LENGTH, Delivery, Message, Performative
from caxton.protocol.names import CAPABILITY_PREFIX, TOPIC_PREFIX, is_agent_name

MAX_BATCH: Final = 10_000
Correlation = Annotated[str, Meta(min_length=1, max_length=MAX_CORRELATION_LENGTH)]
Priority = Annotated[int, Meta(ge=1, le=10)]
Timeout = Annotated[float, Meta(gt=0, le=86_400)]


def _null() -> Raw:
    """Content that was left out. A factory, because JSON Schema cannot show raw text as a default."""
    return Raw(b"null")


class MessageBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False, kw_only=True):
    """One message as a client sends it. `content`: any JSON, or base64 with `"language": "bytes"`."""

    performative: str
    receiver: str
    content: Raw = msgspec.field(default_factory=_null)
    message_id: str | None = None
    conversation_id: Correlation | None = None
    reply_with: Correlation | None = None
    in_reply_to: Correlation | None = None
    reply_by: str | None = None
    protocol: Correlation | None = None
    ontology: Correlation | None = None
    language: Correlation | None = None
    priority: Priority = DEFAULT_PRIORITY


class InvokeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False, kw_only=True):
    """Body of POST /agents/{name}/invoke. `timeout_seconds` None = the agent's usual bound."""

    content: Raw = msgspec.field(default_factory=_null)
    performative: str = Performative.REQUEST.value
    timeout_seconds: Timeout | None = None
    delivery: Delivery = Delivery.EPHEMERAL
    message_id: str | None = None
    conversation_id: Correlation | None = None
    reply_with: Correlation | None = None
    protocol: Correlation | None = None
    ontology: Correlation | None = None
    language: Correlation | None = None
    priority: Priority = DEFAULT_PRIORITY


class DeployBody(AgentConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """JSON body of POST /agents: the configuration with its module, as base64 or as text, and its signature."""

    wasm_module: str | None = None
    wat: str | None = None
    signature: str | None = None


class StopBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /agents/{name}/stop."""

    grace_period_seconds: Annotated[float, Meta(ge=0, le=3600)] = 30.0


class DrainBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /admin/drain."""

    wait_seconds: Annotated[float, Meta(ge=0, le=3600)] = 60.0


class ReplayBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /dead-letters/replay: by id, or all of an agent; `to` another agent, or `version` of theirs."""

    message_ids: Annotated[list[str], Meta(max_length=MAX_BATCH)] = []
    agent: str | None = None
    to: str | None = None
    version: Annotated[int, Meta(ge=1)] | None = None


class EditBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /dead-letters/{id}/replay: other content, another agent, both, or `{}`."""

    content: Raw | msgspec.UnsetType = msgspec.UNSET
    to: str | None = None


class PurgeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /dead-letters/purge: by id, all of an agent, or everything."""

    message_ids: Annotated[list[str], Meta(max_length=MAX_BATCH)] = []
    agent: str | None = None
    everything: bool = False


class KeyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /admin/keys. `ttl_seconds` None = no expiry; `agents`: glob patterns, for an agent-client."""

    subject: Annotated[str, Meta(pattern=f"^{SUBJECT}$")]
    role: Role
    namespace: str | None = None
    agents: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MAX_PATTERNS)] | None = None
    ttl_seconds: Annotated[float, Meta(gt=0, le=10 * 365 * 86_400)] | None = None


class RotateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /admin/keys/{key_id}/rotate: how long the old key goes on, and the new one lives."""

    overlap_seconds: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 86_400.0
    ttl_seconds: Annotated[float, Meta(gt=0, le=10 * 365 * 86_400)] | None = None


class LogLevelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /admin/log-level."""

    level: Annotated[str, Meta(pattern="^(?:debug|info|warning|error)$")]


_message_decoder = msgspec.json.Decoder(MessageBody)
_performatives: Final = {p.value: p.value for p in Performative}
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_message(data: bytes) -> MessageBody:
    """One message from JSON; field names may be written with `-` and in any case."""
    try:
        return decode(data, _message_decoder)
    except CaxtonError as error:
        folded = None if error.code is not Code.INVALID_REQUEST else _folded(data)
        if folded is None:
            raise
    return decode(folded, _message_decoder)


def to_message(
    body: MessageBody,
    *,
    sender: str,
    traceparent: str | None,
    max_bytes: int,
    message_id: str | None = None,
) -> Message:
    """The message that `body` stands for, checked. `message_id`: for a body that names none (idempotency key)."""
    chosen_id = checked_id(body.message_id) or message_id or new_id()
    return Message(
        message_id=chosen_id,
        performative=performative(body.performative),
        sender=sender,
        receiver=receiver(body.receiver),
        content=content(body.content, body.language, max_bytes),
        conversation_id=body.conversation_id or chosen_id,
        priority=body.priority,
        reply_with=body.reply_with,
        in_reply_to=body.in_reply_to,
        reply_by=instant(body.reply_by, "reply_by") if body.reply_by is not None else None,
        protocol=body.protocol,
        ontology=body.ontology,
        language=body.language,
        traceparent=traceparent,
    )


def invoke_message(
    body: InvokeBody, *, receiver: str, sender: str, traceparent: str | None, max_bytes: int, message_id: str | None
) -> Message:
    """The message that an invocation stands for; `message_id` as for `to_message`."""
    chosen_id = checked_id(body.message_id) or message_id or new_id()
    return Message(
        message_id=chosen_id,
        performative=performative(body.performative),
        sender=sender,
        receiver=receiver,
        content=content(body.content, body.language, max_bytes),
        conversation_id=body.conversation_id or chosen_id,
        priority=body.priority,
        reply_with=body.reply_with,
        protocol=body.protocol,
        ontology=body.ontology,
        language=body.language,
        traceparent=traceparent,
    )


def performative(text: str) -> str:
    """The performative, with `-` for `_` and any case accepted; else `INVALID_REQUEST`."""
    known = _performatives.get(text) or _performatives.get(text.lower().replace("-", "_"))
    if known is None:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"performative: {text[:80]!r} is none",
            path="performative",
            found=text[:80],
            expected=list(_performatives),
        )
    return known


def receiver(text: str) -> str:
    """An agent's name, `capability:NAME` or `topic:NAME`; else `INVALID_REQUEST`."""
    name = text.removeprefix(CAPABILITY_PREFIX).removeprefix(TOPIC_PREFIX)
    if not is_agent_name(name):
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"receiver: {text[:80]!r} is neither an agent name nor capability:NAME nor topic:NAME",
            path="receiver",
            found=text[:80],
            expected="an agent name, capability:NAME or topic:NAME",
        )
    return text


def content(raw: Raw, language: str | None, max_bytes: int) -> bytes:
    """The content's JSON text in UTF-8; base64 is checked when `language` is `bytes`."""
    data = bytes(raw)
    if len(data) > max_bytes:
        raise too_large(len(data), max_bytes)
    if language == "bytes":
        _check_base64(data)
    elif b"\\" in data and _SURROGATE.search(data) and not is_json(data):
        raise _bad_content("half of a surrogate pair is no character", "pairs of \\u escapes")
    return data


def too_large(found: int, limit: int) -> CaxtonError:
    """A message of `found` bytes where `limit` are taken."""
    return CaxtonError(
        Code.PAYLOAD_TOO_LARGE,
        f"content: {found} bytes are more than max_message_size allows ({limit})",
        path="content",
        found_bytes=found,
        limit_bytes=limit,
    )


def checked_id(text: str | None) -> str | None:
    """A message id from outside in canonical form; else `INVALID_REQUEST`."""
    if text is None or is_uuid(text):
        return text
    folded = text.lower()
    if is_uuid(folded):
        return folded
    raise CaxtonError(
        Code.INVALID_REQUEST,
        f"message_id: {text[:80]!r} is not a UUID",
        path="message_id",
        found=text[:80],
        expected="a UUID such as 2f0c1a52-7a4e-4b62-9d0b-3f1f1f7b9a10",
    )


def instant(text: str, path: str) -> float:
    """RFC 3339 with a time zone as seconds since the epoch; else `INVALID_REQUEST`."""
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"{path}: {text[:80]!r} is not a time",
            path=path,
            found=text[:80],
            expected="RFC 3339 with a time zone, such as 2026-01-31T12:00:00Z",
        )
    return moment.timestamp()


def module_from_base64(text: str) -> bytes:
    """The bytes of `wasm_module`; else `INVALID_REQUEST`."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CaxtonError(
            Code.INVALID_REQUEST, f"wasm_module: {error}", path="wasm_module", expected="base64"
        ) from None


def _check_base64(data: bytes) -> None:
    try:
        base64.b64decode(msgspec.json.decode(data, type=str), validate=True)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise _bad_content('"language": "bytes" needs base64', "a string of base64") from None


def _bad_content(reason: str, expected: str) -> CaxtonError:
    return CaxtonError(Code.INVALID_REQUEST, f"content: {reason}", path="content", expected=expected)


def _folded(data: bytes) -> bytes | None:
    """`data` with its field names in snake_case, or None when nothing changes or two would become one."""
    try:
        fields: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError):
        return None
    names = [name.lower().replace("-", "_") for name in fields]
    if names == list(fields) or len(set(names)) != len(names):
        return None
    return msgspec.json.encode(dict(zip(names, fields.values(), strict=True)))
