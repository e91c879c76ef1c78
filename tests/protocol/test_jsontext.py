from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.jsontext import MAX_DEPTH, check_keys, decode, is_json

ANYTHING = msgspec.json.Decoder()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: int = 0


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner
    many: list[Inner] = []
    maybe: Inner | None = None


DECODER = msgspec.json.Decoder(Outer)


def refused(data: bytes) -> CaxtonError:
    with pytest.raises(CaxtonError) as caught:
        decode(data, DECODER)
    assert caught.value.code is Code.INVALID_REQUEST
    return caught.value


@given(JSON, st.booleans())
def test_what_json_writes_is_taken_unchanged(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    assert decode(data, ANYTHING) == value


@given(JSON, st.text(alphabet='ab\\"é', max_size=4))
def test_a_key_twice_is_found_wherever_it_is(value: object, key: str) -> None:
    name = json.dumps(key, ensure_ascii=False)
    text = f'[{json.dumps(value)}, {{{name}: 1, "x": [{{}}], {json.dumps(key)}: 2}}]'.encode()
    with pytest.raises(CaxtonError):
        check_keys(text)


@pytest.mark.parametrize(
    ("data", "path", "nearest"),
    [
        (b'{"iner": {}}', "iner", "inner"),
        (b'{"inner": {"sise": 1}}', "inner.sise", "size"),
        (b'{"inner": {}, "many": [{"Size": 1}]}', "many[0].Size", "size"),
        (b'{"inner": {}, "maybe": {"sizes": 1}}', "maybe.sizes", "size"),
    ],
)
def test_an_unknown_field_has_its_path_and_the_nearest_known(data: bytes, path: str, nearest: str) -> None:
    details = refused(data).details
    assert (details["path"], details["nearest"]) == (path, nearest)


@pytest.mark.parametrize(
    ("data", "path"),
    [(b'{"inner": {"size": "1"}}', "inner.size"), (b"{}", "inner"), (b"[]", ""), (b'{"inner": 1}', "inner")],
)
def test_a_wrong_type_has_its_path(data: bytes, path: str) -> None:
    assert refused(data).details["path"] == path


@pytest.mark.parametrize(
    ("data", "place"),
    [(b'{"inner": {}\n  x}', (2, 3)), (b'{"other": 1,\n\n}', (3, 1)), ('{"é": é}'.encode(), (1, 8))],
)
def test_a_syntax_error_has_its_place_before_any_wrong_field(data: bytes, place: tuple[int, int]) -> None:
    details = refused(data).details
    assert (details["line"], details["column"]) == place


def test_depth_has_a_limit_and_brackets_in_strings_do_not_count() -> None:
    deep = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert decode(deep, ANYTHING)
    with pytest.raises(CaxtonError):
        decode(b"[" + deep + b"]", ANYTHING)
    assert decode(b'["' + b"[" * 1000 + b'"]', ANYTHING) == ["[" * 1000]
    assert decode(b"[" + b",".join([b"[]"] * 1000) + b"]", ANYTHING)


@given(st.binary(max_size=60))
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    assert taken(data) == is_json(data)


def taken(data: bytes) -> bool:
    try:
        decode(data, ANYTHING, parts=True)
    except CaxtonError:
        return False
    return True
