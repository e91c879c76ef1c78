"""A message as the guest sees it: JSON text, or bytes on its standard input.

Owns the way in. Must never change what a message says.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime

import msgspec

from caxton.protocol.messages import Message


class GuestMessage(msgspec.Struct, omit_defaults=True, gc=False):
    """The JSON of spec/messages.md; absent fields are left out."""

    message_id: str
    performative: str
    sender: str
    receiver: str
    content: msgspec.Raw
    conversation_id: str
    priority: int
    reply_with: str | None = None
    in_reply_to: str | None = None
    reply_by: str | None = None
    protocol: str | None = None
    ontology: str | None = None
    language: str | None = None
    trace_context: str | None = None


_encode = msgspec.json.Encoder().encode


def message_json(message: Message) -> bytes:
    """The whole message as JSON."""
    deadline = None
    if message.reply_by is not None:
        deadline = datetime.fromtimestamp(message.reply_by, UTC).isoformat().replace("+00:00", "Z")
    return _encode(
        GuestMessage(
            message.message_id,
            message.performative,
            message.sender,
            message.receiver,
            msgspec.Raw(message.content or b"null"),
            message.conversation_id,
            message.priority,
            message.reply_with,
            message.in_reply_to,
            deadline,
            message.protocol,
            message.ontology,
            message.language,
            message.traceparent,
        )
    )


def content_bytes(message: Message) -> bytes:
    """What a `command` reads on its standard input.

    A JSON string arrives as its text, so that `"a b"` is what a shell's pipe would bring; any other content as
    JSON text; with `language = "bytes"` the bytes behind the base64.
    """
    if not message.content.startswith(b'"'):
        return message.content
    try:
        text = msgspec.json.decode(message.content, type=str)
        return base64.b64decode(text, validate=True) if message.language == "bytes" else text.encode()
    except (msgspec.MsgspecError, binascii.Error):
        return message.content
