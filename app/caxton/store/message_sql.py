"""Messages as rows: columns, statements, and the way from a row back to a `MessageRow`.

Owns the mapping between `Message` and the table. Must never decide which rows change.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from caxton.protocol.messages import Delivery, Message, Outcome, State
from caxton.store.rows import Accept, MessageRow
from caxton.store.statements import MultiRow, insert

COLUMNS: Final = (
    "seq", "message_id", "performative", "sender", "receiver", "content", "conversation_id", "priority",
    "reply_with", "in_reply_to", "reply_by", "protocol", "ontology", "language", "traceparent",
    "state", "accepted_at", "digest", "delivery", "attempts", "next_at", "finished_at", "outcome",
)  # fmt: skip
STORED: Final = (*COLUMNS, "handed")
"""Those of a row: what is `handed` is said apart, for hardly any message is."""
SELECT: Final = f"SELECT {', '.join(STORED)} FROM message"

INSERT: Final = insert("message", COLUMNS, "ON CONFLICT (message_id) DO NOTHING")
SETTLE: Final = MultiRow(
    "UPDATE message SET state = v.column2, finished_at = v.column3, attempts = v.column4, outcome = v.column5, "
    "next_at = NULL FROM (VALUES",
    5,
    ") v WHERE message.seq = v.column1",
)
KNOWN: Final = MultiRow(
    "SELECT message_id, receiver, state, digest, outcome FROM message WHERE message_id IN (", 1, ")", scalar=True
)
PARTIES: Final = MultiRow(
    "SELECT message_id, sender, receiver FROM message WHERE message_id IN (", 1, ")", scalar=True
)
HANDED: Final = MultiRow("UPDATE message SET handed = 1 WHERE message_id IN (", 1, ")", scalar=True)
STANDING: Final = MultiRow(
    "SELECT message_id, seq, receiver, state, content IS NULL FROM message WHERE message_id IN (", 1, ")", scalar=True
)

# Plain strings: sqlite3 binds a subclass of str only after asking for adapters.
STATES: Final[dict[str, str]] = {state.value: state.value for state in State if state is not State.IN_FLIGHT}
DELIVERIES: Final[dict[str, str]] = {delivery.value: delivery.value for delivery in Delivery}

encode_outcome: Final = msgspec.msgpack.Encoder().encode
decode_outcome: Final = msgspec.msgpack.Decoder(Outcome).decode


def row_values(seq: int, accept: Accept, state: str, end: EndValues | None) -> tuple[Any, ...]:
    """The values of `COLUMNS` for a new message; `end` when it is already over."""
    message = accept.message
    finished_at, attempts, outcome = end or (None, accept.attempts, None)
    return (
        seq, message.message_id, str(message.performative), message.sender, message.receiver, message.content,
        message.conversation_id, message.priority, message.reply_with, message.in_reply_to, message.reply_by,
        message.protocol, message.ontology, message.language, message.traceparent,
        state, accept.accepted_at, accept.digest, DELIVERIES.get(accept.delivery, accept.delivery), attempts, None,
        finished_at, outcome,
    )  # fmt: skip


EndValues = tuple[float, int, bytes | None]
"""finished_at, attempts, encoded outcome."""


def message_row(values: tuple[Any, ...]) -> MessageRow:
    """The inverse of `row_values` for a row of `SELECT`."""
    outcome: bytes | None = values[22]
    return MessageRow(
        seq=values[0],
        message=Message(
            message_id=values[1],
            performative=values[2],
            sender=values[3],
            receiver=values[4],
            content=values[5] or b"",
            conversation_id=values[6],
            priority=values[7],
            reply_with=values[8],
            in_reply_to=values[9],
            reply_by=values[10],
            protocol=values[11],
            ontology=values[12],
            language=values[13],
            traceparent=values[14],
        ),
        state=State(values[15]),
        accepted_at=values[16],
        digest=values[17],
        delivery=values[18],
        attempts=values[19],
        next_at=values[20],
        finished_at=values[21],
        outcome=None if outcome is None else decode_outcome(outcome),
        content_dropped=values[5] is None,
        handed=bool(values[23]),
    )
