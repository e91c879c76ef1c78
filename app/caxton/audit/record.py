"""A record's bytes, and the hash that chains them.

Owns the line: JSON whose last member is the SHA-256 of everything before that member, closed by `}`. Must never
write one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from caxton.protocol.access import Caller
from caxton.protocol.audit import Actor, Head, Phase, Record

GENESIS: Final = "0" * 64
"""What the first record of a chain has before it."""
MAX_LINE_BYTES: Final = 32_768
MAX_DETAIL_BYTES: Final = 6_000
_MAX_TEXT: Final = 256
_MAX_ITEMS: Final = 32
_MAX_DEPTH: Final = 4
_MAX_INTEGER: Final = 1 << 63
_MARK: Final = b',"hash":"'
_TAIL: Final = len(_MARK) + 64 + len(b'"}')
_BLANK: Final = _MARK + b'"}'
"""How a record ends that has no hash yet."""
_decode = msgspec.json.Decoder(Record).decode
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Draft:
    """A record before it has its place in the chain."""

    action: str
    phase: Phase
    actor: Actor
    target: str = ""
    outcome: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    request_id: str = ""
    of: int | None = None


class BrokenLineError(Exception):
    """A line that is no record, or not the one that was written. `edited`: it was a record once."""

    def __init__(self, reason: str, *, edited: bool = False) -> None:
        super().__init__(reason)
        self.edited = edited


def actor_of(caller: Caller) -> Actor:
    """The caller as the audit names them."""
    return Actor(caller.subject, caller.role.value, caller.namespace, caller.credential, caller.address)


def write_line(draft: Draft, after: Head, moment: str, node: str) -> tuple[bytes, Head]:
    """The line (with its end) that follows the record `after`, and the head that it makes."""
    blank = _encoder.encode(
        Record(
            seq=after.seq + 1,
            time=moment,
            node=node,
            action=draft.action,
            phase=draft.phase,
            of=draft.of,
            actor=_named(draft.actor),
            target=text(draft.target),
            outcome=draft.outcome,
            details=bounded(draft.details),
            request_id=text(draft.request_id),
            previous=after.hash,
            hash="",
        )
    )
    members = blank.removesuffix(_BLANK)
    digest = hashlib.sha256(members + b"}").hexdigest()
    return members + _MARK + digest.encode() + b'"}\n', Head(after.seq + 1, digest)


def read_line(line: bytes) -> Record:
    """The record of a line with or without its end; `BrokenLineError` unless it is what was written."""
    line = line.removesuffix(b"\n")
    try:
        record = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BrokenLineError(f"no record: {error}") from None
    if not line[-_TAIL:].startswith(_MARK):
        raise BrokenLineError("its hash is not where it was written", edited=True)
    if hashlib.sha256(line[:-_TAIL] + b"}").hexdigest() != record.hash:
        raise BrokenLineError("its content is not what was hashed", edited=True)
    return record


def bounded(details: dict[str, Any]) -> dict[str, Any]:
    """`details` as JSON-ready data of bounded size; what was left out is said."""
    made = {text(str(key)): _bounded(value, _MAX_DEPTH) for key, value in list(details.items())[:_MAX_ITEMS]}
    if len(_encoder.encode(made)) <= MAX_DETAIL_BYTES:
        return made
    return {"left_out": sorted(made)}


def text(value: str) -> str:
    """`value`, cut to a bounded length, as characters that JSON can hold."""
    cut = value if len(value) <= _MAX_TEXT else value[: _MAX_TEXT - 1] + "…"
    return cut.encode("utf-8", "backslashreplace").decode()


def _named(actor: Actor) -> Actor:
    namespace = None if actor.namespace is None else text(actor.namespace)
    return Actor(text(actor.subject), text(actor.role), namespace, text(actor.credential), text(actor.address))


def _bounded(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < _MAX_INTEGER else str(value)
    if isinstance(value, str):
        return text(value)
    if depth > 0 and isinstance(value, dict):
        return {text(str(key)): _bounded(one, depth - 1) for key, one in list(value.items())[:_MAX_ITEMS]}
    if depth > 0 and isinstance(value, list | tuple | set | frozenset):
        items = [_bounded(one, depth - 1) for one in list(value)[:_MAX_ITEMS]]
        return items if len(value) <= _MAX_ITEMS else [*items, f"and {len(value) - _MAX_ITEMS} more"]
    return text(str(value))
