"""What looks like a secret, taken out of what `caxton debug` collects.

Owns how it is known: by the name it stands behind, then by its value wherever that comes again. Must never be taken
for a proof: a secret under a harmless name, or said in other words, stays.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from caxton.protocol.recordings import MASK, Carried

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

    def everywhere(self, text: bytes) -> bytes:
        """JSON or other text without the values that were masked anywhere."""
        for value in self._longest_first():
            for written in {value.encode(), msgspec.json.encode(value)[1:-1]}:
                text = text.replace(written, SHOWN.encode())
        return text

    def recorded(self, carried: Carried) -> Carried:
        """The same for a recording, memory and all; it stays one, for a mask is as long as what it covers."""
        data = found = msgspec.msgpack.encode(carried)
        for value in self._longest_first():
            text = value.encode()
            data = data.replace(text, MASK * len(text))
        return carried if data is found else msgspec.msgpack.decode(data, type=Carried)

    def _longest_first(self) -> list[str]:
        return sorted(self._values, key=len, reverse=True)
