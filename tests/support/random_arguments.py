"""Random arguments for any operation, made of its struct: strings from a pool, everything else in its bounds."""

from __future__ import annotations

import random
from typing import Any

import msgspec
from msgspec import inspect

from caxton.protocol.ids import new_id

FREE = {"reply_with", "in_reply_to", "protocol", "ontology", "language", "traceparent", "subject", "field", "value"}
"""Text that names nothing: it comes back wherever what was said is shown."""


class Maker:
    """Strings are drawn from `names`, conversations from `talks`; the rest is made up."""

    def __init__(self, chance: random.Random, names: list[str], talks: list[str]) -> None:
        self.chance = chance
        self.names = names
        self.talks = talks

    def struct(self, kind: type[msgspec.Struct]) -> Any:
        """A value of `kind`; raises `ValidationError` where chance has made none."""
        found = inspect.type_info(kind)
        assert isinstance(found, inspect.StructType)
        return msgspec.convert(self._fields(found), kind, strict=False)

    def _fields(self, kind: inspect.StructType) -> Any:
        values = {
            field.encode_name: self._value(field.type, field.name)
            for field in kind.fields
            if field.required or self.chance.random() < 0.4
        }
        if not kind.array_like:
            return values
        return [values.get(field.encode_name, field.default) for field in kind.fields]

    def _value(self, kind: inspect.Type, name: str) -> Any:  # one line for each kind
        if isinstance(kind, inspect.StructType):
            return self._fields(kind)
        if isinstance(kind, inspect.UnionType):
            return self._value(self.chance.choice(list(kind.types)), name)
        if isinstance(kind, inspect.ListType):
            return [self._value(kind.item_type, name) for _ in range(self.chance.randint(0, 3))]
        if isinstance(kind, inspect.EnumType):
            return self.chance.choice(list(kind.cls))
        if isinstance(kind, inspect.IntType):
            return self.chance.randint(1, 3)
        if isinstance(kind, inspect.FloatType):
            return self.chance.choice([0.05, 0.2])
        if isinstance(kind, inspect.BoolType):
            return self.chance.random() < 0.5
        if isinstance(kind, inspect.BytesType):
            return b"null"
        if isinstance(kind, inspect.StrType):
            return self._text(name)
        return {} if isinstance(kind, inspect.DictType) else None

    def _text(self, name: str) -> str:
        if name == "receiver":
            return self.chance.choice(["", "", "capability:", "topic:"]) + self.chance.choice(self.names)
        if name == "message_id" and self.chance.random() < 0.5:
            return new_id()
        if name == "performative":
            return self.chance.choice(["request", "inform"])
        if name in FREE:
            return "word"
        if name == "conversation_id":
            return self.chance.choice(self.talks)
        known = {"state": "done", "status": "running", "action": "abort", "level": "info", "role": "viewer"}
        return known[name] if name in known else self.chance.choice(self.names)
