"""An agent's file and its messages, for a run without a node.

Owns how stdin becomes messages. Must never run one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from caxton.cli.deployment import assemble, read_config
from caxton.cli.values import read_file
from caxton.protocol.agents import AgentConfig
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import Message
from caxton.protocol.names import is_agent_name
from caxton.protocol.requests import InvokeBody, invoke_message

SENDER: Final = "client:dev"
FORMS: Final = ("content", "message", "text")
_body: Final = msgspec.json.Decoder(InvokeBody)
_json: Final = msgspec.json.Decoder(msgspec.Raw)


def agent_config(file: str, config_file: str | None, options: dict[str, Any]) -> AgentConfig:
    """The configuration that `caxton agent deploy` would send; `INVALID_REQUEST` when a field is wrong."""
    made = assemble(file, read_config(config_file), options)
    try:
        return msgspec.convert(made, AgentConfig)
    except msgspec.ValidationError as error:
        raise CaxtonError(Code.INVALID_REQUEST, f"the agent's configuration: {error}") from None


def messages_of(data: bytes, form: str, receiver: str, max_bytes: int) -> list[Message]:
    """The messages in `data`: one a line, or all of it as one text; `INVALID_REQUEST` names the bad line."""
    if form == "text":
        return [_message(msgspec.json.encode(_text(data, 1)), receiver, max_bytes)]
    found = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            if form == "message":
                body = _body.decode(line)
                found.append(_made(body, receiver, max_bytes))
            else:
                found.append(_message(_content(line, number), receiver, max_bytes))
        except (msgspec.MsgspecError, RecursionError, CaxtonError) as error:
            raise CaxtonError(Code.INVALID_REQUEST, f"line {number} of the messages: {error}") from None
    return found


def read_messages(path: Path | None) -> bytes:
    """The messages' bytes, from a file or from stdin."""
    if path is None:
        if sys.stdin.isatty():
            click.echo("messages, one a line; Ctrl-D ends them", err=True)
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}") from None


def read_secrets(path: Path | None) -> dict[str, bytes]:
    """The secrets of a file of `NAME=VALUE` lines, by name; empty lines and those that begin with # are skipped."""
    found: dict[str, bytes] = {}
    for number, line in enumerate(read_file(path).splitlines() if path is not None else (), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        name, equals, value = line.partition(b"=")
        text = name.decode("utf-8", "replace").strip()
        if not equals or not is_agent_name(text):
            raise CaxtonError(Code.INVALID_REQUEST, f"line {number} of the secrets: expected NAME=VALUE")
        found[text] = value
    return found


def _content(line: bytes, number: int) -> bytes:
    try:
        _json.decode(line)
    except (msgspec.MsgspecError, RecursionError):
        return msgspec.json.encode(_text(line, number))
    return line.strip()


def _text(data: bytes, number: int) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise CaxtonError(Code.INVALID_REQUEST, f"line {number} of the messages is not UTF-8") from None


def _message(content: bytes, receiver: str, max_bytes: int) -> Message:
    return _made(InvokeBody(content=msgspec.Raw(content)), receiver, max_bytes)


def _made(body: InvokeBody, receiver: str, max_bytes: int) -> Message:
    return invoke_message(
        body, receiver=receiver, sender=SENDER, traceparent=None, max_bytes=max_bytes, message_id=None
    )
