"""Who asks too often is told so, and when to come back; by identity, by address, by what a batch is worth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from api.checks import BASE, problem
from api.limited import BURST, STRANGERS, ask, at, batch, bearer, flask, identity, limited_node, plain

from support.credentials import KEY_HEADER, make_key
from support.node import Node, until

Ask = Callable[[Node, dict[str, str]], httpx.Response]
BOTH = pytest.mark.parametrize("way", [plain, flask])


@pytest.fixture(scope="module")
def limited() -> Iterator[Node]:
    with limited_node(workers=2) as made:
        yield made


def spend(node: Node, headers: dict[str, str], way: Ask = plain) -> None:
    for _ in range(BURST):
        assert way(node, headers).status_code == 200


@BOTH
def test_so_many_at_once_and_then_429_with_the_time_to_wait(limited: Node, way: Ask) -> None:
    me = identity()
    for left in reversed(range(BURST)):
        answer = way(limited, me)
        assert answer.status_code == 200
        assert answer.headers["ratelimit-limit"] == str(BURST)
        assert answer.headers["ratelimit-remaining"] == str(left)
        assert 0 < int(answer.headers["ratelimit-reset"]) <= (BURST - left) * 100
    answer = way(limited, me)
    details = problem(answer, 429, "RATE_LIMITED")
    assert details["limited_by"] == "address"  # both are empty; it is looked at first
    assert (details["per_second"], details["burst"]) == (0.01, BURST)
    assert 90 <= int(answer.headers["retry-after"]) <= 100
    assert details["retry_after_seconds"] <= int(answer.headers["retry-after"])
    assert answer.headers["ratelimit-remaining"] == "0"


def test_both_ways_and_all_workers_share_one_bucket(limited: Node) -> None:
    me = identity()
    with ThreadPoolExecutor(16) as pool:  # a connection each: the kernel gives them to both workers
        answers = list(pool.map(lambda n: (plain if n % 2 else flask)(limited, me).status_code, range(4 * BURST)))
    assert answers.count(200) == BURST
    assert answers.count(429) == 3 * BURST


def test_an_identity_is_limited_wherever_it_asks_from(limited: Node) -> None:
    me = "wanderer"
    for number in range(BURST):
        assert plain(limited, bearer(me) | at(f"10.2.0.{number + 1}")).status_code == 200
    details = problem(plain(limited, bearer(me) | at("10.2.1.1")), 429, "RATE_LIMITED")
    assert details["limited_by"] == "identity"
    assert plain(limited, bearer("other") | at("10.2.0.1")).status_code == 200


def test_an_address_is_limited_whoever_asks_and_an_ipv6_network_is_one(limited: Node) -> None:
    for number in range(BURST):
        assert plain(limited, bearer(f"crowd{number}") | at(f"2001:db8:5::{number + 1}")).status_code == 200
    details = problem(plain(limited, bearer("late") | at("2001:db8:5::ffff:1")), 429, "RATE_LIMITED")
    assert details["limited_by"] == "address"
    assert plain(limited, bearer("late") | at("2001:db8:5:1::1")).status_code == 200


def test_what_is_refused_costs_the_other_bucket_nothing(limited: Node) -> None:
    spend(limited, bearer("greedy") | at("10.3.0.1"))
    for _ in range(BURST):
        assert plain(limited, bearer("greedy") | at("10.3.0.2")).status_code == 429
    spend(limited, bearer("modest") | at("10.3.0.2"))


def test_a_client_cannot_choose_its_address(limited: Node) -> None:
    me = bearer("liar")
    for number in range(BURST):
        # the balancer appends what it saw; what stands before that is the client's own invention
        answer = plain(limited, bearer(f"liar{number}") | at(f"10.9.9.{number}, 10.4.0.1"))
        assert answer.status_code == 200
    assert plain(limited, me | at("10.9.9.99, 10.4.0.1")).status_code == 429


@pytest.mark.parametrize("path", ["/health", "/ready", f"{BASE}/health", f"{BASE}/ready"])
def test_probes_are_free(limited: Node, path: str) -> None:
    headers = at("10.5.0.1")
    answers = [httpx.get(limited.url + path, headers=headers) for _ in range(BURST + STRANGERS + 2)]
    assert {answer.status_code for answer in answers} == {200}
    assert "ratelimit-limit" not in answers[0].headers


def test_a_batch_costs_as_much_as_it_has_messages(limited: Node) -> None:
    me = identity()
    assert batch(limited, me, 4).headers["ratelimit-remaining"] == str(BURST - 4)
    assert batch(limited, me, 5).headers["ratelimit-remaining"] == str(BURST - 9)
    before = ledger(limited)
    answer = batch(limited, me, 3)
    problem(answer, 429, "RATE_LIMITED")
    assert 190 <= int(answer.headers["retry-after"]) <= 200
    assert ledger(limited) == before  # nothing of it was accepted


def test_a_batch_that_no_bucket_could_pay_is_told_what_would_be_right(limited: Node) -> None:
    me = identity()
    details = problem(batch(limited, me, BURST + 1), 413, "PAYLOAD_TOO_LARGE")
    assert details["found"] == BURST + 1
    assert str(BURST) in details["expected"]
    assert batch(limited, identity(), BURST).status_code == 202


def ledger(node: Node) -> int:
    accepted: int = ask(node, "GET", "/ledger", identity()).json()["node"]["accepted"]
    return accepted


def test_visitors_without_credentials_are_limited_by_their_address(limited: Node) -> None:
    for path in ("nowhere", "elsewhere"):
        headers = at(f"10.6.0.{len(path)}")
        answers = [ask(limited, "GET", f"/{path}", headers) for _ in range(STRANGERS + 1)]
        assert {answer.status_code for answer in answers[:-1]} == {404}
        assert problem(answers[-1], 429, "RATE_LIMITED")["limited_by"] == "visitor"
        assert plain(limited, identity() | headers).status_code == 200


def test_what_was_limited_is_counted(limited: Node) -> None:
    def count(reason: str) -> float:
        text = httpx.get(f"{limited.metrics_url}/metrics").text
        start = f'caxton_http_limited_total{{reason="{reason}"}} '
        return next(float(line[len(start) :]) for line in text.splitlines() if line.startswith(start))

    before, me = count("address"), identity()
    spend(limited, me)
    for _ in range(3):
        assert plain(limited, me).status_code == 429
    assert count("address") == before + 3


def test_no_limit_where_none_is_configured() -> None:
    with limited_node(rate_limit_enabled=False) as node:
        me = identity()
        answers = [plain(node, me) for _ in range(3 * BURST)]
        assert {answer.status_code for answer in answers} == {200}
        assert "ratelimit-limit" not in answers[0].headers
        node.reload("security", rate_limit_enabled=True)  # from now on
        spend(node, me)
        assert plain(node, me).status_code == 429
        node.reload("security", rate_limit_burst=2 * BURST)  # the bucket is the same one, and larger
        spend(node, me, flask)
        assert flask(node, me).status_code == 429


def test_a_limit_without_authentication_is_by_address() -> None:
    with limited_node(auth_enabled=False) as node:
        for address in ("10.7.0.1", "10.7.0.2"):
            spend(node, at(address))
            assert problem(plain(node, at(address)), 429, "RATE_LIMITED")["limited_by"] == "address"
        assert {ask(node, "GET", "/nowhere", at("10.7.0.1")).status_code for _ in range(20)} == {404}


def test_whoever_waits_as_told_is_served_again() -> None:
    with limited_node(rate_limit_per_second=0.5) as node:
        me = identity()
        until(lambda: plain(node, me).status_code == 429, 20, "the bucket is empty")
        answer = plain(node, me)
        if answer.status_code == 429:  # unless this machine took two seconds to ask
            time.sleep(int(answer.headers["retry-after"]))  # what a client does
            assert plain(node, me).status_code == 200


def test_an_api_key_is_its_subject(limited: Node) -> None:
    made = make_key(limited, "alice")
    for number in range(BURST):
        headers = {KEY_HEADER: made["key"]} if number % 2 else bearer("alice")
        assert plain(limited, headers | at(f"10.8.0.{number + 1}")).status_code == 200
    assert plain(limited, bearer("alice") | at("10.8.1.1")).status_code == 429
