"""How long a refusal takes tells nothing: every key is compared, one with an id of nobody too, never byte by byte."""

from __future__ import annotations

import hmac
import time
from typing import Any, cast

import msgspec
import pytest

from caxton.api.api_keys import ApiKeys
from caxton.api.router_client import RouterClient
from caxton.api.tokens import RefusedError
from caxton.config import defaults
from caxton.protocol import keys
from caxton.protocol.access import Role, Scope
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Named
from caxton.protocol.views import KeyRecord

SCOPE = Scope(Role.VIEWER)
KNOWN = keys.new_key(SCOPE)
ROUNDS = 400


class OneKey:
    """What a router that knows one key answers; the socket between is not what is measured here."""

    def call(self, _op: str, args: Named, **_options: Any) -> bytes:
        if args.name != KNOWN.key_id:
            raise CaxtonError(Code.KEY_NOT_FOUND, "no such key")
        return msgspec.json.encode(KeyRecord(KNOWN.key_id, "me", KNOWN.salt, KNOWN.digest, None, None, SCOPE))


def refused_key(key_id: str, secret: str) -> str:
    return f"caxton_{key_id}_{secret}"


SECRET = KNOWN.text[-43:]
REFUSED = {
    "another secret": refused_key(KNOWN.key_id, "A" * 43),
    "nearly the secret": KNOWN.text[:-2] + ("AA" if SECRET[-2:] != "AA" else "BB"),
    "an unknown id": refused_key("0" * 16, SECRET),
    "no key at all": "x" * len(KNOWN.text),
}


@pytest.fixture
def api_keys() -> ApiKeys:
    return ApiKeys(defaults(), cast("RouterClient", OneKey()))


@pytest.mark.parametrize("name", REFUSED)
def test_every_refusal_comes_from_a_comparison_in_constant_time(
    api_keys: ApiKeys, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return compare_digest(a, b)

    compare_digest = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    with pytest.raises(RefusedError) as refused:
        api_keys.record(REFUSED[name])
    assert compared == [(32, 32)]
    assert str(refused.value) == "this API key is unknown, expired or revoked"
    assert api_keys.record(KNOWN.text).subject == "me"


def seconds(api_keys: ApiKeys, text: str) -> float:
    began = time.perf_counter()
    with pytest.raises(RefusedError):
        api_keys.record(text)
    return time.perf_counter() - began


def test_a_known_id_is_refused_as_fast_as_an_unknown_one(api_keys: ApiKeys) -> None:
    """The best of many, taken in turn: what else the machine does falls on all of them alike, and mostly on none."""
    names = ("another secret", "nearly the secret", "an unknown id")
    best = dict.fromkeys(names, float("inf"))
    for _ in range(ROUNDS):
        for name in names:
            best[name] = min(best[name], seconds(api_keys, REFUSED[name]))
    assert max(best.values()) < 3 * min(best.values()), best
