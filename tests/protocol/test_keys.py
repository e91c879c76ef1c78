from __future__ import annotations

import pytest

from caxton.protocol.access import Role, Scope
from caxton.protocol.keys import UNBOUND, key_digest, key_id_of, key_matches, new_key


def test_a_key_names_its_record_and_matches_it() -> None:
    made = new_key(UNBOUND)
    assert key_id_of(made.text) == made.key_id
    assert key_matches(made.text, made.salt, made.digest, UNBOUND)
    assert made.text.encode() not in made.digest


def test_another_key_or_another_salt_does_not_match() -> None:
    made, other = new_key(UNBOUND), new_key(UNBOUND)
    assert not key_matches(other.text, made.salt, made.digest, UNBOUND)
    assert not key_matches(made.text, other.salt, made.digest, UNBOUND)
    assert key_digest(made.salt, made.text, UNBOUND) != key_digest(other.salt, made.text, UNBOUND)


def test_a_key_is_worth_nothing_with_another_scope() -> None:
    made = new_key(Scope(Role.VIEWER, "team"))
    assert key_matches(made.text, made.salt, made.digest, Scope(Role.VIEWER, "team"))
    for other in (UNBOUND, Scope(Role.VIEWER), Scope(Role.VIEWER, "other"), Scope(Role.OPERATOR, "team")):
        assert not key_matches(made.text, made.salt, made.digest, other)


@pytest.mark.parametrize(
    "text", ["", "caxton_", "caxton_0123456789abcdef_short", "CAXTON_0123456789abcdef_" + "A" * 43]
)
def test_what_is_no_key(text: str) -> None:
    assert key_id_of(text) is None
