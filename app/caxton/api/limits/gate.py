"""The gate that every request passes: who has used up what they may ask for.

Owns the order in which buckets are looked at and who pays what. Must never decide whether credentials are right, and
never let those that are wrong cost those that are right: a failed login is paid for by its address in a bucket of its
own, and who has shown good credentials a short while ago is let through to the authenticator when that is empty.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from caxton.api.limits.cells import Bucket, Cells, Paid, Place, Rate, rate
from caxton.api.limits.networks import network_of
from caxton.config import Config
from caxton.protocol.access import Caller
from caxton.protocol.errors import CaxtonError, Code

IDENTITY: Final = "identity"
ADDRESS: Final = "address"
LOGIN: Final = "login"
VISITOR: Final = "visitor"
LEVEL: Final = "caxton.rate"
"""Where the environ keeps what the answer says about the caller's bucket: a limit and `Paid.backlog`."""
_PAYING: Final = "caxton.paying"
_ADVANCED: Final = "caxton.login_paid"
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
        self._key_header = "HTTP_" + security.api_key_header.upper().replace("-", "_")
        self._rate = rate(security.rate_limit_per_second, security.rate_limit_burst)
        self._strangers = rate(security.unauthenticated_per_second, security.unauthenticated_burst)
        run: Path = config.paths.run
        self._cells = Cells(run / BUCKETS, _BUCKET_SETS)
        self._known = Cells(run / KNOWN, _KNOWN_SETS)
        self._places: dict[tuple[str, str], Place] = {}
        self._marked: dict[int, float] = {}

    def before_login(self, environ: Environ) -> None:
        """`RATE_LIMITED`, before anybody looks at the credentials, where too many have failed from this address.

        Credentials that are new to this node pay for their failure in advance: of ten thousand that come at once, no
        more are looked up than the bucket has room for.
        """
        shown = self._shown(environ)
        if not shown or self._marked.get(hash(shown), 0.0) > time.monotonic():
            return
        paid = self._cells.pay(1, [self._strangers_bucket(LOGIN, environ)])
        if paid.refused < 0:
            environ[_ADVANCED] = True
        elif not self._known.marked(self._known.place(LOGIN, shown), KNOWN_SECONDS):
            raise self._refused(environ, LOGIN, self._strangers, paid, 1)

    def login_failed(self, environ: Environ) -> None:
        """One more failure of this address; `RATE_LIMITED` in the place of `UNAUTHORIZED` if there were too many."""
        shown = self._shown(environ)
        if shown and self._marked.pop(hash(shown), 0.0):
            self._known.mark(self._known.place(LOGIN, shown), 0.0)
        if not environ.pop(_ADVANCED, False):
            self._stranger(environ, LOGIN)

    def login_not_failed(self, environ: Environ) -> None:
        """The credentials are good, or nobody could look: what was paid in advance goes back."""
        if environ.pop(_ADVANCED, False):
            self._cells.pay(-1, [self._strangers_bucket(LOGIN, environ)])

    def visited(self, environ: Environ) -> None:
        """Something that needs no credentials is asked for: its address pays, if this node knows others at all."""
        if self._authenticates:
            self._stranger(environ, VISITOR)

    def admit(self, environ: Environ, caller: Caller) -> None:
        """The caller's credentials are good: one request is paid for, by the identity and by the address."""
        if self._authenticates:
            self.login_not_failed(environ)
            self._remember(self._shown(environ))
        if self._enabled:
            buckets = [self._bucket(ADDRESS, network_of(caller.address), self._rate)]
            if self._authenticates:
                buckets.append(self._bucket(IDENTITY, f"{caller.namespace or ''}\0{caller.subject}", self._rate))
            environ[_PAYING] = buckets
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
        paid = self._cells.pay(cost, environ[_PAYING])
        if paid.refused >= 0:
            raise self._refused(environ, IDENTITY if paid.refused else ADDRESS, self._rate, paid, cost)
        environ[LEVEL] = self._rate, paid.backlog

    def _stranger(self, environ: Environ, kind: str) -> None:
        paid = self._cells.pay(1, [self._strangers_bucket(kind, environ)])
        if paid.refused >= 0:
            raise self._refused(environ, kind, self._strangers, paid, 1)

    def _refused(self, environ: Environ, reason: str, limit: Rate, paid: Paid, cost: int) -> CaxtonError:
        self.count(reason)
        environ[LEVEL] = limit, paid.backlog
        wait = (paid.backlog + cost * limit.interval - limit.horizon) / _NANOSECONDS
        return CaxtonError(
            Code.RATE_LIMITED,
            f"{_WORDS[reason]}: {limit.per_second:g} a second and {limit.burst} at once are taken",
            limited_by=reason,
            per_second=limit.per_second,
            burst=limit.burst,
            retry_after_seconds=math.ceil(max(wait, 0.001) * 1_000) / 1_000,
        )

    def _strangers_bucket(self, kind: str, environ: Environ) -> Bucket:
        return self._bucket(kind, network_of(environ.get("REMOTE_ADDR", "")), self._strangers)

    def _bucket(self, kind: str, name: str, limit: Rate) -> Bucket:
        key = (kind, name)
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= _MOST_CACHED:
                self._places.clear()
            place = self._places[key] = self._cells.place(kind, name)
        return place, limit

    def _shown(self, environ: Environ) -> str:
        shown: str = environ.get(self._key_header) or environ.get("HTTP_AUTHORIZATION", "")
        return shown

    def _remember(self, shown: str) -> None:
        """Once a minute for each worker: their hash is written down, not they."""
        now = time.monotonic()
        key = hash(shown)
        if not shown or self._marked.get(key, 0.0) > now:
            return
        if len(self._marked) >= _MOST_CACHED:
            self._marked.clear()
        self._marked[key] = now + _MARK_SECONDS
        self._known.mark(self._known.place(LOGIN, shown), KNOWN_SECONDS)


_WORDS: Final = {
    IDENTITY: "this identity asks too often",
    ADDRESS: "too many requests come from this address",
    LOGIN: "too many logins have failed from this address",
    VISITOR: "too many requests without credentials come from this address",
}
