"""The gate that every request passes: who has used up what they may ask for.

Owns the order in which buckets are looked at and who pays what. Must never decide whether credentials are right, and
never let those that are wrong cost those that are right: a failed login is paid for by its address in a bucket of its
own, and who has shown good credentials a short while ago is let through to the authenticator when that is empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, Final

from caxton.api.limits.cells import PAID, Bucket, Cells, Rate, rate
from caxton.api.limits.networks import network_of
from caxton.api.plain import environ_key
from caxton.config import Config
from caxton.protocol.access import Caller
from caxton.protocol.errors import CaxtonError, Code

IDENTITY: Final = "identity"
ADDRESS: Final = "address"
LOGIN: Final = "login"
VISITOR: Final = "visitor"
LEVEL: Final = "caxton.rate"
"""Where the environ keeps what the answer says about the caller's bucket: a limit and a backlog in ns."""
_PAYING: Final = "caxton.paying"
_NEW: Final = "caxton.new_credentials"
"""In the environ of a request whose credentials this worker does not know: what they paid in advance."""
BUCKETS: Final = "limits.cells"
KNOWN: Final = "known.cells"
_BUCKET_SETS: Final = 8_192
_KNOWN_SETS: Final = 2_048
KNOWN_SECONDS: Final = 3_600.0
"""How long credentials that were good are let through where failed logins have used up an address's bucket. They are
verified all the same."""
_MARK_SECONDS: Final = 60.0
_MOST_CACHED: Final = 8_192
_NANOSECONDS: Final = 1_000_000_000
Environ = dict[str, Any]
Headers = list[tuple[str, str]]


def _nobody(_reason: str) -> None:
    pass


