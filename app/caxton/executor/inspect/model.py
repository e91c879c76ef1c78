"""What the structural reading of a module yields.

Owns plain data only; must never read bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

FUNCTION: Final = 0
TABLE: Final = 1
MEMORY: Final = 2
GLOBAL: Final = 3
TAG: Final = 4
KIND_NAMES: Final = ("function", "table", "memory", "global", "tag")

UNKNOWN: Final = "?"
"""A type outside the table below: never equal to the type of anything that is offered."""
TYPE_LETTERS: Final = {0x7F: "i", 0x7E: "I", 0x7D: "f", 0x7C: "F", 0x7B: "v", 0x70: "r", 0x6F: "x"}
_NAMES: Final = {"i": "i32", "I": "i64", "f": "f32", "F": "f64", "v": "v128", "r": "funcref", "x": "externref"}


class FunctionType(NamedTuple):
    """Parameters and results, one letter each: `i` i32, `I` i64, `f` f32, `F` f64, `v` v128, `r`/`x` references."""

    params: str
    results: str

    def text(self) -> str:
        """For people: `(i32, i32) -> i32`."""
        params = ", ".join(_NAMES.get(letter, UNKNOWN) for letter in self.params)
        results = ", ".join(_NAMES.get(letter, UNKNOWN) for letter in self.results)
        return f"({params}) -> {results}" if results else f"({params})"


class Import(NamedTuple):
    """One import. `type` only for functions whose type is a function type."""

    module: str
    name: str
    kind: int
    type: FunctionType | None


class Export(NamedTuple):
    """One export: the `item`-th of its kind."""

    name: str
    kind: int
    item: int


class MemoryType(NamedTuple):
    """Limits of one memory in pages (64 KiB unless a custom page size is in force, which is always refused)."""

    minimum: int
    maximum: int | None
    shared: bool


class Body(NamedTuple):
    """One function body: `start`/`end` offsets of its instructions, `locals` declared (without parameters)."""

    start: int
    end: int
    locals: int


class Spread(NamedTuple):
    """Where the data segments with a constant offset lie: from `low` to `high`, `data_bytes` altogether."""

    segments: int = 0
    low: int = 1 << 64
    high: int = 0
    data_bytes: int = 0


@dataclass(slots=True)
class Module:
    """A module as its bytes say, not yet validated."""

    types: list[FunctionType | None] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    """Type index of every function, imported ones first."""
    imported_functions: int = 0
    memories: list[MemoryType] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    bodies: list[Body] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """Items of every section that is only counted: table, global, element, data segments, tag."""

    spread: Spread = field(default_factory=Spread)

    def function_type(self, index: int) -> FunctionType | None:
        """The type of a function, or None when an index leads nowhere (validation will say so)."""
        if index >= len(self.functions) or self.functions[index] >= len(self.types):
            return None
        return self.types[self.functions[index]]
