"""Which keys are trusted to sign for which agents, and the verdict on a signature.

Owns `[security] trusted_keys` and every reason of `SIGNATURE_REFUSED`. Must never let one pass that it did not check.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature

from caxton.protocol.errors import CaxtonError, Code
from caxton.provenance.keys import PublicKey, key_id_of, public_from_base64, read_public
from caxton.provenance.scope import EVERYTHING, covers, is_scope
from caxton.provenance.statement import parse_signature

_BASE64_KEY: Final = re.compile(r"[A-Za-z0-9+/]{43}=", re.ASCII)


class Reason(StrEnum):
    """Why a signature, or its absence, is refused: `details.reason`."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    INVALID = "invalid"
    """The signature is not one over this statement by that key."""
    WRONG_MODULE = "wrong_module"
    NOT_FOR_NAMESPACE = "not_for_namespace"
    """The signature is not meant for this agent, or its key is not trusted for it."""
    EXPIRED = "expired"
    MODULE_CHANGED = "module_changed"
    """The module's file is not what was deployed."""


class Trust:
    """The trusted keys by id, each with its scopes."""

    def __init__(self, keys: dict[str, tuple[PublicKey, frozenset[str]]] | None = None) -> None:
        self._keys = keys or {}

    @classmethod
    def load(cls, entries: Iterable[str]) -> Trust:
        """From `trusted_keys`: `KEY` or `SCOPE=KEY`, a key as base64 or a path. `CONFIG_INVALID` names the entry."""
        keys: dict[str, tuple[PublicKey, frozenset[str]]] = {}
        for number, entry in enumerate(entries, 1):
            scope, text = _split(entry)
            try:
                key = public_from_base64(text) or _from_file(Path(text))
            except CaxtonError as error:
                where = f"security.trusted_keys: item {number}"
                raise CaxtonError(Code.CONFIG_INVALID, f"{where}: {error.message}", **error.details) from None
            found = key_id_of(key)
            _, scopes = keys.get(found, (key, frozenset()))
            keys[found] = (key, scopes | {scope})
        return cls(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def require(
        self, name: str, sha256: str, text: str | None, *, required: bool, now: float | None = None
    ) -> str | None:
        """The id of the key that signed the module for the agent `name`; `SIGNATURE_REFUSED` with its `reason`.

        None: there is no signature, and none is `required`. `now` (seconds since the epoch) None: whether it has
        expired is not asked; that is for what came in before.
        """
        if text is None:
            if required:
                raise _refused(Reason.MISSING, f"{name!r}: this node takes signed modules only (caxton agent sign)")
            return None
        found = parse_signature(text)
        if found is None:
            raise _refused(Reason.MALFORMED, f"{name!r}: the signature is not of the form of app/docs/provenance.md")
        said = found.statement
        key, scopes = self._keys.get(said.key_id, (None, frozenset[str]()))
        if key is None:
            raise _refused(
                Reason.UNKNOWN_KEY, f"{name!r}: the key {said.key_id} is not in trusted_keys", key_id=said.key_id
            )
        try:
            key.verify(found.signature, found.signed)
        except InvalidSignature:
            message = f"{name!r}: the signature is not one of the key {said.key_id} over what it says"
            raise _refused(Reason.INVALID, message, key_id=said.key_id) from None
        if said.sha256 != sha256:
            message = f"{name!r}: the signature is for another module"
            raise _refused(Reason.WRONG_MODULE, message, found=said.sha256, expected=sha256)
        for what, meant in ((f"the signature is for {said.scope}", {said.scope}), ("its key may not sign", scopes)):
            if not any(covers(scope, name) for scope in meant):
                message = f"{name!r}: not for this agent: {what}"
                raise _refused(Reason.NOT_FOR_NAMESPACE, message, key_id=said.key_id, found=sorted(meant), name=name)
        if now is not None and said.expires is not None and said.expires <= now:
            raise _refused(Reason.EXPIRED, f"{name!r}: the signature has expired", expired_at=said.expires)
        return said.key_id


def module_changed(name: str, expected: str, found: str) -> CaxtonError:
    """What is said of a module's file that is not the one that was deployed."""
    return _refused(
        Reason.MODULE_CHANGED,
        f"the file of module {name} has other bytes than were deployed; restore it or deploy the module again",
        expected=expected,
        found=found,
    )


def _split(entry: str) -> tuple[str, str]:
    """Scope and key of one entry; base64 ends in `=` too."""
    scope, equals, key = entry.partition("=")
    if equals and is_scope(scope) and not _BASE64_KEY.fullmatch(entry):
        return scope, key
    return EVERYTHING, entry


def _from_file(path: Path) -> PublicKey:
    """A key that anybody may replace is nobody's."""
    key = read_public(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IWOTH:
        raise CaxtonError(
            Code.CONFIG_INVALID,
            f"{path} can be written by everybody (mode {mode:04o}): chmod o-w {path}",
            path=str(path),
            found=f"{mode:04o}",
        )
    return key


def _refused(reason: Reason, message: str, **details: object) -> CaxtonError:
    return CaxtonError(Code.SIGNATURE_REFUSED, message, reason=reason, **details)
