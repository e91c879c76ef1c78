"""Which node, and as whom: options, environment, contexts.

Owns `~/.config/caxton/config.toml`. Must never print a credential.
"""

from __future__ import annotations

import os
import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from caxton.protocol.errors import CaxtonError, Code

DEFAULT_URL: Final = "http://127.0.0.1:8080"


class Context(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One named target. At most one of the credentials."""

    url: str
    api_key: str | None = None
    api_key_file: str | None = None
    token: str | None = None
    api_key_header: str = "X-API-Key"
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


class Contexts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file: `current = "name"` and `[contexts.name]` tables."""

    current: str | None = None
    contexts: dict[str, Context] = {}


@dataclass(frozen=True)
class Target:
    """A node's base URL and the headers that authenticate.

    `ca_file`: a PEM to trust, None = the system's. `cert_file`, `key_file`: what we show where we are asked for one.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def tls(self) -> ssl.SSLContext | None:
        """How the node is verified, None = as the system does; `CONFIG_INVALID` when a file does not serve."""
        if self.ca_file is None and self.cert_file is None:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            files = ", ".join(file for file in (self.ca_file, self.cert_file, self.key_file) if file)
            raise _wrong(f"{files}: {error}", expected="certificates in PEM, and a key that fits") from None
        return context


def find_target(url: str | None, name: str | None, environ: Mapping[str, str], *, ca: str | None = None) -> Target:
    """The target: `--url`, `$CAXTON_URL`, the context, the local node; `CONFIG_INVALID` when the file is wrong."""
    context = _context(name or environ.get("CAXTON_CONTEXT"), environ)
    chosen = url or environ.get("CAXTON_URL") or (context.url if context else DEFAULT_URL)
    if not _is_url(chosen):
        raise _wrong(f"{chosen[:200]!r} is no address of a node", expected="http://host:port or https://host")
    headers = _credentials(context, environ)
    files = context or Context(chosen)
    return Target(
        chosen.rstrip("/"),
        headers,
        ca or environ.get("CAXTON_CA_FILE") or files.ca_file,
        environ.get("CAXTON_CERT_FILE") or files.cert_file,
        environ.get("CAXTON_KEY_FILE") or files.key_file,
    )


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that are no IPv6 address, a port that is none
        return False


def contexts_file(environ: Mapping[str, str]) -> Path:
    """Where contexts are kept."""
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config")
    return Path(base) / "caxton" / "config.toml"


def _context(name: str | None, environ: Mapping[str, str]) -> Context | None:
    path = contexts_file(environ)
    try:
        found = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Contexts)
    except FileNotFoundError:
        found = Contexts()
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise _wrong(f"{path}: {error}") from None
    name = name or found.current
    if name is None:
        return None
    if name not in found.contexts:
        known = ", ".join(sorted(found.contexts)) or "none"
        raise _wrong(f"{path}: there is no context {name!r}", expected=f"one of: {known}")
    return found.contexts[name]


def _credentials(context: Context | None, environ: Mapping[str, str]) -> dict[str, str]:
    header = context.api_key_header if context else "X-API-Key"
    if environ.get("CAXTON_API_KEY"):
        return _header(header, environ["CAXTON_API_KEY"])
    if environ.get("CAXTON_TOKEN"):
        return _header("Authorization", f"Bearer {environ['CAXTON_TOKEN']}")
    if context is None:
        return {}
    if context.api_key:
        return _header(header, context.api_key)
    if context.api_key_file:
        try:
            return _header(header, Path(context.api_key_file).expanduser().read_text("utf-8").strip())
        except (OSError, ValueError) as error:
            raise _wrong(f"api_key_file: {error}") from None
    return _header("Authorization", f"Bearer {context.token}") if context.token else {}


def _header(name: str, value: str) -> dict[str, str]:
    value = value.strip()
    if not value.isascii() or not value.isprintable():
        raise _wrong("the credential holds characters that no HTTP header takes")
    return {name: value}


def _wrong(message: str, **details: object) -> CaxtonError:
    return CaxtonError(Code.CONFIG_INVALID, message, **details)
