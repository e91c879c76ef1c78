"""What every answer tells a browser, whatever it answers.

Owns these headers. Must never depend on a request, but for its scheme: most answers have them ready-made.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Headers = list[tuple[str, str]]
SERVER: Final = "caxton"
"""No version: it would tell attackers where to begin."""
POLICY: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""An answer is data: nothing in it may be run, shown in a frame, or loaded from elsewhere."""
ALWAYS: Final[Headers] = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", POLICY),
    ("Cache-Control", "no-store"),
]
BLOCK: Final = "".join(f"{name}: {value}\r\n" for name, value in ALWAYS)
"""The same as text."""
_BY_TLS: Final[Headers] = [("Strict-Transport-Security", "max-age=31536000")]
_HTTPS: Final = "https"


def by_scheme(scheme: str) -> Headers:
    """What is said over TLS only: a browser believes it nowhere else, and a plain node must not promise it."""
    return _BY_TLS if scheme == _HTTPS else []


def completed(given: Iterable[tuple[str, str]]) -> Headers:
    """`given`, and those of `ALWAYS` that it does not have: a view's own word counts."""
    made = list(given)
    named = {name.lower() for name, _ in made}
    return made + [(name, value) for name, value in ALWAYS if name.lower() not in named]
