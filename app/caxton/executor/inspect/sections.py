"""Cuts a WebAssembly binary into its sections and reads what the refusals need.

Owns the structural reading of a module. Must never trust a count, and never decide what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from caxton.executor.inspect.model import (
    FUNCTION,
    GLOBAL,
    MEMORY,
    TABLE,
    TAG,
    TYPE_LETTERS,
    UNKNOWN,
    Body,
    Export,
    FunctionType,
    Import,
    MemoryType,
    Module,
    Spread,
)
from caxton.executor.inspect.reader import Reader, refuse

MAGIC: Final = b"\0asm"
VERSION: Final = b"\1\0\0\0"
COMPONENT_LAYER: Final = b"\1\0"
SECTION_NAMES: Final = (
    "custom", "type", "import", "function", "table", "memory", "global",
    "export", "start", "element", "code", "data", "data count", "tag",
)  # fmt: skip
_CONSTANT_ARITHMETIC: Final = frozenset((0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E))
_ORDER: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 13: 6, 6: 7, 7: 8, 8: 9, 9: 10, 12: 11, 10: 12, 11: 13}


def read_module(data: bytes) -> Module:
    """The module's structure, or `INVALID_WASM` with the section and offset."""
    _check_header(data)
    module = Module()
    reader = Reader(data, 8, len(data), "list of sections")
    last = 0
    while reader.more():
        offset = reader.position
        number = reader.byte()
        if number >= len(SECTION_NAMES):
            refuse("section", f"unknown section {number}", offset=offset, found=number)
        part = reader.part(reader.u32(), f"{SECTION_NAMES[number]} section")
        if number == 0:
            part.name()
            continue
        if _ORDER[number] <= last:
            refuse("section", f"the {SECTION_NAMES[number]} section is out of order or repeated", offset=offset)
        last = _ORDER[number]
        _SECTIONS[number](part, module)
    if len(module.bodies) != len(module.functions) - module.imported_functions:
        declared = len(module.functions) - module.imported_functions
        refuse("bodies", "functions and bodies differ in number", found=len(module.bodies), allowed=declared)
    return module


def _check_header(data: bytes) -> None:
    if not data:
        refuse("empty", "the module has no bytes; a WebAssembly binary starts with \\0asm")
    if data[:4] != MAGIC:
        kind = "an ELF binary" if data[:4] == b"\x7fELF" else "not WebAssembly"
        if MAGIC.startswith(data[:4]):
            refuse("truncated", "the module ends inside its header", offset=len(data))
        refuse("magic", f"the bytes are {kind}", offset=0, found=data[:4].hex(), allowed=MAGIC.hex())
    if len(data) < 8:
        refuse("truncated", "the module ends inside its header", offset=len(data))
    if data[6:8] == COMPONENT_LAYER:
        refuse("component", "this is a component; a core module is needed", offset=4, found=data[4:8].hex())
    if data[4:8] != VERSION:
        refuse("version", "unknown binary version", offset=4, found=data[4:8].hex(), allowed=VERSION.hex())


def _value_type(reader: Reader) -> str:
    byte = reader.byte()
    if byte in (0x63, 0x64):  # (ref null? heaptype)
        reader.skip_leb()
        return UNKNOWN
    return TYPE_LETTERS.get(byte, UNKNOWN)


def _types(reader: Reader, module: Module) -> None:
    for _ in range(reader.count(2)):
        form = reader.byte()
        if form == 0x4E:  # a recursive group: its members count as types of their own
            for _ in range(reader.count(2)):
                _type(reader, module, reader.byte())
        else:
            _type(reader, module, form)


def _type(reader: Reader, module: Module, form: int) -> None:
    if form in (0x4F, 0x50):  # a subtype: names its supertypes first
        for _ in range(reader.count()):
            reader.u32()
        form = reader.byte()
    if form == 0x60:
        params = "".join(_value_type(reader) for _ in range(reader.count()))
        results = "".join(_value_type(reader) for _ in range(reader.count()))
        module.types.append(FunctionType(params, results))
        return
    if form not in (0x5E, 0x5F):
        reader.bad("type", f"has the unknown form {form:#x}", reader.position - 1)
    for _ in range(reader.count(2) if form == 0x5F else 1):  # fields of a struct, or the one of an array
        _value_type(reader)
        reader.byte()
    module.types.append(None)


