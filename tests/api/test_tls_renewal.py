"""A renewed certificate: new connections get it, nobody loses anything, and a broken one is never in force."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from api.raw import Connection
from api.test_fast_lane import request
from api.tls_nodes import encrypted, log_of, shown_by

from support.authority import Authority, Pair
from support.node import APP, Node, until

REFUSED = "certificate refused, the one before stays in force"
RELOAD_REFUSED = "reload refused, the configuration stays as it was"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue("node")


@pytest.fixture
def node(authority: Authority, pair: Pair) -> Iterator[Node]:
    with encrypted(authority, pair, workers=2) as made:
        yield made


def fingerprints(node: Node, authority: Authority, count: int = 12) -> set[bytes | None]:
    """What new connections are shown; either worker may take one."""
    return {shown_by(node, authority.context()) for _ in range(count)}


class Load:
    """Clients that keep their connection, and clients that make a new one for each request."""

    def __init__(self, node: Node) -> None:
        self.failures: list[str] = []
        self.done = 0
        self._node = node
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(kept,), daemon=True) for kept in (True, True, True, False, False)
        ]

    def _run(self, kept: bool) -> None:
        client = self._node.new_client()
        while not self._stop.is_set():
            if not kept:
                client.close()
                client = self._node.new_client()
            try:
                answer = client.post("/api/v1/agents/echo/invoke", json={"content": 1})
                if answer.status_code != 200:
                    self.failures.append(answer.text)
            except httpx.TransportError as error:
                self.failures.append(repr(error))
            self.done += 1
        client.close()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Under load; at least a few more requests are made before it ends."""
        for thread in self._threads:
            thread.start()
        try:
            until(lambda: self.done > 20, 30, "load")
            yield
            enough = self.done + 40
            until(lambda: self.done > enough, 30, "load after all of it")
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(30)


def test_a_new_certificate_is_taken_over_without_a_word(node: Node, authority: Authority, pair: Pair) -> None:
    load, fresh = Load(node), authority.issue("fresh")
    workers = node.gunicorn("api")[1]
    with Connection(node) as kept, load.running():
        kept.send(request("before"))
        assert kept.read().status == 200
        fresh.install(pair)
        until(lambda: fingerprints(node, authority) == {fresh.fingerprint}, 20, "the new certificate")
        kept.send(request("after"))
        answer = kept.read()
        assert (answer.status, answer.headers["connection"]) == (200, "keep-alive")
    assert load.failures == []
    assert node.gunicorn("api")[1] == workers, "nobody was replaced"
    until(lambda: "certificate read again, new connections get it" in log_of(node), 10, "a line in the log")


def test_a_reload_under_load_fails_no_request(node: Node, authority: Authority, pair: Pair) -> None:
    load = Load(node)
    with load.running():
        for name in ("second", "third"):
            fresh = authority.issue(name)
            fresh.install(pair)
            workers = set(node.gunicorn("api")[1])
            assert node.process is not None
            node.process.send_signal(signal.SIGHUP)
            until(lambda old=workers: old.isdisjoint(now := node.gunicorn("api")[1]) and now, 30, "other workers")
            assert fingerprints(node, authority) == {fresh.fingerprint}
    assert load.failures == []
    assert load.done > 60


def test_a_key_that_does_not_fit_changes_nothing(node: Node, authority: Authority, pair: Pair) -> None:
    was, stranger = pair.fingerprint, authority.issue("stranger")
    good = pair.certificate.read_text()
    pair.certificate.write_text(stranger.certificate.read_text())
    assert node.process is not None
    node.process.send_signal(signal.SIGHUP)
    until(lambda: RELOAD_REFUSED in log_of(node), 20, "the reload is refused")
    until(lambda: REFUSED in log_of(node), 30, "the log says so")
    assert "a key that is not the certificate's" in log_of(node)
    assert log_of(node).count(REFUSED) == 1, "once, not each second"
    assert fingerprints(node, authority) == {was}
    assert checked(node) == (1, "a key that is not the certificate's")

    pair.certificate.write_text(good)
    until(lambda: "certificate read again" in log_of(node), 20, "the old one is back")
    assert checked(node)[0] == 0


def test_a_broken_file_changes_nothing_not_even_for_workers_to_come(
    node: Node, authority: Authority, pair: Pair
) -> None:
    was = pair.fingerprint
    assert node.process is not None
    for count, text in enumerate(
        ("", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 1
    ):
        pair.certificate.write_text(text)
        node.process.send_signal(signal.SIGHUP)
        until(lambda wanted=count: log_of(node).count(RELOAD_REFUSED) == wanted, 20, "the reload is refused")
    worker = node.gunicorn("api")[1][0]
    os.kill(worker, signal.SIGKILL)
    until(lambda: len(others := node.gunicorn("api")[1]) == 2 and worker not in others, 20, "another worker")
    assert fingerprints(node, authority) == {was}


def checked(node: Node) -> tuple[int, str]:
    """What `caxton config check` says of the node's file: exit code, and the reason where there is one."""
    done = subprocess.run(
        [sys.executable, "-m", "caxton", "--output", "json", "config", "check", "--file", str(node.config_file)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(APP), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    if done.returncode == 0:
        return 0, ""
    assert "networking.tls_cert_path" in done.stderr, done.stderr
    return done.returncode, done.stderr.partition("found ")[2].partition(":")[0]
