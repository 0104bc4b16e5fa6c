"""
What all tables of the archive share: one MetaData, the names of constraints, the kinds of columns.

Each room declares its own tables in a module beside this one (`history.py` …), and says in `migrations/versions` how an
older archive gets them; a test holds the two against each other on both databases.  Times are Unix milliseconds.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Final, TypeAlias

from sqlalchemy import JSON, MetaData, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Every table of the archive."""

Document: Final = JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
"""A column that holds a JSON value; None is NULL."""


Transaction: TypeAlias = AsyncConnection
"""What `Archive.begin` and `Archive.read` give: for the rooms above, which do not speak SQL themselves."""


def insert(connection: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT into *table* that knows ``on_conflict_do_update`` and ``on_conflict_do_nothing``."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def all_tables() -> list[Table]:
    """Every table of every room, those that others refer to first."""
    for room in pkgutil.iter_modules([str(Path(__file__).parent)], "queue_service.archive."):
        importlib.import_module(room.name)
    return metadata.sorted_tables
