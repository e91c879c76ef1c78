"""The check of the lock files finds what it is there for."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "app" / "check_dependencies.py"
HASH = "--hash=sha256:" + "0" * 64


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_dependencies", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_lock_file_is_pinned_with_hashes(check: ModuleType) -> None:
    for lock in check.LOCKS:
        pins, wrong = check.read_lock(lock)
        assert pins
        assert wrong == []
    assert {lock.name for lock in check.LOCKS} >= {
        "requirements.txt",
        "requirements-dev.txt",
        "requirements-programs.txt",
    }


def test_no_pinned_version_is_one_of_the_stored_advisories(check: ModuleType) -> None:
    advisories = json.loads(check.ADVISORIES.read_text())["advisories"]
    pins = [pin for lock in check.LOCKS for pin in check.read_lock(lock)[0]]
    assert list(check.known(pins, advisories)) == []


@pytest.mark.parametrize(
    "line",
    [
        f"jinja2==3.1.2 {HASH}",
        f"PyJWT[crypto]==2.3.0 ; python_version < '4' {HASH}",
        f"pyyaml==5.3.1 \\\n    {HASH} \\\n    {HASH}",
        "flask==3.1.3",
        f"flask>=3 {HASH}",
        f"flask {HASH}",
        "flask==3.1.3 --hash=md5:00",
        f"git+https://example.com/flask {HASH}",
    ],
)
def test_a_bad_line_fails_the_run(tmp_path: Path, line: str) -> None:
    lock = tmp_path / "bad.txt"
    lock.write_text(f"click==8.5.1 {HASH}\n{line}\n")
    done = subprocess.run([sys.executable, str(PROGRAM), str(lock)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("error: bad.txt: ")


class _Registry(BaseHTTPRequestHandler):
    body = b"{}"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def registry() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Registry)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_registry_without_advisories_is_not_taken_for_one_that_has_none(check: ModuleType, registry: str) -> None:
    pin = check.Pin("lock", "flask", "3.1.3")
    assert check.silence_of(registry, pin) is not None
    _Registry.body = b'{"vulnerabilities": []}'
    assert check.silence_of(registry, pin) is None
    assert check.silence_of("http://127.0.0.1:1", pin) is not None
