"""Public keys in PEM, as the configuration names them.

Owns which kinds and sizes are good enough. Must never read a file, or take a private key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MIN_RSA_BITS: Final = 2048


def public_key(pem: bytes, algorithm: str) -> RSAPublicKey | Ed25519PublicKey:
    """The key for tokens of `algorithm` (RS256, EdDSA); `ValueError` says what is wrong with it."""
    # Few nodes have one; the others start without loading the library.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError('no public key in PEM ("BEGIN PUBLIC KEY")') from None
    if algorithm == "EdDSA" and isinstance(key, Ed25519PublicKey):
        return key
    if algorithm == "RS256" and isinstance(key, RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise ValueError(f"an RSA key of {key.key_size} bits; at least {MIN_RSA_BITS} are needed")
        return key
    kind = "an Ed25519" if algorithm == "EdDSA" else "an RSA"
    raise ValueError(f"{type(key).__name__}; {algorithm} needs {kind} key")
