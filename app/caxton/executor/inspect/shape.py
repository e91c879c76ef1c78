"""Decides what a module is from its exports, and whether its imports are offered (spec/abi.md).

Owns the refusals that an author meets first: they say what is missing and what would be right. Must never
look into a function body.
"""

from __future__ import annotations

from typing import Final

from caxton.executor.inspect.model import FUNCTION, KIND_NAMES, MEMORY, FunctionType, Import, Module
from caxton.executor.inspect.reader import refuse
from caxton.executor.offered import OFFERED
from caxton.protocol.agents import Shape

REACTOR_REQUIRED: Final = ("memory", "caxton_alloc", "handle_message")
SIGNATURES: Final[dict[str, str]] = {
    "_start": "->",
    "caxton_alloc": "i->i",
    "handle_message": "ii->i",
    "_initialize": "->",
    "agent_init": "->i",
    "agent_shutdown": "->",
    "handle_timer": "i->i",
    "get_capabilities": "ii->i",
}
"""Exports whose signature the ABI fixes. Other exports are the module's own business."""
REACTOR_ONLY: Final = frozenset(SIGNATURES) - {"_start", "_initialize"}

MAX_LISTED: Final = 100
"""Names named in one refusal; a module may import thousands."""


def check_imports(module: Module) -> None:
    """`INVALID_WASM` naming everything that is asked for and not offered, and what is."""
    unknown = [
        item for item in module.imports if item.kind != FUNCTION or item.name not in OFFERED.get(item.module, {})
    ]
    if unknown:
        refuse(
            "imports",
            f"imports {', '.join(_label(item) for item in unknown[:5])}, which is not offered",
            found=[_label(item) for item in unknown[:MAX_LISTED]],
            found_count=len(unknown),
            allowed={owner: sorted(names) for owner, names in OFFERED.items()},
        )
    for item in module.imports:
        wanted = _parse(OFFERED[item.module][item.name])
        if item.type != wanted:
            found = item.type.text() if item.type else "no function type"
            refuse(
                "import-signature",
                f"imports {_label(item)} as {found}; it is {wanted.text()}",
                **{"import": _label(item), "found": found, "allowed": wanted.text()},
            )


def decide_shape(module: Module) -> Shape:
    """The shape that the exports make, or `INVALID_WASM` naming what is missing or too much."""
    kinds = {export.name: export.kind for export in module.exports}
    if len(kinds) != len(module.exports):
        refuse("exports", "an export's name occurs twice")
    command = kinds.get("_start") == FUNCTION
    missing = [name for name in REACTOR_REQUIRED if kinds.get(name) != (MEMORY if name == "memory" else FUNCTION)]
    if command and not missing:
        refuse("shape", "exports both `_start` (a command) and `handle_message` (a reactor): drop one of them")
    if not command and missing:
        refuse(
            "shape",
            "is neither a command (needs `_start`) nor a reactor "
            f"(needs {', '.join(REACTOR_REQUIRED)}; missing: {', '.join(missing)})",
            missing_for_command=["_start"],
            missing_for_reactor=missing,
            found=[export.name[:80] for export in module.exports[:MAX_LISTED]],
        )
    _check_signatures(module)
    return Shape.COMMAND if command else Shape.REACTOR


def _check_signatures(module: Module) -> None:
    for export in module.exports:
        if export.name not in SIGNATURES:
            continue
        wanted = _parse(SIGNATURES[export.name])
        found = module.function_type(export.item) if export.kind == FUNCTION else None
        if found != wanted:
            what = found.text() if found else "no function"
            refuse(
                "export-signature",
                f"exports `{export.name}` as {what}; it must be {wanted.text()}",
                export=export.name,
                found=what,
                allowed=wanted.text(),
            )


def _label(item: Import) -> str:
    kind = "" if item.kind == FUNCTION else f" ({KIND_NAMES[item.kind]})"
    return f"{item.module[:80]}.{item.name[:80]}{kind}"


def _parse(signature: str) -> FunctionType:
    params, results = signature.split("->")
    return FunctionType(params, results)
