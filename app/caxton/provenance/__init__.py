"""Whose module this is: detached ed25519 signatures, and who may sign for which agents.

Owns the form of a signature and the verdict on one. Must never read a module: callers give its SHA-256.
"""

from caxton.provenance.keys import PrivateKey, key_id_of, new_key, read_private
from caxton.provenance.statement import Signature, Statement, parse_signature, sign
from caxton.provenance.trust import Reason, Trust

__all__ = [
    "PrivateKey",
    "Reason",
    "Signature",
    "Statement",
    "Trust",
    "key_id_of",
    "new_key",
    "parse_signature",
    "read_private",
    "sign",
]
