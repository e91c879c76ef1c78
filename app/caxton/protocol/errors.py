"""The one exception root, the public error codes and their HTTP status.

Owns every code that a client may switch on (spec/api.md, "Errors"). Must never format HTTP.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec


class Code(StrEnum):
    """Every public error code; the value is what clients see."""

    AGENT_NOT_FOUND = "AGENT_NOT_FOUND"
    AGENT_ALREADY_EXISTS = "AGENT_ALREADY_EXISTS"
    INVALID_WASM = "INVALID_WASM"
    INVALID_REQUEST = "INVALID_REQUEST"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    HEADERS_TOO_LARGE = "HEADERS_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    RATE_LIMITED = "RATE_LIMITED"
    MAILBOX_FULL = "MAILBOX_FULL"
    RESOURCE_LIMIT_EXCEEDED = "RESOURCE_LIMIT_EXCEEDED"
    EXECUTION_TIMEOUT = "EXECUTION_TIMEOUT"
    AGENT_FAILED = "AGENT_FAILED"
    CPU_LIMIT = "CPU_LIMIT"
    FUEL_EXHAUSTED = "FUEL_EXHAUSTED"
    STACK_OVERFLOW = "STACK_OVERFLOW"
    MEMORY_LIMIT = "MEMORY_LIMIT"
    OUTPUT_LIMIT = "OUTPUT_LIMIT"
    HOST_CALL_LIMIT = "HOST_CALL_LIMIT"
    INVALID_MESSAGE = "INVALID_MESSAGE"
    COMPILE_LIMIT = "COMPILE_LIMIT"
    SNAPSHOT_REFUSED = "SNAPSHOT_REFUSED"
    SIGNATURE_REFUSED = "SIGNATURE_REFUSED"
    PROTOCOL_VIOLATION = "PROTOCOL_VIOLATION"
    AGENT_QUARANTINED = "AGENT_QUARANTINED"
    AGENT_STOPPED = "AGENT_STOPPED"
    MESSAGE_NOT_FOUND = "MESSAGE_NOT_FOUND"
    MESSAGE_EXPIRED = "MESSAGE_EXPIRED"
    MESSAGE_CANCELLED = "MESSAGE_CANCELLED"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    KEY_NOT_FOUND = "KEY_NOT_FOUND"
    SECRET_NOT_FOUND = "SECRET_NOT_FOUND"  # nosec B105 # a code
    SECRETS_UNAVAILABLE = "SECRETS_UNAVAILABLE"
    STORAGE_FULL = "STORAGE_FULL"
    NOT_READY = "NOT_READY"
    DRAINING = "DRAINING"
    CLUSTER_MINORITY = "CLUSTER_MINORITY"
    CONFLICT = "CONFLICT"
    CONFIG_INVALID = "CONFIG_INVALID"
    SCHEMA_TOO_NEW = "SCHEMA_TOO_NEW"
    BACKUP_FAILED = "BACKUP_FAILED"
    BACKUP_INVALID = "BACKUP_INVALID"
    RESTORE_FAILED = "RESTORE_FAILED"
    UNREACHABLE = "UNREACHABLE"
    INTERNAL_ERROR = "INTERNAL_ERROR"


HTTP_STATUS: Final[dict[Code, int]] = {
    Code.AGENT_NOT_FOUND: 404,
    Code.AGENT_ALREADY_EXISTS: 409,
    Code.INVALID_WASM: 422,
    Code.INVALID_REQUEST: 400,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.HEADERS_TOO_LARGE: 431,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.REQUEST_TIMEOUT: 408,
    Code.UNAUTHORIZED: 401,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.RATE_LIMITED: 429,
    Code.MAILBOX_FULL: 429,
    Code.RESOURCE_LIMIT_EXCEEDED: 409,
    Code.EXECUTION_TIMEOUT: 504,
    Code.AGENT_FAILED: 502,
    Code.CPU_LIMIT: 502,
    Code.FUEL_EXHAUSTED: 502,
    Code.STACK_OVERFLOW: 502,
    Code.MEMORY_LIMIT: 502,
    Code.OUTPUT_LIMIT: 502,
    Code.HOST_CALL_LIMIT: 502,
    Code.INVALID_MESSAGE: 502,
    Code.COMPILE_LIMIT: 422,
    Code.SNAPSHOT_REFUSED: 502,
    Code.SIGNATURE_REFUSED: 422,
    Code.PROTOCOL_VIOLATION: 409,
    Code.AGENT_QUARANTINED: 503,
    Code.AGENT_STOPPED: 409,
    Code.MESSAGE_NOT_FOUND: 404,
    Code.MESSAGE_EXPIRED: 410,
    Code.MESSAGE_CANCELLED: 410,
    Code.JOB_NOT_FOUND: 404,
    Code.KEY_NOT_FOUND: 404,
    Code.SECRET_NOT_FOUND: 404,
    Code.SECRETS_UNAVAILABLE: 503,
    Code.STORAGE_FULL: 507,
    Code.NOT_READY: 503,
    Code.DRAINING: 503,
    Code.CLUSTER_MINORITY: 503,
    Code.CONFLICT: 409,
    Code.CONFIG_INVALID: 500,
    Code.SCHEMA_TOO_NEW: 500,
    Code.BACKUP_FAILED: 500,
    Code.BACKUP_INVALID: 500,
    Code.RESTORE_FAILED: 500,
    Code.UNREACHABLE: 503,
    Code.INTERNAL_ERROR: 500,
}


class ErrorBody(msgspec.Struct, frozen=True):
    """An error as it crosses a border. `details` is JSON-ready; times in seconds, sizes in bytes."""

    code: Code
    message: str
    details: dict[str, Any] = {}


class CaxtonError(Exception):
    """The root of everything Caxton raises on purpose.

    `code` is what callers and tests switch on; `message` says what happened and what would be right;
    `details` carries the machine-readable part (path of a field, limit, found, expected …).
    """

    def __init__(self, code: Code, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: dict[str, Any] = details

    @property
    def http_status(self) -> int:
        """The HTTP status that spec/api.md gives this code."""
        return HTTP_STATUS[self.code]

    def body(self) -> ErrorBody:
        """The error as plain data, to be sent across a border."""
        return ErrorBody(self.code, self.message, self.details)

    @classmethod
    def from_body(cls, body: ErrorBody) -> CaxtonError:
        """The inverse of `body()` on the other side."""
        return cls(body.code, body.message, **body.details)
