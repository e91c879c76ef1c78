"""Little that would become much: bodies, batches, modules. Each is refused by a code, and no process grows by it."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import zstandard
from api.raw import Connection

from caxton.selftest.encode import body, function_type, leb, name, section, vector
from support import wat
from support.node import Node

MESSAGES = "/messages"
INVOKE = "/agents/echo/invoke"
ROOM_BYTES = 400 * 1024 * 1024
"""What a process may hold at its highest on behalf of one body of 64 MiB, which is there in a few forms at once."""
GOOD = {"performative": "inform", "receiver": "echo"}
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}


def highest(pid: int) -> int:
    """The most memory that a process ever held, in bytes."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


@pytest.fixture(autouse=True)
def nobody_grows(node: Node) -> Iterator[None]:
    """After every attack: the processes are the same, none was blown up, and the node works."""
    pids = {kind: node.pids(kind) for kind in ("api", "router")}
    for pid in [pid for kind in pids for pid in pids[kind]]:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # forgets the highest mark
    yield
    assert {kind: node.pids(kind) for kind in pids} == pids
    for kind, found in pids.items():
        for pid in found:
            assert highest(pid) < ROOM_BYTES, kind
    assert node.invoke("echo", 1).status_code == 200


def code(answer: httpx.Response) -> str:
    """The error's code; no attack is answered by a fault of ours."""
    assert answer.status_code < 500, answer.text
    return str(answer.json()["error"]["code"])


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("coding", PACKERS)
@pytest.mark.parametrize("path", [MESSAGES, INVOKE])
def test_a_compressed_body_is_not_unpacked(node: Node, http: httpx.Client, coding: str, path: str) -> None:
    """Where a header says so it is refused for that; where none does, it is bytes that are no JSON."""
    packed = PACKERS[coding](b" " * 50_000_000 + b"{}")
    coded = http.post(path, content=packed, headers={**JSON, "Content-Encoding": coding})
    assert code(coded) == "UNSUPPORTED_MEDIA_TYPE"
    assert code(http.post(path, content=packed, headers=JSON)) == "INVALID_REQUEST"
    with Connection(node) as client:
        lines = ["Host: a", "Content-Type: application/json", f"Transfer-Encoding: {coding}, chunked"]
        head = "\r\n".join([f"POST /api/v1{path} HTTP/1.1", *lines])
        client.send(head.encode() + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed))
        assert client.read().code() == "INVALID_REQUEST"


