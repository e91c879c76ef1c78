from __future__ import annotations

from dataclasses import replace

from caxton.config import RELOADABLE, changed, defaults, reloaded
from caxton.config.sections import KEYS


def test_changes_are_split_into_what_a_reload_applies_and_what_needs_a_restart() -> None:
    old = defaults()
    new = replace(
        old,
        observability=replace(old.observability, log_level="debug", log_format="json"),
        security=replace(old.security, rate_limit_burst=7),
        networking=replace(old.networking, bind_address="127.0.0.1:9"),
    )
    reloadable, restart = changed(old, new)
    assert sorted(reloadable) == ["observability.log_level", "security.rate_limit_burst"]
    assert sorted(restart) == ["networking.bind_address", "observability.log_format"]
    assert changed(old, old) == ([], [])
    in_force = reloaded(old, new)
    assert changed(old, in_force) == (reloadable, [])
    assert changed(in_force, new) == ([], restart)


def test_what_the_specification_calls_reloadable_is() -> None:
    assert set(KEYS) > RELOADABLE
    for key in (
        "observability.log_level",
        "security.rate_limit_per_second",
        "security.cors_origins",
        "runtime.execution_timeout",
    ):
        assert key in RELOADABLE
