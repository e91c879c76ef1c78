from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from caxton.config import Loaded, load, show
from caxton.config.sections import KEYS
from caxton.protocol.errors import CaxtonError, Code

FILE = Path(tempfile.mkdtemp(prefix="cx")) / "any.toml"
SECTIONS = sorted({key.split(".")[0] for key in KEYS})
NAMES = sorted({key.split(".")[1] for key in KEYS})

plain = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
strings = plain | st.sampled_from(
    ["30s", "512MB", "${X}", "${X:-1}", "127.0.0.1:80", "http://h:4317", "http://[", "1", "\u2028", "\x7f"]
)
scalars = strings | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4), max_leaves=6)
tables = st.dictionaries(st.sampled_from(NAMES) | plain, values, max_size=5)
documents = st.dictionaries(st.sampled_from(SECTIONS) | plain, tables, max_size=4)


def toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value).replace("\x7f", "\\u007f")


def loads_or_complains(data: bytes, environ: dict[str, str]) -> None:
    FILE.write_bytes(data)
    try:
        loaded = load(FILE, environ)
    except CaxtonError as error:
        complains_well(error)
    else:
        assert isinstance(loaded, Loaded)
        assert json.dumps([row.value for row in show(loaded)])


def complains_well(error: CaxtonError) -> None:
    assert error.code == Code.CONFIG_INVALID
    assert error.details["problems"]
    assert all(problem["path"] and problem["expected"] for problem in error.details["problems"])
    assert json.dumps(error.details)


@settings(max_examples=300, deadline=None)
@given(
    documents,
    st.dictionaries(st.sampled_from([f"CAXTON_{key.replace('.', '__').upper()}" for key in KEYS]), plain, max_size=3),
)
@example({"networking": {"bind_address": "127.0.0.1:80", "metrics_address": "[::1]:1"}}, {})
@example({"observability": {"otlp_endpoint": "http://[::1:4318"}}, {})
@example({"observability": {"otlp_endpoint": "http://h:99999/x"}}, {})
def test_any_document_gives_a_configuration_or_a_list_of_problems(document, environ) -> None:
    lines = []
    for section, table in document.items():
        lines.append(f"[{json.dumps(section)}]")
        lines += [f"{json.dumps(name)} = {toml(value)}" for name, value in table.items()]
    loads_or_complains("\n".join(lines).encode(), environ)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_give_a_configuration_or_a_list_of_problems(data: bytes) -> None:
    loads_or_complains(data, {})
