"""A private authority of certificates, made by openssl, and what it signs.

Owns their files. Must never be lenient: a client of `Authority.context` verifies all there is to verify.
"""

from __future__ import annotations

import os
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

NAMES = ("IP:127.0.0.1", "DNS:localhost", "DNS:caxton.test")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path

    @property
    def fingerprint(self) -> bytes:
        """What tells it from every other: the certificate in DER."""
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text())

    def install(self, at: Pair) -> None:
        """Puts both into the place of another pair, each at once: nobody sees a half of one."""
        for source, target in ((self.key, at.key), (self.certificate, at.certificate)):
            beside = target.with_suffix(".new")
            beside.write_bytes(source.read_bytes())
            os.replace(beside, target)


class Authority:
    """Its own certificate is `certificate`."""

    def __init__(self, home: Path, name: str = "authority") -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._home = home
        self.certificate, self._key = home / f"{name}.crt", home / f"{name}.key"
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"),
            *("-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", str(self._key), "-out", str(self.certificate)),
        )

    def issue(self, name: str, *names: str, days: int = 20) -> Pair:
        """A certificate for a server and a client; `names` are its alternative names, loopback's if none is given."""
        made = Pair(self._home / f"{name}.crt", self._home / f"{name}.key")
        request, extensions = self._home / f"{name}.csr", self._home / f"{name}.ext"
        extensions.write_text(
            f"subjectAltName={','.join(names or NAMES)}\nextendedKeyUsage=serverAuth,clientAuth\n"
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid\n"
        )
        _openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", str(made.key), "-out", str(request)),
        )
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self._key)),
            *("-CAcreateserial", "-days", str(days), "-extfile", str(extensions), "-out", str(made.certificate)),
        )
        return made

    def context(self, pair: Pair | None = None) -> ssl.SSLContext:
        """A client that trusts this authority only; it shows `pair` where it is asked for one."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
