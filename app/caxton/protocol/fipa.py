"""The FIPA interaction protocols that the node checks, as tables (spec/messages.md; FIPA SC00026 to SC00035).

Owns which step may follow which. Pure: must never know a conversation, a clock or a message's content.

Each protocol is between two parties: the initiator, who began, and a participant. A contract net with many
bidders is one such pair for every bidder, all in one conversation.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """Which of the two parties."""

    INITIATOR = "initiator"
    PARTICIPANT = "participant"


Step = tuple[Role, str]
"""Who says it, and the performative."""
Table = dict[str, dict[Step, str]]
"""State → step → the state after it."""

NEW: Final = "new"
"""Nothing was said yet."""
EXPIRED: Final = "expired"
CANCELLED: Final = "cancelled"
ENDS: Final = frozenset({"done", "refused", "rejected", "failed", "not_understood", CANCELLED, EXPIRED})
"""States in which nothing more may be said. `expired` and, for a message that is cancelled, `cancelled` are the
node's own."""
_OURS, _THEIRS = Role.INITIATOR, Role.PARTICIPANT
_CANCEL: Final[dict[Step, str]] = {(_OURS, "cancel"): "cancelling"}
_RESULT: Final[dict[Step, str]] = {(_THEIRS, "inform"): "done", (_THEIRS, "failure"): "failed"}
_NO: Final[dict[Step, str]] = {
    (_THEIRS, "refuse"): "refused",
    (_THEIRS, "not_understood"): "not_understood",
    (_THEIRS, "failure"): "failed",
}
_CANCELLING: Final[dict[Step, str]] = {
    (_THEIRS, "inform"): CANCELLED,
    (_THEIRS, "failure"): "failed",
    (_THEIRS, "refuse"): CANCELLED,
    (_THEIRS, "not_understood"): CANCELLED,
    (_THEIRS, "agree"): "cancelling",  # it crossed the cancel
    (_THEIRS, "propose"): "cancelling",
}
_TRUTH: Final[dict[Step, str]] = {(_THEIRS, "confirm"): "done", (_THEIRS, "disconfirm"): "done"}

PROTOCOLS: Final[dict[str, Table]] = {
    "fipa-request": {
        NEW: {(_OURS, "request"): "requested"},
        "requested": {(_THEIRS, "agree"): "agreed", **_NO, **_RESULT, **_CANCEL},
        "agreed": {**_RESULT, **_CANCEL},
        "cancelling": _CANCELLING,
    },
    "fipa-query": {
        NEW: {(_OURS, "query_if"): "queried", (_OURS, "query_ref"): "queried"},
        "queried": {(_THEIRS, "agree"): "agreed", **_NO, **_RESULT, **_TRUTH, **_CANCEL},
        "agreed": {**_RESULT, **_TRUTH, **_CANCEL},
        "cancelling": _CANCELLING,
    },
    "fipa-contract-net": {
        NEW: {(_OURS, "cfp"): "called"},
        "called": {(_THEIRS, "propose"): "proposed", **_NO, **_CANCEL},
        "proposed": {(_OURS, "accept_proposal"): "accepted", (_OURS, "reject_proposal"): "rejected", **_CANCEL},
        "accepted": {**_RESULT, **_CANCEL},
        "cancelling": _CANCELLING,
    },
    "fipa-subscribe": {
        NEW: {(_OURS, "subscribe"): "subscribing"},
        "subscribing": {(_THEIRS, "agree"): "subscribed", **_NO, (_THEIRS, "inform"): "subscribed", **_CANCEL},
        "subscribed": {(_THEIRS, "inform"): "subscribed", (_THEIRS, "failure"): "failed", **_CANCEL},
        "cancelling": _CANCELLING,
    },
}
STATES: Final = frozenset(state for table in PROTOCOLS.values() for state in table) - {NEW} | ENDS


def is_checked(protocol: str | None) -> bool:
    """Whether the node knows the protocol; every other name is only passed on."""
    return protocol in PROTOCOLS


def after(protocol: str, state: str, role: Role, performative: str) -> str | None:
    """The state that the step leads to, or None when it is not allowed."""
    return PROTOCOLS[protocol].get(state, {}).get((role, performative))


def allowed(protocol: str, state: str) -> list[str]:
    """What may be said in a state, as `role: performative`; empty when it is over."""
    return sorted(f"{role}: {performative}" for role, performative in PROTOCOLS[protocol].get(state, {}))


def waiting(state: str) -> Role:
    """The party that waits for the other in this state."""
    return Role.PARTICIPANT if state == "proposed" else Role.INITIATOR
