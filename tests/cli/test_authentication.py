from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.served_node import ServedNode

SECRET = "rQ5v0dY3m8KpXw1sTz7uBn4cGh6jLf2a"


@pytest.fixture(scope="module")
def guarded() -> Iterator[ServedNode]:
    served = ServedNode(CAXTON_SECURITY__AUTH_ENABLED="true", CAXTON_SECURITY__JWT_SECRET=SECRET)
    try:
        yield served.start()
    finally:
        served.close()


def test_without_credentials_nothing_is_shown_and_the_way_in_is_named(guarded: ServedNode) -> None:
    refused = guarded.cli("agent", "list")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "[UNAUTHORIZED]" in refused.stderr
    assert "caxton key create" in refused.stderr


def test_a_key_and_a_token_made_on_the_host_open_the_node(guarded: ServedNode) -> None:
    key = guarded.cli("key", "create", "--subject", "ci", "--role", "viewer", "-q").stdout.strip()
    token = guarded.cli("token", "create", "--subject", "ci", "--role", "viewer", "-q").stdout.strip()
    for name, value in (("CAXTON_API_KEY", key), ("CAXTON_TOKEN", token)):
        guarded.environ[name] = value
        assert guarded.cli("agent", "list").returncode == 0
        guarded.environ[name] = value[:-4] + "AAAA"
        refused = guarded.cli("agent", "list")
        assert (refused.returncode, value in refused.stderr) == (1, False)
        del guarded.environ[name]
