"""Text of a guest on an operator's terminal: whatever verb prints it, it prints characters and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from support import router_agents
from support.served_node import ServedNode

MARKS = {
    "colour": "\x1b[31m",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "title": "\x1b]0;owned\x1b\\",
    "link": "\x1b]8;;http://evil.example\x1b\\",
    "answerback": "\x05",
    "device": "\x1bP$q\x1b\\",
    "C1": "\x9b2J\x90\x9d\x9c",
    "cursor": "\x1b[2K\x1b[1A\r\x08",
    "bidi": "\u202e\u2066\u2069\u200f\u061c",
    "invisible": "\u200b\u200d\u2060\ufeff\u00ad",
    "lines": "\u2028\u2029\x0b\x0c\x85",
    "tags": "\U000e0041\U000e007f",
    "markup": "[bold red]x[/] :bomb:",
}
EVIL = "".join(f"<{name}>{mark}" for name, mark in MARKS.items())


def text(value: str) -> str:
    """A string of WebAssembly text."""
    return "".join(f"\\{byte:02x}" for byte in value.encode())


def hostile() -> str:
    """An agent that logs and answers with the marks."""
    reply = json.dumps({"said": EVIL, EVIL: 1}, ensure_ascii=False)
    size = len(reply.encode())
    return f"""(module
      (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
      (import "caxton" "console_log" (func $log (param i32 i32)))
      (memory (export "memory") 4)
      (data (i32.const 0) "{text(reply)}") (data (i32.const 8192) "{text(EVIL)}")
      (func (export "caxton_alloc") (param i32) (result i32) (i32.const 32768))
      (func (export "handle_message") (param i32 i32) (result i32)
        (call $log (i32.const 8192) (i32.const {len(EVIL.encode())}))
        (drop (call $reply (i32.const 0) (i32.const {size}))) (i32.const 0)))"""


@pytest.fixture(scope="module")
def node() -> Iterator[ServedNode]:
    served = ServedNode(CAXTON_MESSAGING__RETRY_DELAY="0s", CAXTON_MESSAGING__MAX_DELIVERIES="1")
    try:
        served.start()
        served.write("evil.wat", hostile())
        served.write("trap.wat", router_agents.TRAP)
        assert served.cli("agent", "deploy", str(served.directory / "evil.wat"), "--name", "evil").returncode == 0
        assert served.cli("agent", "deploy", str(served.directory / "trap.wat"), "--name", "trap").returncode == 0
        for _ in range(2):
            served.cli("agent", "invoke", "evil", EVIL)
            served.cli("message", "send", "trap", EVIL, "--conversation", "c-evil")
        yield served
    finally:
        served.close()


def harmless(printed: str) -> bool:
    return all(char.isprintable() or char in "\n\t" for char in printed)


VERBS = [
    ["agent", "invoke", "evil", EVIL],
    ["agent", "list"],
    ["agent", "show", "evil"],
    ["agent", "logs", "evil"],
    ["agent", "versions", "evil"],
    ["agent", "schedules", "evil"],
    ["agent", "http-calls", "evil"],
    ["agent", "show", EVIL],
    ["agent", "invoke", "nobody", EVIL],
    ["agent", "deploy", "/nonexistent/" + EVIL.replace("/", "")],
    ["message", "list"],
    ["message", "list", "--agent", EVIL],
    ["message", "show", EVIL],
    ["message", "send", EVIL, EVIL],
    ["dlq", "list"],
    ["dlq", "list", "--agent", "trap"],
    ["conversation", "list"],
    ["conversation", "show", EVIL],
    ["capability", "list"],
    ["topic", "list"],
    ["task", "show", EVIL],
    ["ledger"],
    [EVIL],
    ["--url", "http://" + EVIL, "ledger"],
]


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize("words", VERBS, ids=lambda words: " ".join(word for word in words if word.isascii()))
def test_every_verb_prints_characters_only(node: ServedNode, words: list[str], output: str) -> None:
    words = [word.replace("\0", "") for word in words]
    done = node.cli(*words, *(["--output", output] if words != [EVIL] else []))
    assert harmless(done.stdout), ascii(done.stdout)
    assert harmless(done.stderr), ascii(done.stderr)
    assert "Traceback" not in done.stderr
    if output == "json" and done.returncode == 0 and words[0] != "agent":
        json.loads(done.stdout)


def test_a_message_is_shown_whole_and_harmless(node: ServedNode) -> None:
    (item, *_) = node.json("message", "list", "--agent", "trap")
    for output in ("table", "json"):
        done = node.cli("message", "show", item["message_id"], "--output", output)
        assert done.returncode == 0
        assert harmless(done.stdout), ascii(done.stdout)


def test_markup_is_not_read(node: ServedNode) -> None:
    assert "[bold red]x[/]" in node.cli("agent", "logs", "evil").stdout


def test_the_nodes_own_log_holds_none_of_it(node: ServedNode) -> None:
    for kept in node.log.split("\n"):
        assert harmless(kept), ascii(kept)
