"""What every model of a table is made of.

Owns how tables are named and how an index is declared. Must never be imported by a migration.
"""

from __future__ import annotations

import peewee as pw


class Table(pw.Model):
    """A table named after its class."""

    class Meta:  # noqa: D106  # where peewee wants options
        legacy_table_names = False  # KeyValue is key_value


def index(
    model: type[pw.Model], name: str, fields: list[pw.Field], where: str | None = None, *, unique: bool = False
) -> None:
    """Declares an index; `where` makes it a partial one."""
    model.add_index(pw.ModelIndex(model, fields, unique=unique, name=name, where=where and pw.SQL(where)))
