"""What a `command` agent reads: text as text, structures as JSON, bytes as bytes."""

from __future__ import annotations

import base64

import msgspec
import pytest

from caxton.executor.worker.inbox import content_bytes
from caxton.protocol.messages import Message


def message(content: bytes, language: str | None = None) -> Message:
    return Message("id", "request", "client:test", "agent", content, "conversation", language=language)


@pytest.mark.parametrize(
    ("content", "language", "expected"),
    [
        (b'"two\\nlines"', None, b"two\nlines"),
        (b'{"a": "b"}', None, b'{"a": "b"}'),
        (b"7", None, b"7"),
        (msgspec.json.encode(base64.b64encode(b"\0\xff").decode()), "bytes", b"\0\xff"),
        (b'"not base64!"', "bytes", b'"not base64!"'),
    ],
)
def test_standard_input(content: bytes, language: str | None, expected: bytes) -> None:
    assert content_bytes(message(content, language)) == expected
