"""What callers are told when another node does not answer.

Owns these errors: all are `NOT_READY` with `node`, and `not_sent` where nothing can have been done. Must never be
raised for what the other node itself answers.
"""

from __future__ import annotations

from caxton.protocol.errors import CaxtonError, Code


def unreachable(node: str, why: str = "") -> CaxtonError:
    """There is no link: it has not got the call."""
    reason = {"reason": why} if why else {}
    return CaxtonError(Code.NOT_READY, f"{node} cannot be reached now", node=node, not_sent=True, **reason)


def busy(node: str) -> CaxtonError:
    """More calls are under way than one link takes; this one was not sent."""
    text = f"too many calls to {node} are under way; try again"
    return CaxtonError(Code.NOT_READY, text, node=node, not_sent=True)


def late(node: str) -> CaxtonError:
    """It has the call, perhaps, and has not answered in time."""
    text = f"{node} did not answer in time; what was asked may or may not have been done"
    return CaxtonError(Code.NOT_READY, text, node=node)


def lost(node: str) -> CaxtonError:
    """The connection ended under the call."""
    text = f"the link to {node} was lost; what was asked may or may not have been done"
    return CaxtonError(Code.NOT_READY, text, node=node)
