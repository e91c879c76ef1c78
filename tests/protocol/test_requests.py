from __future__ import annotations

import base64
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.protocol.agents import AgentConfig
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import is_uuid
from caxton.protocol.messages import Performative
from caxton.protocol.requests import (
    DeployBody,
    checked_id,
    content,
    instant,
    module_from_base64,
    parse_message,
    performative,
    receiver,
    to_message,
)


@given(st.sampled_from(list(Performative)), st.data())
def test_performatives_in_any_case_and_with_dashes(known: Performative, data: st.DataObject) -> None:
    text = "".join(data.draw(st.sampled_from([c.lower(), c.upper()])) for c in known.value)
    assert performative(text.replace("_", data.draw(st.sampled_from("_-")))) == known.value


@given(st.text(max_size=20))
def test_anything_else_is_no_performative(text: str) -> None:
    if text.lower().replace("-", "_") not in set(Performative):
        with pytest.raises(CaxtonError):
            performative(text)


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1)))
def test_instants(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    assert instant(aware.isoformat(), "reply_by") == pytest.approx(aware.timestamp())


@pytest.mark.parametrize(
    "text", ["", "now", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "1700000000"]
)
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(CaxtonError):
        instant(text, "reply_by")


@pytest.mark.parametrize("text", ["a", "team/a", "capability:sum", "topic:news/all"])
def test_receivers(text: str) -> None:
    assert receiver(text) == text


@pytest.mark.parametrize(
    "text", ["", "A", "client:x", "capability:", "topic:A", "a b", "timer:1", "capability:topic:x y"]
)
def test_what_is_no_receiver(text: str) -> None:
    with pytest.raises(CaxtonError):
        receiver(text)


@given(st.binary(max_size=50))
def test_bytes_are_base64(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    raw = msgspec.Raw(msgspec.json.encode(text))
    assert content(raw, "bytes", 1000) == bytes(raw)
    assert module_from_base64(text) == data
    with pytest.raises(CaxtonError):
        content(msgspec.Raw(msgspec.json.encode(text + "!")), "bytes", 1000)


def test_content_has_a_limit() -> None:
    with pytest.raises(CaxtonError) as caught:
        content(msgspec.Raw(b'"12345678"'), None, 9)
    assert caught.value.code is Code.PAYLOAD_TOO_LARGE


def test_ids_are_canonical() -> None:
    text = "2F0C1A52-7A4E-4B62-9D0B-3F1F1F7B9A10"
    assert checked_id(text) == text.lower()
    assert checked_id(None) is None
    with pytest.raises(CaxtonError):
        checked_id("{" + text + "}")


def test_a_message_is_completed_by_the_node() -> None:
    body = parse_message(b'{"Performative": "CFP", "receiver": "a", "REPLY-BY": "2026-01-01T00:00:00Z"}')
    message = to_message(body, sender="client:x", traceparent="t", max_bytes=10, message_id=None)
    assert (message.performative, message.sender, message.content) == ("cfp", "client:x", b"null")
    assert message.reply_by == 1767225600.0
    assert is_uuid(message.message_id)
    assert message.conversation_id == message.message_id


def test_a_deployment_body_has_every_field_of_a_configuration() -> None:
    assert set(AgentConfig.__struct_fields__) < set(DeployBody.__struct_fields__)
