"""What each namespace uses of the node, against its quotas.

Owns these counters; each step costs the same however much there is. A client is refused; what an execution did is
never refused here, it makes debts: while there are any, the namespace starts nothing, and what was accepted waits.
Must never look at the store, or at another namespace's figures.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from caxton.protocol.access import namespace_of
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.namespaces import Quota

MINUTE: Final = 60.0
NO_QUOTA: Final = Quota()
REFUSALS: Final = ("agents", "messages_per_second", "stored_bytes")
_AGAIN: Final = 0.02
"""The part of a full bucket that is there when a namespace goes on: not a start and a stop for every millisecond."""
_LEAST_PAUSE: Final = 0.05


class Bucket:
    """Fills with `rate` a second up to `capacity`; may be overdrawn. Times are those of `time.monotonic`."""

    __slots__ = ("_at", "_level", "capacity", "rate")

    def __init__(self, rate: float, capacity: float) -> None:
        self.rate, self.capacity = rate, capacity
        self._level, self._at = capacity, time.monotonic()

    def level(self) -> float:
        """What is there now; below 0 are debts."""
        now = time.monotonic()
        self._level = min(self.capacity, self._level + (now - self._at) * self.rate)
        self._at = now
        return self._level

    def take(self, amount: float) -> float:
        """Takes it in any case; what is left."""
        self._level = self.level() - amount
        return self._level

    def wait(self, amount: float) -> float:
        """Seconds until this much is there."""
        return max(0.0, (amount - self.level()) / self.rate)


def unknown_namespace(name: str) -> CaxtonError:
    """The refusal for a namespace that has neither agents nor quotas, or that the caller does not reach."""
    return CaxtonError(Code.NOT_FOUND, f"no namespace is called {name[:64]!r}", namespace=name[:64])


class Account:
    """One namespace's. `held`: its agents may not start anything now."""

    def __init__(self, namespace: str, accounts: Accounts) -> None:
        self.namespace = namespace
        self.quota = NO_QUOTA
        self.held = False
        self.messages = 0
        self.cpu_seconds = 0.0
        self.refused: Counter[str] = Counter(dict.fromkeys(REFUSALS, 0))
        self._accounts = accounts
        self._rate: Bucket | None = None
        self._cpu: Bucket | None = None
        self._measured = 0
        self._since = 0
        self._measuring = False

    def apply(self, quota: Quota) -> None:
        """These quotas from now on, with full buckets."""
        rate, cpu = quota.messages_per_second, quota.cpu_seconds_per_minute
        self.quota = quota
        self._rate = None if rate is None else Bucket(rate, max(rate, 1.0))
        self._cpu = None if cpu is None else Bucket(cpu / MINUTE, cpu)
        if self.held:
            self._look()

    # ---- messages --------------------------------------------------------------------------------

    def require_message(self) -> None:
        """`RATE_LIMITED` unless one more message may be accepted now."""
        if self._rate is not None and (wait := self._rate.wait(1.0)) > 0:
            self.refused["messages_per_second"] += 1
            raise CaxtonError(
                Code.RATE_LIMITED,
                f"the namespace {self.namespace!r} has a quota of {self._rate.rate:g} messages a second",
                quota="messages_per_second",
                limit=self._rate.rate,
                retry_after_seconds=max(1, math.ceil(wait)),
            )

    def sent(self) -> None:
        """One message was accepted on this account."""
        self.messages += 1
        if self._rate is not None and self._rate.take(1.0) < 0:
            self._hold()

    # ---- bytes -----------------------------------------------------------------------------------

    @property
    def stored_bytes(self) -> int:
        """What was measured last, and what has come since: never less than there is."""
        return max(0, self._measured + self._since)

    def require_bytes(self, more: int) -> None:
        """`RESOURCE_LIMIT_EXCEEDED` unless there is room; a refusal has what is there measured again."""
        limit = self.quota.stored_bytes
        if limit is not None and self.stored_bytes + more > limit:
            self.refused["stored_bytes"] += 1
            self._accounts.measure(self)
            raise self.exceeded("stored_bytes", self.stored_bytes, limit, "purge dead letters, or delete keys")

    def stored(self, more: int) -> None:
        """So many bytes more (or less: not while it is measured, as what went may not be in the measure)."""
        if more > 0 or not self._measuring:
            self._since += more

    def measuring(self) -> None:
        """What comes from now on comes on top of what will be measured."""
        self._since, self._measuring = 0, True

    def measured(self, found: int) -> None:
        """What was there after `measuring` was called."""
        self._measured, self._measuring = found, False

    def exceeded(self, quota: str, found: int, limit: int, remedy: str) -> CaxtonError:
        """The refusal of what waiting does not help against."""
        return CaxtonError(
            Code.RESOURCE_LIMIT_EXCEEDED,
            f"the namespace {self.namespace!r} has used its quota of {quota} ({found} of {limit}): {remedy}",
            quota=quota,
            found=found,
            limit=limit,
        )

    # ---- CPU -------------------------------------------------------------------------------------

    def spent(self, seconds: float) -> None:
        """An execution of its agents used this much CPU time."""
        self.cpu_seconds += seconds
        if self._cpu is not None and self._cpu.take(seconds) <= 0:
            self._hold()

    # ---- holding ---------------------------------------------------------------------------------

    def _hold(self) -> None:
        if not self.held:
            self.held = True
            self._accounts.later(self._pause(), self._look)

    def _look(self) -> None:
        """Goes on when no bucket is overdrawn any more."""
        if not self.held:
            return
        pause = self._pause()
        if pause > 0:
            self._accounts.later(pause, self._look)
            return
        self.held = False
        self._accounts.resume(self)

    def _pause(self) -> float:
        waits = [bucket.wait(bucket.capacity * _AGAIN) for bucket in (self._rate, self._cpu) if bucket is not None]
        longest = max(waits, default=0.0)
        return max(longest, _LEAST_PAUSE) if longest > 0 else 0.0


class Accounts:
    """By namespace. `resume(account)`: its agents may start again; `measure(account)`: read what is stored."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self.resume: Callable[[Account], None] = lambda _: None
        self.measure: Callable[[Account], None] = lambda _: None

    def of(self, name: str) -> Account | None:
        """The account that an agent's name belongs to; None for a name without a namespace."""
        namespace = namespace_of(name)
        return None if namespace is None else self.named(namespace)

    def named(self, namespace: str) -> Account:
        """The account of a namespace, which need not have any agent yet."""
        account = self._accounts.get(namespace)
        if account is None:
            account = self._accounts[namespace] = Account(namespace, self)
        return account

    def limited(self) -> list[Account]:
        """Those with quotas, by name."""
        return [account for _, account in sorted(self._accounts.items()) if account.quota != NO_QUOTA]

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Calls back in the router's loop."""
        asyncio.get_running_loop().call_later(seconds, call)
