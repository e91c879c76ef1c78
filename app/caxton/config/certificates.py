"""The files behind `[networking] tls_*`: what they hold, and the TLS that a server speaks with them.

Owns which versions and ciphers are spoken, and how a certificate that does not serve is complained about. Must never
show a byte of a key, nor ask anybody for its password.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from caxton.config.problems import Problem, invalid
from caxton.config.sections import Networking
from caxton.protocol.errors import CaxtonError

CIPHERS: Final = ":".join(
    f"ECDHE-{key}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for key in ("ECDSA", "RSA")
)
"""Of TLS 1.2: Mozilla's "intermediate" without DHE, as the balancers have it. Those of TLS 1.3 are all good."""
_FILES: Final = ("tls_cert_path", "tls_key_path", "tls_ca_path")


@dataclass(frozen=True)
class Certificate:
    """What a client sees of a server. Times in seconds since the epoch."""

    subject: str
    not_before: float
    not_after: float


def server_context(net: Networking) -> ssl.SSLContext:
    """TLS as the API speaks it; `CONFIG_INVALID` when the files do not give it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    # No tickets: whoever has their key reads what was said before, and each worker would have another.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    _load_pair(context, net)
    if net.tls_ca_path is not None:
        _load_authority(context, net.tls_ca_path)
        context.verify_mode = ssl.CERT_REQUIRED if net.tls_client_auth == "required" else ssl.CERT_OPTIONAL
    return context


def link_context(net: Networking) -> ssl.SSLContext:
    """TLS as a node speaks it to another: it shows its certificate, and trusts the cluster's authority only.

    The files are read anew, so that one that was renewed is shown at the next connection. `CONFIG_INVALID` as above.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.hostname_checks_common_name = False
    if net.tls_ca_path is None or net.tls_cert_path is None:
        raise _refused("tls_ca_path", "no authority or no certificate", "both, where nodes talk to each other")
    _load_pair(context, net)
    _load_authority(context, net.tls_ca_path)
    return context


def why_unusable(net: Networking) -> str | None:
    """What is wrong with the files, as far as this process may read them; None where they serve."""
    if not net.tls_enabled or unreadable(net):
        return None
    try:
        server_context(net)
    except CaxtonError as error:
        return str(error.details["problems"][0]["found"])
    return None


def unreadable(net: Networking) -> list[str]:
    """The keys of files that are named and that this process may not read, or that are not there."""
    named = [(name, getattr(net, name)) for name in _FILES]
    return [name for name, path in named if path is not None and not readable(path)]


def read_certificate(path: str) -> Certificate:
    """The first certificate of a PEM file. `OSError`, `ValueError` when there is none."""
    from cryptography import x509  # here, because it takes 50 ms to import

    found = x509.load_pem_x509_certificate(Path(path).read_bytes())
    return Certificate(
        found.subject.rfc4514_string(), found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    )


def names_of(path: str) -> tuple[str | None, set[str]]:
    """Common name and DNS names of the first certificate of a PEM file; `OSError`, `ValueError` without one."""
    from cryptography import x509

    found = x509.load_pem_x509_certificate(Path(path).read_bytes())
    common = next((str(part.value) for part in found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)), None)
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return common, set()
    return common, set(names.get_values_for_type(x509.DNSName))


def _load_pair(context: ssl.SSLContext, net: Networking) -> None:
    assert net.tls_cert_path is not None
    try:
        # An empty password, because openssl would ask the terminal for one.
        context.load_cert_chain(net.tls_cert_path, net.tls_key_path, password="")  # nosec B106 # never asks
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        found = "a key that is not the certificate's" if mismatch else "no certificate in PEM with an unencrypted key"
        raise _refused("tls_cert_path", f"{found}: {net.tls_cert_path}, {net.tls_key_path}") from None
    except (OSError, ValueError) as error:
        raise _refused("tls_cert_path", f"{net.tls_cert_path}, {net.tls_key_path}: {_reason(error)}") from None


def _load_authority(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise _refused("tls_ca_path", f"no certificate in PEM: {path}", "the authority's certificates") from None
    except (OSError, ValueError) as error:
        raise _refused("tls_ca_path", f"{path}: {_reason(error)}", "the authority's certificates") from None


def _refused(key: str, found: str, expected: str = "a certificate, with its chain, and its key") -> CaxtonError:
    return invalid("TLS", [Problem(f"networking.{key}", found, expected)])


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def readable(path: str) -> bool:
    """Whether it is a file that this process may read."""
    try:
        return Path(path).is_file() and os.access(path, os.R_OK)
    except (OSError, ValueError):
        return False
