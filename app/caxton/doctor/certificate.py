"""Whether the API's certificate serves, for how long, and whether it is the one that clients see.

Owns the number of days that are too few. Must never read the key for anything but to see that it fits.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from caxton.config import Config, public_connection, read_certificate, unreadable, why_unusable
from caxton.doctor.model import Check, Patient, Status

NAME: Final = "certificate"
FEW_DAYS: Final = 14.0
_DAY: Final = 86_400.0
_SECONDS: Final = 5.0
_RENEW: Final = "playbooks/site.yml renews what its private authority signs; else put new files in their place"
_FILES: Final = "caxton config check; the files that [networking] tls_cert_path and tls_key_path name"


def examine(patient: Patient) -> Iterator[Check]:
    """Nothing to look at where TLS is off."""
    net = patient.config.networking
    if not net.tls_enabled or net.tls_cert_path is None:
        yield Check(NAME, Status.OK, "TLS is off")
        return
    if missing := unreadable(net):
        yield Check(NAME, Status.FAIL, f"networking.{missing[0]}: {getattr(net, missing[0])} cannot be read", _FILES)
        return
    if reason := why_unusable(net):
        yield Check(NAME, Status.FAIL, f"{reason}; the one before stays in force until the API is restarted", _FILES)
        return
    yield _age(read_certificate(net.tls_cert_path).not_after)
    if _shown(patient.config) not in (None, _own(net.tls_cert_path)):
        yield Check(NAME, Status.WARN, "the API shows another than the file's", "systemctl reload caxton")


def _age(not_after: float) -> Check:
    days = (not_after - time.time()) / _DAY
    if days < 0:
        return Check(NAME, Status.FAIL, f"it ended {-days:.1f} days ago", _RENEW)
    status = Status.WARN if days < FEW_DAYS else Status.OK
    return Check(NAME, status, f"good for {days:.1f} days", "" if status is Status.OK else _RENEW)


def _own(path: str) -> bytes:
    """The first of the file, in DER."""
    text = Path(path).read_text("ascii", errors="replace")
    end = "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE-----") : text.index(end)] + end)


def _shown(config: Config) -> bytes | None:
    """What the API shows, in DER; None where nobody answers, which other checks tell."""
    connection = public_connection(config, _SECONDS)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.connect()
        if isinstance(connection.sock, ssl.SSLSocket):
            return connection.sock.getpeercert(binary_form=True)
    return None
