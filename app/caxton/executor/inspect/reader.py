"""Reads integers, names and slices out of a WebAssembly binary.

Owns the bounds checks: every read that would leave the bytes is an `INVALID_WASM` that names the place.
Must never interpret what it reads.
"""

from __future__ import annotations

from typing import Any, NoReturn

from caxton.protocol.errors import CaxtonError, Code


def refuse(rule: str, message: str, **place: Any) -> NoReturn:
    """Raises `INVALID_WASM`. `rule` names what was broken; `place` says where, found and allowed."""
    raise CaxtonError(Code.INVALID_WASM, message, rule=rule, **place)


class Reader:
    """A cursor over `data[position:end]`. `place` names the part being read, for refusals."""

    __slots__ = ("data", "end", "place", "position")

    def __init__(self, data: bytes, position: int, end: int, place: str) -> None:
        self.data = data
        self.position = position
        self.end = end
        self.place = place

    def truncated(self) -> NoReturn:
        """Refuses because the bytes end inside `place`."""
        refuse("truncated", f"the module ends inside its {self.place}", section=self.place, offset=self.position)

    def more(self) -> bool:
        """Whether bytes are left."""
        return self.position < self.end

    def byte(self) -> int:
        """The next byte."""
        if self.position >= self.end:
            self.truncated()
        self.position += 1
        return self.data[self.position - 1]

    def u32(self) -> int:
        """An unsigned LEB128 of at most 32 bits."""
        return self._unsigned(35)

    def u64(self) -> int:
        """An unsigned LEB128 of at most 64 bits."""
        return self._unsigned(70)

    def _unsigned(self, bits: int) -> int:
        start, value, shift = self.position, 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits:
                self.bad("integer", "is too long", start)
        if value >> (32 if bits == 35 else 64):
            self.bad("integer", "is too large", start)
        return value

    def skip_leb(self) -> None:
        """Steps over a LEB128 of any sign, at most 10 bytes."""
        for _ in range(10):
            if self.byte() < 0x80:
                return
        self.bad("integer", "is too long", self.position - 10)

    def count(self, minimum_size: int = 1) -> int:
        """The length of a vector whose items take at least `minimum_size` bytes each: cannot exceed what is left."""
        start = self.position
        number = self.u32()
        if number * minimum_size > self.end - self.position:
            self.bad("vector", f"announces {number} items, more than its bytes can hold", start)
        return number

    def take(self, length: int) -> bytes:
        """The next `length` bytes."""
        start = self.position
        if length > self.end - start:
            self.truncated()
        self.position = start + length
        return self.data[start : start + length]

    def name(self) -> str:
        """A length and as many bytes of UTF-8."""
        start = self.position
        try:
            return self.take(self.u32()).decode()
        except UnicodeDecodeError:
            self.bad("name", "is not UTF-8", start)

    def part(self, length: int, place: str) -> Reader:
        """A cursor over the next `length` bytes; this one steps over them."""
        start = self.position
        if length > self.end - start:
            self.truncated()
        self.position = start + length
        return Reader(self.data, start, start + length, place)

    def bad(self, what: str, why: str, offset: int) -> NoReturn:
        """Refuses a malformed `what` at `offset`."""
        refuse("malformed", f"{what} in the {self.place} {why}", section=self.place, offset=offset)
