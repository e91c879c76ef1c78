"""API keys, as each worker checks them.

Owns the records of keys that this worker knows, for a moment. Must never log a key.
"""

from __future__ import annotations

import time
from typing import Final

import msgspec

from caxton.api.brief import Brief
from caxton.api.router_client import RouterClient
from caxton.api.tokens import RefusedError
from caxton.config import Config
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.keys import key_id_of, key_matches
from caxton.protocol.operations import Named
from caxton.protocol.views import KeyRecord

_NO_KEY: Final = KeyRecord(key_id="", subject="", salt=b"\0" * 16, digest=b"\0" * 32)
_decode_record: Final = msgspec.json.Decoder(KeyRecord).decode


class ApiKeys:
    """Verifies keys against what the router knows of them."""

    def __init__(self, config: Config, router: RouterClient) -> None:
        self._timeout = config.networking.request_timeout
        self._router = router
        self._records = Brief[str, KeyRecord]()

    def record(self, text: str) -> KeyRecord:
        """The record of the key that `text` is; `RefusedError` unless it may be used now."""
        key_id = key_id_of(text)
        record = self._records.of(key_id, lambda: self._ask(key_id)) if key_id else _NO_KEY
        # The digest is compared for unknown keys too, so that time does not tell which ids exist.
        matches = key_matches(text, record.salt, record.digest, record.scope)
        expired = record.expires_at is not None and record.expires_at <= time.time()
        if not matches or expired or record.revoked_at is not None:
            raise RefusedError("this API key is unknown, expired or revoked")
        return record

    def _ask(self, key_id: str) -> KeyRecord:
        try:
            return _decode_record(self._router.call("key.lookup", Named(key_id), timeout=self._timeout))
        except CaxtonError as error:
            if error.code is not Code.KEY_NOT_FOUND:
                raise
            return _NO_KEY
