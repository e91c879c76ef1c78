"""One real node and one real browser for all tests of the console: both take seconds to begin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from api.conftest import brief_node
from console.steps import kill

from support.browser import MISSING, Browser, browser
from support.credentials import GUARDED, KEY_HEADER, make_key
from support.node import Node
from support.wat import ECHO, LOGGER, TRAP

_ASK = '{"performative":"request","receiver":"echo","content":"how many?"}'
_TELL = '{"performative":"inform","receiver":"writer","content":"a few"}'


def _text(text: str) -> str:
    return text.replace('"', '\\"')


PLANNER = f"""(module
 (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
 (import "caxton" "request" (func $request (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "send_message" (func $send (param i32 i32) (result i32)))
 (memory (export "memory") 1)
 (data (i32.const 0) "{_text(_ASK)}") (data (i32.const 512) "{_text(_TELL)}") (data (i32.const 1024) "true")
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 32768))
 (func (export "handle_message") (param i32 i32) (result i32)
  (drop (call $request (i32.const 0) (i32.const {len(_ASK)}) (i32.const 4096) (i32.const 4096)))
  (drop (call $send (i32.const 512) (i32.const {len(_TELL)})))
  (call $reply (i32.const 1024) (i32.const 4))))
"""
"""Asks one agent, tells another, and answers."""
MARKUP = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """Guarded; agents that answer, write, ask others and fail; a dead letter full of markup."""
    with brief_node(security=GUARDED, messaging={"max_deliveries": 1}) as made:
        made.client.headers[KEY_HEADER] = make_key(made, "root")["key"]
        made.deploy("echo", ECHO, profile="deterministic")
        made.deploy("planner", PLANNER, grants={"send": ["*"]})
        made.deploy("writer", LOGGER, profile="deterministic")
        made.deploy("broken", TRAP, retry={"on_dead": "hold"})
        kill(made, MARKUP)
        plan = {"performative": "request", "receiver": "planner", "content": "plan", "conversation_id": "plan-1"}
        assert made.client.post("/api/v1/messages", json=plan).status_code == 202
        yield made


@pytest.fixture(scope="session")
def tab() -> Iterator[Browser]:
    if MISSING:
        pytest.skip("chromium or chromium-driver is missing (Debian packages, see .ci/packages.txt)")
    with browser() as made:
        yield made


@pytest.fixture
def page(tab: Browser, node: Node) -> Browser:
    """The console, with nobody signed in, in light colours."""
    tab.open(f"{node.url}/console")
    if tab.run("const was = sessionStorage.length; sessionStorage.clear(); return was"):
        tab.open(f"{node.url}/console")
    tab.sees("Sign in", "h1")
    tab.prefers("light")
    tab.complaints()  # of the question who it is, which was answered 401
    return tab
