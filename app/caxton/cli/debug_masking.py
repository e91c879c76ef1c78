"""What looks like a secret, taken out of what `caxton debug` collects.

Owns how it is known: by the name it stands behind, then by its value wherever that comes again. Must never be taken
for a proof: a secret under a harmless name, or said in other words, stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.recordings import Carried

SHOWN: Final = "********"
_SECRET: Final = re.compile(r"secret|token|passw|credential|api_?key|private", re.IGNORECASE)
_SHORTEST: Final = 4
"""Characters: what is shorter would be found in everything."""


class Masks:
    """Remembers what it has masked."""

    def __init__(self) -> None:
        self._values: set[str] = set()

    def named(self, value: Any) -> Any:
        """The same, with the text behind every name that sounds like a secret's replaced."""
        if isinstance(value, dict):
            return {key: self._behind(key, inner) for key, inner in value.items()}
        return [self.named(inner) for inner in value] if isinstance(value, list) else value

    def _behind(self, key: object, inner: Any) -> Any:
        if not (isinstance(inner, str) and _SECRET.search(str(key))):
            return self.named(inner)
        if inner.strip("*") and len(inner) >= _SHORTEST:
            self._values.add(inner)
        return SHOWN

    def everywhere(self, value: Any) -> Any:
        """The same without the texts that were masked anywhere."""
        return self._without(value, lambda _: SHOWN)

    def recorded(self, carried: Carried) -> Carried:
        """The same for a recording, memory and all; it stays one, for a mask is as long as what it covers.

        `INVALID_REQUEST` where it would be none any more.
        """
        if not self._values:
            return carried
        plain = self._without(msgspec.msgpack.decode(msgspec.msgpack.encode(carried)), lambda text: "*" * len(text))
        try:
            return msgspec.convert(plain, Carried)
        except msgspec.ValidationError as problem:
            raise CaxtonError(Code.INVALID_REQUEST, f"it is not to be masked: {problem}") from None

    def _without(self, value: Any, mask: Callable[[str], str]) -> Any:
        """Values only, no names of fields: what is taken apart can be put together again."""
        if isinstance(value, dict):
            return {key: self._without(inner, mask) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._without(inner, mask) for inner in value]
        if isinstance(value, (str, bytes)):
            for text in sorted(self._values, key=len, reverse=True):
                value = _replaced(value, text, mask(text))
        return value


def _replaced(value: str | bytes, text: str, mask: str) -> str | bytes:
    return value.replace(text, mask) if isinstance(value, str) else value.replace(text.encode(), mask.encode())
