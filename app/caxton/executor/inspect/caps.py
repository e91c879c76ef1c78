"""Structural caps: what a module may look like, so that compiling it stays within the jail.

Owns the numbers and the estimate of work. Must never refuse what real compilers make: each cap is a multiple
of what the largest real program at hand needs (yosys: 46,473 functions, bodies of 223 KB, 658 locals, loops
24 deep, blocks 534 deep). Size alone bounds neither compile time nor memory (a valid 5 KB module kept the
compiler busy for minutes): they grow with locals times branches, with the nesting of loops and with the arity
of blocks.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final

from caxton.executor.inspect.instructions import BLOCK, END, IF, LOOP, TRY_TABLE, Control, control_of
from caxton.executor.inspect.model import Body, Module, Spread
from caxton.executor.inspect.reader import refuse

MAX_MODULE_BYTES: Final = 100_000_000
MAX_FUNCTIONS: Final = 100_000
MAX_ITEMS: Final = 100_000
"""Types, imports, exports, globals, elements, data segments, tags: each."""
MAX_NAME_BYTES: Final = 4_096
MAX_NAMES_BYTES: Final = 4_000_000
"""All names of imports and exports together: they travel to the router and are kept there."""
MAX_SEGMENTS: Final = 10_000
"""The compiler is quadratic in them: 60,000 took 19 s."""
FEW_SEGMENTS: Final = 1_000
MAX_SPREAD_BYTES: Final = 64_000_000
"""300 KB with 30,000 segments of one byte each took the compiler 7 s, 650 KB all of its memory."""
MAX_CODE_BYTES: Final = 56_000_000
"""42 MB of code took 1.4 GB to compile."""
MAX_BODY_BYTES: Final = 1_000_000
MAX_LOCALS: Final = 10_000
MAX_PARAMETERS: Final = 255
MAX_RESULTS: Final = 16
MAX_DEPTH: Final = 5_000
MAX_LOOP_DEPTH: Final = 64
MAX_BRANCH_TARGETS: Final = 131_072
MAX_LOCALS_TIMES_BRANCHES: Final = 20_000_000
MAX_LOCALS_TIMES_LOOPS: Final = 2_500_000
MAX_WORK: Final = 180.0
"""Seconds by the estimate below; yosys is estimated at 105 and takes 55 to 65."""

SECONDS_PER_FUNCTION: Final = 60e-6
SECONDS_PER_BYTE: Final = 1.5e-6
SECONDS_PER_LOCAL: Final = 0.06e-6
SECONDS_PER_LOCAL_AND_BRANCH: Final = 0.12e-6
SECONDS_PER_LOCAL_AND_LOOP: Final = 2e-6

_DEPTH: Final = tuple(1 if op in (BLOCK, LOOP, IF, TRY_TABLE) else -1 if op == END else 0 for op in range(256))


def check_counts(module: Module) -> None:
    """Refuses too many of anything, before any body is read."""
    declared = len(module.functions)
    _cap("functions", declared, MAX_FUNCTIONS)
    counts = {"types": len(module.types), "imports": len(module.imports), "exports": len(module.exports)}
    for what, found in (counts | module.counts).items():
        _cap(what, found, MAX_ITEMS)
    _check_names(module)
    _check_spread(module.spread)
    for index, kind in enumerate(module.types):
        if kind:
            _cap("parameters", len(kind.params), MAX_PARAMETERS, type=index)
            _cap("results", len(kind.results), MAX_RESULTS, type=index)
    _cap("code", sum(body.end - body.start for body in module.bodies), MAX_CODE_BYTES)
    for index, body in enumerate(module.bodies):
        place = {"function": module.imported_functions + index, "offset": body.start}
        _cap("body", body.end - body.start, MAX_BODY_BYTES, **place)
        _cap("locals", body.locals, MAX_LOCALS, **place)


def _check_names(module: Module) -> None:
    names = [name for item in module.imports for name in (item.module, item.name)]
    names += [export.name for export in module.exports]
    _cap("name", max((len(name.encode()) for name in names), default=0), MAX_NAME_BYTES)
    _cap("names", sum(len(name.encode()) for name in names), MAX_NAMES_BYTES)


def _check_spread(spread: Spread) -> None:
    """Many segments far apart: the image of memory that is built from them would be mostly holes."""
    _cap("data-segments", spread.segments, MAX_SEGMENTS)
    if spread.segments > FEW_SEGMENTS:
        _cap("data-spread", spread.high - spread.low, MAX_SPREAD_BYTES + 4 * spread.data_bytes)


def check_bodies(data: bytes, module: Module) -> float:
    """Refuses bodies that would cost too much; returns the estimated work in seconds.

    `data` must have passed wasmtime's validation, so that what is not understood here is a feature that
    is new to this code, and refused.
    """
    # a call leaves every result on the stack, in two bytes: code that does so weighs more
    amplification = max([2, *(len(kind.results) for kind in module.types if kind)]) / 2
    work = 0.0
    for index, body in enumerate(module.bodies):
        function = module.imported_functions + index
        control = control_of(data, body.start, body.end)
        if control.unknown_at is not None:
            refuse(
                "instruction",
                "an instruction of a kind that is not offered",
                function=function,
                offset=control.unknown_at,
                found=data[control.unknown_at : control.unknown_at + 2].hex(),
            )
        work += _check_body(module, body, control, function, amplification)
        if work > MAX_WORK:
            _cap("work", round(work, 1), MAX_WORK, function=function, offset=body.start)
    return work


def _check_body(module: Module, body: Body, control: Control, function: int, amplification: float) -> float:
    place = {"function": function, "offset": body.start}
    opcodes = control.opcodes
    size = int((body.end - body.start) * amplification)
    _cap("body", size, MAX_BODY_BYTES, **place)
    _cap("branch-targets", control.targets, MAX_BRANCH_TARGETS, **place)
    _cap("nesting", max(accumulate(map(_DEPTH.__getitem__, opcodes)), default=0), MAX_DEPTH, **place)
    width = body.locals + _parameters(module, function) + _arity(module, control)
    branches = width * len(opcodes)
    _cap("locals-times-branches", branches, MAX_LOCALS_TIMES_BRANCHES, **place)
    loops = width * _loop_depths(opcodes, place) if LOOP in opcodes else 0
    _cap("locals-times-loops", loops, MAX_LOCALS_TIMES_LOOPS, **place)
    return (
        SECONDS_PER_FUNCTION
        + SECONDS_PER_BYTE * size
        + SECONDS_PER_LOCAL * body.locals
        + SECONDS_PER_LOCAL_AND_BRANCH * branches
        + SECONDS_PER_LOCAL_AND_LOOP * loops
    )


def _loop_depths(opcodes: bytes, place: dict[str, int]) -> int:
    """The sum, over all loops, of how many loops each is nested in (itself included); refuses too deep ones."""
    open_blocks = bytearray()
    depth = total = 0
    for opcode in opcodes:
        if opcode == END:
            if open_blocks and open_blocks.pop() == LOOP:
                depth -= 1
        elif _DEPTH[opcode]:
            open_blocks.append(opcode)
            if opcode == LOOP:
                depth += 1
                total += depth
                if depth > MAX_LOOP_DEPTH:
                    _cap("loop-nesting", depth, MAX_LOOP_DEPTH, **place)
    return total


def _parameters(module: Module, function: int) -> int:
    kind = module.function_type(function)
    return len(kind.params) if kind else 0


def _arity(module: Module, control: Control) -> int:
    """The widest of the types that blocks of this body name."""
    if not control.typed:
        return 0
    kinds = (module.types[index] if index < len(module.types) else None for index in control.typed)
    return max((len(kind.params) + len(kind.results) for kind in kinds if kind), default=0)


def _cap(rule: str, found: float, allowed: float, **place: int) -> None:
    if found > allowed:
        where = f" in function {place['function']}" if "function" in place else ""
        refuse(
            rule,
            f"{rule.replace('-', ' ')}{where}: {found:,} found, {allowed:,} allowed",
            found=found,
            allowed=allowed,
            **place,
        )
