"""An archive of `caxton debug`, read: what matters of it, for a terminal.

Owns which facts are shown, and the limits of what is read. An archive may come from anybody: must never write
anything of it anywhere, nor trust a size that it tells.
"""

from __future__ import annotations

import gzip
import tarfile
import time
import zlib
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec

from caxton.cli.debug_archive import MANIFEST, RECORDINGS, Manifest, Parts
from caxton.protocol.errors import CaxtonError, Code

MAX_BYTES: Final = 512 * 1024 * 1024
"""Of all parts together, unpacked."""
MAX_PARTS: Final = 1_000
_HEADER_BYTES: Final = 65_536
"""What stands between two parts: `caxton debug` writes some hundred bytes."""
_SHOWN: Final = 10
_ABOUT: Final = ("status", "status_reason", "version", "module_sha256", "quarantine", "counters")
_NODE: Final = ("node", "versions", "host", "kernel", "cores", "load")
_SIZES: Final = (("memory", "memory_available_bytes", "memory_bytes"), ("disk", "disk_free_bytes", "disk_bytes"))


def read(file: Path) -> tuple[Manifest, Parts]:
    """An archive's contents; `INVALID_REQUEST` for any other file."""
    try:
        with gzip.open(file) as inflated:
            stream = _Bounded(file, inflated)
            with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as archive:
                parts = _parts(stream, archive)
        manifest = msgspec.json.decode(parts.pop(MANIFEST), type=Manifest)
    except (tarfile.TarError, OSError, EOFError, zlib.error, KeyError, ValueError, RecursionError) as problem:
        raise CaxtonError(Code.INVALID_REQUEST, f"{file} is no archive of `caxton debug`: {problem}") from None
    if sorted(parts) != manifest.parts:
        raise CaxtonError(Code.INVALID_REQUEST, f"{file} is cut off: parts of it are not there")
    return manifest, parts


class _Bounded:
    """What an archive inflates to, as far as it may be read: tarfile believes every size that it finds in one."""

    def __init__(self, file: Path, inflated: gzip.GzipFile) -> None:
        self._file, self._inflated = file, inflated
        self._left = _HEADER_BYTES

    def allow(self, size: int) -> None:
        """An entry of this size, and the header of the next."""
        self._left = size + _HEADER_BYTES

    def read(self, count: int) -> bytes:
        data = self._inflated.read(count)
        self._left -= len(data)
        if self._left < 0:
            raise self.too_large()
        return data

    def too_large(self) -> CaxtonError:
        what = f"{self._file} is too large"
        return CaxtonError(Code.INVALID_REQUEST, what, limit_bytes=MAX_BYTES, limit=MAX_PARTS)


def _parts(stream: _Bounded, archive: tarfile.TarFile) -> Parts:
    """One member after the other, as the stream gives them: nothing that is too large is unpacked."""
    parts: Parts = {}
    left = MAX_BYTES
    for number, entry in enumerate(archive):
        if entry.size < 0:
            raise tarfile.ReadError(f"{entry.name[:64]!r} has a negative size")
        left -= entry.size
        if left < 0 or number >= MAX_PARTS:
            raise stream.too_large()
        stream.allow(entry.size)
        held = archive.extractfile(entry) if entry.isreg() and not entry.issparse() else None
        if held is not None:
            parts[entry.name] = held.read()
    return parts


def story(manifest: Manifest, parts: Parts) -> list[str]:
    """What matters of it, line by line."""
    try:
        return _story(manifest, parts)
    except (msgspec.MsgspecError, LookupError, TypeError, AttributeError, ValueError, OverflowError) as problem:
        raise CaxtonError(Code.INVALID_REQUEST, f"a part of it is not what it should be: {problem}") from None


def _story(manifest: Manifest, parts: Parts) -> list[str]:
    lines = [f"{manifest.agent} on {manifest.node}, {time.strftime('%F %TZ', time.gmtime(manifest.at))}"]
    lines += _facts(_json(parts, "agent.json"), _ABOUT)
    lines += [f"  not in it: {part}: {why}" for part, why in manifest.missing.items()]
    lines += _section("history", parts, ("at", "status", "version", "reason"))
    lines += _section("audit", parts, ("at", "actor", "action", "outcome"))
    lines += _section("executions", parts, ("at", "id", "status", "code", "duration_seconds", "message_id"))
    lines += _section("dead_letters", parts, ("message_id", "sender", "error"))
    lines += _traps(parts)
    node = _json(parts, "node.json")
    if node is not None:
        lines += ["node", *_facts(node, _NODE)]
        lines += [f"  {what}  {node[free]:,} of {node[all_]:,} bytes free" for what, free, all_ in _SIZES]
    lines += _section("log", parts, ("at", "stream", "text"))
    sizes = ", ".join(f"{name} ({len(data):,})" for name, data in sorted(parts.items()))
    return [*lines, f"parts (`caxton debug open FILE PART`): {sizes}"]


def _facts(found: dict[str, Any] | None, keys: tuple[str, ...]) -> list[str]:
    return [f"  {key}  {_text(found[key])}" for key in keys if found and found.get(key) is not None]


def _traps(parts: Parts) -> list[str]:
    """Of every message the last attempt, and of recordings what those do not tell."""
    lines: list[str] = []
    told = set()
    for one in (_json(parts, "traps.json") or [])[:_SHOWN]:
        for attempt in one["attempts"][-1:]:
            told.update(one.get("executions", ())[-1:])
            lines.append(f"trap of {one['message_id']}: {attempt['code']}: {attempt.get('detail') or ''}")
            lines += [f"  {line}" for line in (attempt.get("backtrace") or "").splitlines()]
    for name in sorted(part for part in parts if part.startswith(RECORDINGS) and part.endswith(".json")):
        ended = _json(parts, name)["ended"]
        if ended["status"] == "error" and name.split("/")[-1].removesuffix(".json") not in told:
            lines.append(f"trap in {name}: {ended['code']}: {ended['detail']}")
            lines += [f"  {line}" for line in (ended["backtrace"] or "").splitlines()]
    return lines


def _section(name: str, parts: Parts, keys: tuple[str, ...]) -> list[str]:
    items = (_json(parts, f"{name}.json") or {}).get("items", [])
    if not items:
        return []
    newest = items[-_SHOWN:] if name == "log" else items[:_SHOWN]
    shown = [" ".join(_text(item[key]) for key in keys if item.get(key) is not None) for item in newest]
    return [f"{name}: {len(items)}", *(f"  {line}" for line in shown)]


def _json(parts: Parts, name: str) -> Any:
    return msgspec.json.decode(parts[name]) if name in parts else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