class Limits:
    """One for each worker; all look at the same buckets. `count` is told why somebody was refused."""

    def __init__(self, config: Config, count: Callable[[str], None] = _nobody) -> None:
        security = config.security
        self.count = count
        self._authenticates = security.auth_enabled
        self._enabled = security.rate_limit_enabled
        self._key_header = environ_key(security.api_key_header)
        self._rate = rate(security.rate_limit_per_second, security.rate_limit_burst)
        self._strangers = rate(security.unauthenticated_per_second, security.unauthenticated_burst)
        run: Path = config.paths.run
        self._cells = Cells(run / BUCKETS, _BUCKET_SETS)
        self._known = Cells(run / KNOWN, _KNOWN_SETS)
        self._strange: dict[tuple[str, str], Bucket] = {}
        self._payers: dict[tuple[str, str | None, str], list[Bucket]] = {}
        self._marked: dict[int, float] = {}

    def before_login(self, environ: Environ) -> None:
        """`RATE_LIMITED`, before anybody looks at the credentials, where too many have failed from this address.

        Credentials that are new to this node pay for their failure in advance: of ten thousand that come at once, no
        more are looked up than the bucket has room for.
        """
        shown = self._shown(environ)
        if not shown or self._marked.get(hash(shown), 0.0) > monotonic():
            return
        refused, backlog = self._cells.pay(1, [self._stranger(LOGIN, environ)])
        if refused == PAID:
            environ[_NEW] = 1
        elif self._known.marked(self._known.bucket(LOGIN, shown, self._strangers), KNOWN_SECONDS):
            environ[_NEW] = 0
        else:
            raise self._refused(environ, LOGIN, self._strangers, backlog, 1)

    def login_failed(self, environ: Environ) -> None:
        """One more failure of this address; `RATE_LIMITED` in the place of `UNAUTHORIZED` if there were too many."""
        shown = self._shown(environ)
        if shown and self._marked.pop(hash(shown), 0.0):
            self._mark(shown, 0.0)
        if not environ.pop(_NEW, 0):
            self._charge(environ, LOGIN)

    def login_not_failed(self, environ: Environ) -> None:
        """The credentials are good, or nobody could look: what was paid in advance goes back."""
        if environ.pop(_NEW, 0):
            self._cells.pay(-1, [self._stranger(LOGIN, environ)])

    def visited(self, environ: Environ) -> None:
        """Something that needs no credentials is asked for: its address pays, if this node knows others at all."""
        if self._authenticates:
            self._charge(environ, VISITOR)

    def admit(self, environ: Environ, caller: Caller) -> None:
        """The caller's credentials are good: one request is paid for, by the identity and by the address."""
        if _NEW in environ:
            self.login_not_failed(environ)
            self._remember(self._shown(environ))
        if self._enabled:
            key = caller.address, caller.namespace, caller.subject
            environ[_PAYING] = self._payers.get(key) or self._payer(*key)
            self._pay(environ, 1)

    def more(self, environ: Environ, count: int) -> None:
        """The request turns out to be `count` messages more: all are paid for, or none is accepted."""
        if count <= 0 or _PAYING not in environ:
            return
        if count >= self._rate.burst:
            raise CaxtonError(
                Code.PAYLOAD_TOO_LARGE,
                f"{count + 1} messages in one request are more than the rate limit ever lets through at once",
                found=count + 1,
                expected=f"at most {self._rate.burst} messages ([security] rate_limit_burst)",
            )
        self._pay(environ, count)

    def headers(self, environ: Environ) -> Headers:
        """What the answer says about the bucket that is nearest to its end."""
        level = environ.get(LEVEL)
        if level is None:
            return []
        limit, backlog = level
        return [
            ("RateLimit-Limit", str(limit.burst)),
            ("RateLimit-Remaining", str((limit.horizon - backlog) // limit.interval)),
            ("RateLimit-Reset", str(-(-backlog // _NANOSECONDS))),
        ]

    def _pay(self, environ: Environ, cost: int) -> None:
        refused, backlog = self._cells.pay(cost, environ[_PAYING])
        if refused != PAID:
            raise self._refused(environ, IDENTITY if refused else ADDRESS, self._rate, backlog, cost)
        environ[LEVEL] = self._rate, backlog

    def _charge(self, environ: Environ, kind: str) -> None:
        refused, backlog = self._cells.pay(1, [self._stranger(kind, environ)])
        if refused != PAID:
            raise self._refused(environ, kind, self._strangers, backlog, 1)

    def _refused(self, environ: Environ, reason: str, limit: Rate, backlog: int, cost: int) -> CaxtonError:
        self.count(reason)
        environ[LEVEL] = limit, backlog
        wait = (backlog + cost * limit.interval - limit.horizon) / _NANOSECONDS
        return CaxtonError(
            Code.RATE_LIMITED,
            f"{_WORDS[reason]}: {limit.per_second:g} a second and {limit.burst} at once are taken",
            limited_by=reason,
            per_second=limit.per_second,
            burst=limit.burst,
            retry_after_seconds=math.ceil(max(wait, 0.001) * 1_000) / 1_000,
        )

    def _payer(self, address: str, namespace: str | None, subject: str) -> list[Bucket]:
        """The buckets of a caller; without authentication everybody is nobody, and only the address counts."""
        buckets = [self._cells.bucket(ADDRESS, network_of(address), self._rate)]
        if self._authenticates:
            buckets.append(self._cells.bucket(IDENTITY, f"{namespace or ''}\0{subject}", self._rate))
        if len(self._payers) >= _MOST_CACHED:
            self._payers.clear()
        self._payers[address, namespace, subject] = buckets
        return buckets

    def _stranger(self, kind: str, environ: Environ) -> Bucket:
        """The bucket of an address for those who have shown no good credentials."""
        key = kind, network_of(environ.get("REMOTE_ADDR", ""))
        found = self._strange.get(key)
        if found is None:
            if len(self._strange) >= _MOST_CACHED:
                self._strange.clear()
            found = self._strange[key] = self._cells.bucket(*key, self._strangers)
        return found

    def _shown(self, environ: Environ) -> str:
        shown: str = environ.get(self._key_header) or environ.get("HTTP_AUTHORIZATION", "")
        return shown

    def _remember(self, shown: str) -> None:
        """Once a minute for each worker: their hash is written down, not they."""
        if len(self._marked) >= _MOST_CACHED:
            self._marked.clear()
        self._marked[hash(shown)] = monotonic() + _MARK_SECONDS
        self._mark(shown, KNOWN_SECONDS)

    def _mark(self, shown: str, seconds: float) -> None:
        self._known.mark(self._known.bucket(LOGIN, shown, self._strangers), seconds)


_WORDS: Final = {
    IDENTITY: "this identity asks too often",
    ADDRESS: "too many requests come from this address",
    LOGIN: "too many logins have failed from this address",
    VISITOR: "too many requests without credentials come from this address",
}
