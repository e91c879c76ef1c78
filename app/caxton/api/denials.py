"""Failed logins and denied requests, counted here and told to the router, which keeps the audit.

Owns what is counted in one worker between two reports. Must never delay a request, nor grow with the number of
addresses that a storm comes from.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import gevent
import msgspec

from caxton.api.auth import CALLER
from caxton.api.limits.gate import LOGIN
from caxton.api.proxies import CLIENT
from caxton.api.router_client import RouterClient
from caxton.api.trace import ENVIRON_KEY
from caxton.protocol.access import Caller
from caxton.protocol.audit import AuditNote, AuditNotes
from caxton.protocol.errors import CaxtonError, Code

REPORT_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 5.0
MOST_KINDS: Final = 256
_ACTIONS: Final = {Code.UNAUTHORIZED: "login.failed", Code.FORBIDDEN: "access.denied"}
_ELSEWHERE: Final = "elsewhere"
"""Stands for the addresses beyond those that are counted one by one."""
Key = tuple[str, str, str]
log = logging.getLogger(__name__)


class Denials:
    """One per worker."""

    def __init__(self, router: RouterClient) -> None:
        self._router = router
        self._counted: dict[Key, AuditNote] = {}
        self._reporting = False

    def saw(self, error: Exception, environ: dict[str, Any]) -> None:
        """A request was refused with `error`; counted if that is about who may do what."""
        if not isinstance(error, CaxtonError):
            return
        # Of too many failed logins from one address the next ones are not looked at; they are no less refused.
        code = Code.UNAUTHORIZED if error.details.get("limited_by") == LOGIN else error.code
        if code not in _ACTIONS:
            return
        self._count(_note(code, environ))
        if not self._reporting:
            self._reporting = True
            gevent.spawn_later(REPORT_SECONDS, self._report)

    def _count(self, note: AuditNote) -> None:
        key = (note.action, note.address, note.subject)
        if key not in self._counted and len(self._counted) >= MOST_KINDS:
            key = (note.action, _ELSEWHERE, "")
            note = msgspec.structs.replace(note, address=_ELSEWHERE, subject="", credential="none")
        before = self._counted.get(key)
        count = note.count + (before.count if before else 0)
        self._counted[key] = msgspec.structs.replace(before or note, count=count)

    def _report(self) -> None:
        """Tells the router; what it cannot be told now is told with the next refusal."""
        counted, self._counted, self._reporting = self._counted, {}, False
        try:
            self._router.call("audit.note", AuditNotes(list(counted.values())), timeout=PATIENCE_SECONDS)
        except CaxtonError as error:
            log.warning("refusals are not in the audit yet: %s", error.message)
            for note in counted.values():
                self._count(note)


def _note(code: Code, environ: dict[str, Any]) -> AuditNote:
    caller: Caller | None = environ.get(CALLER)
    made = environ.get(ENVIRON_KEY)
    return AuditNote(
        action=_ACTIONS[code],
        target=f"{environ.get('REQUEST_METHOD', '')} {environ.get('PATH_INFO', '')}"[:200],
        outcome=code.value,
        subject=caller.subject if caller else "",
        credential=caller.credential if caller else "none",
        address=(caller.address if caller else "") or environ.get(CLIENT) or environ.get("REMOTE_ADDR", ""),
        request_id=made.request_id if made else "",
    )
