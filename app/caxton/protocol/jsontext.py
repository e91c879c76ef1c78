"""JSON from outside, decoded strictly into typed models, with errors that name the place.

Owns the checks that msgspec leaves out: UTF-8 in skipped parts, duplicate keys, depth. Must never guess
what was meant.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from itertools import accumulate
from typing import Any, Final, TypeVar

import msgspec

from caxton.protocol.errors import CaxtonError, Code

T = TypeVar("T")

MAX_DEPTH: Final = 200
"""Arrays and objects within each other; more is refused, so that no later decoder can be overrun."""

EXACT_BYTES: Final = 1_000_000
"""Up to which size the place of a syntax error is looked for twice."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_KEY = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")(\s*+:)?')
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""Brackets as what they add to the depth, in signed bytes."""
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[{]}"))
_AT_BYTE = re.compile(r" \(byte (\d+)\)$")
_AT_PATH = re.compile(r" - at `(?:key in )?(.+)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(.*)`$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(.*)`$")
_EXPECTED = re.compile(r"^Expected (.*?)(?:, got (.*))?$")


def decode(data: bytes, decoder: msgspec.json.Decoder[T], *, parts: bool = False) -> T:
    """`data` as the decoder's type, or `INVALID_REQUEST` with line and column, or with the field's path.

    `parts`: the caller decodes each part by itself, which looks for depth and duplicate keys then.
    """
    check_utf8(data)
    if not parts:
        check_depth(data)
    try:
        value = decoder.decode(data)
    except msgspec.ValidationError as error:
        _require_json(data)
        raise _wrong_shape(error, decoder.type) from None
    except msgspec.DecodeError as error:
        raise _wrong_json(data, str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    if not parts:
        check_keys(data)
    return value


def check_utf8(data: bytes) -> None:
    """Refuses what is not UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"the body is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}",
            offset=error.start,
            expected="UTF-8",
        ) from None


def check_depth(data: bytes) -> None:
    """Refuses what nests deeper than `MAX_DEPTH`."""
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise _too_deep()


def check_keys(data: bytes) -> None:
    """Refuses an object that has a key twice. `data` is valid JSON.

    Texts whose keys are all different anywhere (the usual request) pass without being decoded again.
    """
    keys = [key for key, colon in _KEY.findall(data) if colon]
    if len(set(keys)) != len(keys) or any(b"\\" in key for key in keys):
        json.loads(data, object_pairs_hook=_refuse_duplicates, parse_int=_unread, parse_float=_unread)


def is_json(data: bytes) -> bool:
    """Whether `data` is one valid JSON text, duplicate keys aside."""
    try:
        check_utf8(data)
        check_depth(data)
        msgspec.json.decode(data)
    except (CaxtonError, msgspec.DecodeError, RecursionError):
        return False
    return True


def convert(value: Any, model: type[T], *, strict: bool = True) -> T:
    """`value` (already decoded, or query parameters with `strict` off) as `model`, else `INVALID_REQUEST`."""
    try:
        return msgspec.convert(value, model, strict=strict)
    except msgspec.ValidationError as error:
        raise _wrong_shape(error, model) from None


def _require_json(data: bytes) -> None:
    """Text that is no JSON at all is said to be that, even if a wrong field comes before the place."""
    try:
        msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise _wrong_json(data, str(error)) from None


def _unread(_: str) -> None:
    """Stands for a number: Python reads none of more than 4,300 digits, and nobody asks for its value here."""


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise CaxtonError(
                Code.INVALID_REQUEST,
                f"the key {key[:80]!r} occurs twice in one object",
                path=key[:80],
                expected="once",
            )
        seen.add(key)


def _depth(data: bytes) -> int:
    steps = memoryview(_STRING.sub(b"", data).translate(_STEPS, _NO_BRACKETS)).cast("b")
    return max(accumulate(steps), default=0)


def _too_deep() -> CaxtonError:
    return CaxtonError(
        Code.INVALID_REQUEST,
        f"the JSON nests deeper than {MAX_DEPTH} levels",
        expected=f"at most {MAX_DEPTH} levels of arrays and objects",
    )


def _wrong_json(data: bytes, text: str) -> CaxtonError:
    reason, offset = _syntax_error(data) or _reported(data, text)
    line = data.count(b"\n", 0, offset) + 1
    column = offset - (data.rfind(b"\n", 0, offset) + 1) + 1
    return CaxtonError(
        Code.INVALID_REQUEST,
        f"the body is not JSON: {reason} (line {line}, column {column})",
        line=line,
        column=column,
        expected="JSON",
    )


def _syntax_error(data: bytes) -> tuple[str, int] | None:
    """What is wrong and at which byte, by the standard library: slower, but exact about the place."""
    if len(data) > EXACT_BYTES:
        return None
    text = data.decode()
    try:
        json.loads(text, parse_int=_unread, parse_float=_unread)
    except json.JSONDecodeError as error:
        return error.msg[:1].lower() + error.msg[1:], len(text[: error.pos].encode())
    return None


def _reported(data: bytes, text: str) -> tuple[str, int]:
    """What msgspec says of it, and where: for what the standard library would take, such as NaN."""
    found = _AT_BYTE.search(text)
    offset = min(int(found[1]), len(data)) if found else len(data)
    reason = _AT_BYTE.sub("", text).removeprefix("JSON is malformed: ")
    return "the text ends too early" if reason == "Input data was truncated" else reason, offset


def _wrong_shape(error: msgspec.ValidationError, model: Any) -> CaxtonError:
    text = str(error)
    at = _AT_PATH.search(text)
    path = at[1].removeprefix("$").removeprefix(".") if at else ""
    text = _AT_PATH.sub("", text)
    if unknown := _UNKNOWN.match(text):
        return _unknown_field(path, unknown[1], _fields_at(model, path))
    if missing := _MISSING.match(text):
        field = f"{path}.{missing[1]}".removeprefix(".")
        return CaxtonError(Code.INVALID_REQUEST, f"{field}: this field is required", path=field, expected="a value")
    where = path or "the body"
    wanted = _EXPECTED.match(text)
    details: dict[str, Any] = {"path": path, "expected": wanted[1].replace("`", "") if wanted else text}
    if wanted and wanted[2]:
        details["found"] = wanted[2].replace("`", "")
    return CaxtonError(Code.INVALID_REQUEST, f"{where}: {text}", **details)


def _unknown_field(path: str, name: str, known: list[str]) -> CaxtonError:
    field = f"{path}.{name}".removeprefix(".")[:200]
    near = get_close_matches(name.lower().replace("-", "_")[:80], known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    details: dict[str, Any] = {"path": field, "expected": known}
    if near:
        details["nearest"] = near[0]
    return CaxtonError(Code.INVALID_REQUEST, f"{field}: there is no such field{hint}", **details)


def _fields_at(model: Any, path: str) -> list[str]:
    """The field names of the struct at `path` (such as `grants.dirs[0]`) of `model`."""
    info = _struct_of(msgspec.inspect.type_info(model))
    for name in filter(None, path.split(".")):
        if info is None:
            return []
        field = next((f for f in info.fields if f.encode_name == re.sub(r"\[.*", "", name)), None)
        info = _struct_of(field.type) if field is not None else None
    return [f.encode_name for f in info.fields] if info is not None else []


def _struct_of(info: Any) -> msgspec.inspect.StructType | None:
    if isinstance(info, msgspec.inspect.StructType):
        return info
    if isinstance(info, msgspec.inspect.ListType):
        return _struct_of(info.item_type)
    if isinstance(info, msgspec.inspect.UnionType):
        return next(filter(None, map(_struct_of, info.types)), None)
    return None