FLOODS = {
    "numbers": b"[" + b"1," * 30_000_000 + b"1]",
    "objects": b"[" + b"{}," * 20_000_000 + b"{}]",
    "strings": b"[" + b'"",' * 20_000_000 + b'""]',
    "no end": b"[" + b"1," * 30_000_000,
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_batch_of_millions_is_counted_before_it_is_made(http: httpx.Client, kind: str) -> None:
    assert code(http.post(MESSAGES, content=FLOODS[kind], headers=JSON)) == "PAYLOAD_TOO_LARGE"


@pytest.mark.parametrize(
    ("line", "count", "expected"),
    [
        (b"{}\n", 1_000_000, "PAYLOAD_TOO_LARGE"),
        (b"1\n", 30_000_000, "PAYLOAD_TOO_LARGE"),
        (b"\n", 60_000_000, "INVALID_REQUEST"),
        (b" \r\n", 20_000_000, "INVALID_REQUEST"),
    ],
)
def test_lines_by_the_million(http: httpx.Client, line: bytes, count: int, expected: str) -> None:
    assert code(http.post(MESSAGES, content=line * count, headers=NDJSON)) == expected


def test_one_message_as_large_as_a_batch_is_not_read_as_one(http: httpx.Client) -> None:
    """60 MB of strings would be 20 million of them before the content's size is looked at."""
    text = json.dumps({**GOOD, "content": "@"}).encode().replace(b'"@"', b"[" + b'"",' * 20_000_000 + b"1]")
    assert code(http.post(MESSAGES, content=text, headers=JSON)) == "PAYLOAD_TOO_LARGE"
    answer = http.post(MESSAGES, content=b"[" + json.dumps(GOOD).encode() + b"," + text + b"]", headers=JSON)
    first, second = answer.json()["items"]  # a bad item does not spoil the others
    assert (first["state"], second["error"]["code"]) == ("pending", "PAYLOAD_TOO_LARGE")


DEEP = 100_000
TEXTS = {
    "arrays": b"[" * DEEP,
    "closed arrays": b"[" * DEEP + b"]" * DEEP,
    "objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "brackets in turn": b'[{"a":' * DEEP,
    "an open string": b'"' + b"a" * 900_000,
    "escapes": b'"' + b"\\" * 900_001,
    "a number": b"1" * 900_000 + b"x",
    "NaN": b"NaN",
    "half a character": b'"\\ud800"',
    "no UTF-8": b'"\xff\xfe"',
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("path", [MESSAGES, INVOKE])
def test_json_that_breaks_readers(http: httpx.Client, path: str, kind: str) -> None:
    whole = b'{"performative":"inform","receiver":"echo","content":' if path == MESSAGES else b'{"content":'
    assert code(http.post(path, content=whole + TEXTS[kind] + b"}", headers=JSON)) == "INVALID_REQUEST"
    assert code(http.post(path, content=TEXTS[kind], headers=JSON)) == "INVALID_REQUEST"


CONTENTS = {
    "a number of 5,000 digits": b"1" * 5_000,
    "beside an escaped key": b'{"a\\u0062":' + b"1" * 5_000 + b"}",
    "an exponent": b"1e999999999",
    "many keys": b"{" + b",".join(b'"k%d":1' % n for n in range(60_000)) + b"}",
    "keys of equal hashes elsewhere": b"{"
    + b",".join(b'"%d":1' % (n * ((1 << 61) - 1)) for n in range(20_000))
    + b"}",
    "as deep as allowed": b"[" * 190 + b"]" * 190,
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_json_that_is_unusual_and_allowed_arrives_as_it_was(http: httpx.Client, kind: str) -> None:
    answer = http.post(INVOKE, content=b'{"content":' + CONTENTS[kind] + b"}", headers=JSON)
    assert answer.status_code == 200, answer.text[:500]
    assert CONTENTS[kind] in answer.content


def test_the_same_key_a_thousand_times(http: httpx.Client) -> None:
    content = b"{" + b",".join([b'"k":1'] * 1_000) + b"}"
    assert code(http.post(INVOKE, content=b'{"content":' + content + b"}", headers=JSON)) == "INVALID_REQUEST"


def test_a_form_of_100_000_parts(http: httpx.Client) -> None:
    for head in (b'Content-Disposition: form-data; name="wasm"; filename="m"', b"", b"X: " + b"a" * 60):
        data = b"".join(b"--b\r\n" + head + b"\r\n\r\nx\r\n" for _ in range(100_000)) + b"--b--\r\n"
        answer = http.post("/agents", content=data, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert code(answer) == "INVALID_REQUEST"


@pytest.mark.parametrize("boundary", ["", "b" * 70_000, "-", '"', "b; boundary=c"])
def test_a_boundary_that_is_none(http: httpx.Client, boundary: str) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = http.post("/agents", content=b"--" * 100_000, headers=headers)
    assert code(answer) in ("INVALID_REQUEST", "HEADERS_TOO_LARGE")


def module(*sections: bytes) -> bytes:
    return b"\0asm\1\0\0\0" + b"".join(sections)


START = [
    section(1, vector([function_type(0, 0)])),
    section(3, vector([b"\x00"])),
    section(7, vector([name("_start") + b"\x00\x00"])),
    section(10, vector([body(b"")])),
]
MODULES = {
    "a custom section that claims 4 GiB": module(*START, b"\x00" + leb(2**32 - 1) + name("x")),
    "data that claims 4 GiB": module(*START[:3], START[3], section(11, leb(1) + b"\x01" + leb(2**32 - 1))),
    "2**32 data segments": module(*START, section(11, leb(2**32 - 1))),
    "2**32 functions": module(START[0], section(3, leb(2**32 - 1))),
    "2**32 locals": module(*START[:3], section(10, vector([leb(8) + b"\x01" + leb(2**32 - 1) + b"\x7f\x0b"]))),
    "a memory of 2**32 pages": module(*START[:2], section(5, b"\x01\x00" + leb(2**32 - 1)), *START[2:]),
    "a number without an end": b"\0asm\1\0\0\0\x01" + b"\x80" * 1_000,
    "gzip": gzip.compress(module(*START)),
    "zeros": bytes(1_000_000),
}


def deploy(http: httpx.Client, **given: Any) -> httpx.Response:
    """POST /agents, and what became of it when that takes longer."""
    answer = http.post("/agents", json={"name": "bomb", **given})
    while answer.status_code == 202:
        job = http.get(answer.headers["Location"].removeprefix("/api/v1")).json()
        if job["state"] in ("done", "failed"):
            return httpx.Response(201 if job["state"] == "done" else 422, json=job)
    return answer


REFUSED = ("INVALID_WASM", "RESOURCE_LIMIT_EXCEEDED", "MEMORY_LIMIT", "COMPILE_LIMIT")


@pytest.fixture
def cleared(http: httpx.Client) -> Iterator[None]:
    """Whatever was deployed is gone afterwards."""
    yield
    http.delete("/agents/bomb", params={"purge": "true"})


@pytest.mark.usefixtures("cleared")
@pytest.mark.parametrize("kind", MODULES)
def test_a_module_that_claims_more_than_it_is(http: httpx.Client, kind: str) -> None:
    answer = deploy(http, wasm_module=base64.b64encode(MODULES[kind]).decode())
    assert answer.status_code != 201
    assert code(answer) in REFUSED, answer.text
    assert http.get("/agents/bomb").status_code == 404


@pytest.mark.usefixtures("cleared")
def test_a_table_of_billions_is_never_made(http: httpx.Client) -> None:
    """A program is started for each message: there its table meets the limit."""
    table = section(4, b"\x01\x70\x00" + leb(2**32 - 1))
    text = base64.b64encode(module(*START[:2], table, *START[2:])).decode()
    assert deploy(http, wasm_module=text).status_code == 201
    answer = http.post("/agents/bomb/invoke", json={"content": 1})
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "AGENT_FAILED"  # it could not even be started


@pytest.mark.usefixtures("cleared")
def test_names_that_are_not_there_are_nobodys_business(http: httpx.Client) -> None:
    """The section of names is for debuggers: nothing here reads it, whatever it claims."""
    names = section(0, name("name") + b"\x01" + leb(5) + leb(2**32 - 1))
    assert deploy(http, wasm_module=base64.b64encode(module(*START, names)).decode()).status_code == 201


WATS = {
    "nested folds": '(module (func (export "_start") ' + "(drop " * 20_000 + "(i32.const 1)" + ")" * 20_000 + "))",
    "nested comments": "(module " + "(;" * 100_000 + ";)" * 100_000 + ")",
    "a string of escapes": '(module (memory 1) (data (i32.const 0) "' + "\\00" * 2_000_000 + '"))',
    "an identifier": "(module (func $" + "a" * 2_000_000 + "))",
    "parentheses": "(" * 500_000,
    "no end": '(module (func (export "' + "x" * 500_000,
}


@pytest.mark.usefixtures("cleared")
@pytest.mark.parametrize("kind", WATS)
def test_text_of_a_module_that_breaks_readers(http: httpx.Client, kind: str) -> None:
    answer = deploy(http, wat=WATS[kind])
    assert answer.status_code != 201
    assert code(answer) in REFUSED, answer.text
    assert http.get("/agents/bomb").status_code == 404


def test_the_node_still_takes_what_is_usual(http: httpx.Client) -> None:
    assert http.post(MESSAGES, json=[GOOD] * 9_000 + [{**GOOD, "content": [1] * 5}] * 1_000).status_code == 202
    assert http.post("/agents", json={"name": "usual", "wat": wat.SILENT}).status_code in (201, 202)
