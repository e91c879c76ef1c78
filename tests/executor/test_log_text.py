"""What a guest logs becomes one line of text, whatever bytes it is."""

from __future__ import annotations

import pytest

from caxton.executor.worker.execution import escape


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"plain \xc3\xa9 \xf0\x9f\x98\x80\ttab", "plain é 😀\ttab"),
        (b"a\r\n2026-01-01 ERROR forged", "a\\x0d\\x0a2026-01-01 ERROR forged"),
        (b"\x1b[31mred\x1b]52;c;eA==\x07\x00\x7f", "\\x1b[31mred\\x1b]52;c;eA==\\x07\\x00\\x7f"),
        (b"\xff\xfe\xc3", "\\xff\\xfe\\xc3"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        (
            "\x85\x9b\u2028\u202e\u2066\u200d\ufeff\u00ad".encode(),
            "\\x85\\x9b\\u2028\\u202e\\u2066\\u200d\\ufeff\\u00ad",
        ),
        ("\U000e0041\U000e007f".encode(), "\\U000e0041\\U000e007f"),
    ],
)
def test_nothing_in_it_ends_the_line_moves_the_cursor_or_hides(data: bytes, shown: str) -> None:
    assert escape(data) == shown
