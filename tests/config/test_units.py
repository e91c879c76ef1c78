from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.config import format_duration, format_size, parse_duration, parse_size
from caxton.config.problems import Rejected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("200ms", 0.2),
        ("1h", 3600.0),
        ("7d", 604_800.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        ("10us", 1e-5),
    ],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MB", 512_000_000),
        ("1MiB", 1_048_576),
        ("1GB", 10**9),
        ("64KiB", 65_536),
        ("1.5kB", 1500),
        ("7B", 7),
        ("2 GB", 2 * 10**9),
    ],
)
def test_mb_is_decimal_and_mib_is_binary(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "30", "s", "-1s", "1 s", "1e3s", "30S", "1h 30m", "٣s", "30s\n", "1sec", "9" * 40 + "s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Rejected):
        parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", "512", "MB", "-1MB", "1mb", "1Gi", "0.5B", "1MB ", "٣MB", "9999999999TB", "1 MB x"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(Rejected):
        parse_size(text)


@given(st.integers(0, 10**12).map(lambda micros: micros / 1_000_000))
def test_a_duration_survives_being_written(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(
    st.integers(0, 2**63 - 1)
    | st.integers(0, 999).flatmap(lambda n: st.sampled_from([n * 10**6, n * 2**20, n * 2**30]))
)
def test_a_size_survives_being_written(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.text(max_size=20))
def test_any_text_is_a_value_or_is_refused(text: str) -> None:
    for parse in (parse_duration, parse_size):
        try:
            value = parse(text)
        except Rejected as rejected:
            value = len(rejected.expected)
        assert value >= 0