def _limits(reader: Reader) -> MemoryType:
    flags = reader.byte()
    if flags & 0x08:
        refuse("page-size", "custom page sizes are not offered", section=reader.place, offset=reader.position - 1)
    wide = bool(flags & 0x04)
    minimum = reader.u64() if wide else reader.u32()
    maximum = (reader.u64() if wide else reader.u32()) if flags & 0x01 else None
    return MemoryType(minimum, maximum, bool(flags & 0x02))


def _imports(reader: Reader, module: Module) -> None:
    for _ in range(reader.count(4)):
        owner, name, kind = reader.name(), reader.name(), reader.byte()
        signature: FunctionType | None = None
        if kind == FUNCTION:
            index = reader.u32()
            module.functions.append(index)
            module.imported_functions += 1
            signature = module.types[index] if index < len(module.types) else None
        elif kind == TABLE:
            _value_type(reader)
            _limits(reader)
        elif kind == MEMORY:
            module.memories.append(_limits(reader))
        elif kind == GLOBAL:
            _value_type(reader)
            reader.byte()
        elif kind == TAG:
            reader.byte()
            reader.u32()
        else:
            refuse("import", f"unknown kind of import {kind}", section=reader.place, offset=reader.position - 1)
        module.imports.append(Import(owner, name, kind, signature))


def _functions(reader: Reader, module: Module) -> None:
    module.functions.extend(reader.u32() for _ in range(reader.count()))


def _memories(reader: Reader, module: Module) -> None:
    module.memories.extend(_limits(reader) for _ in range(reader.count(2)))


def _exports(reader: Reader, module: Module) -> None:
    for _ in range(reader.count(3)):
        module.exports.append(Export(reader.name(), reader.byte(), reader.u32()))


def _count_only(name: str) -> Callable[[Reader, Module], None]:
    def read(reader: Reader, module: Module) -> None:
        module.counts[name] = reader.count()

    return read


def _code(reader: Reader, module: Module) -> None:
    for index in range(reader.count(2)):
        body = reader.part(reader.u32(), f"body of function {module.imported_functions + index}")
        declared = 0
        for _ in range(body.count(2)):
            declared += body.u32()
            _value_type(body)
        module.bodies.append(Body(body.position, body.end, declared))


def _data(reader: Reader, module: Module) -> None:
    number = module.counts["data"] = reader.count(2)
    low, high, total = Spread().low, 0, 0
    for _ in range(number):
        flags = reader.u32()
        if flags == 2:
            reader.u32()
        offset = _constant(reader) if flags != 1 else None
        length = len(reader.take(reader.u32()))
        total += length
        if offset is not None:
            low, high = min(low, offset), max(high, offset + length)
    module.spread = Spread(number, low, high, total)


def _constant(reader: Reader) -> int | None:
    """The value of a constant expression of one i32.const or i64.const; None for any other, which is stepped over."""
    value: int | None = None
    operations = 0
    while (opcode := reader.byte()) != 0x0B:
        operations += 1
        if opcode in (0x41, 0x42):
            start = reader.position
            reader.skip_leb()
            encoded = reader.data[start : reader.position]
            value = sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(encoded))
            value &= 0xFFFF_FFFF if opcode == 0x41 else 0xFFFF_FFFF_FFFF_FFFF
        elif opcode == 0x23:
            reader.u32()
        elif opcode not in _CONSTANT_ARITHMETIC:
            reader.bad("offset", f"uses the instruction {opcode:#x}", reader.position - 1)
    return value if operations == 1 else None


def _ignore(reader: Reader, module: Module) -> None:
    """Start and data count: one number each, checked by validation."""


_SECTIONS: Final[dict[int, Callable[[Reader, Module], None]]] = {
    1: _types,
    2: _imports,
    3: _functions,
    4: _count_only("table"),
    5: _memories,
    6: _count_only("global"),
    7: _exports,
    8: _ignore,
    9: _count_only("element"),
    10: _code,
    11: _data,
    12: _ignore,
    13: _count_only("tag"),
}
