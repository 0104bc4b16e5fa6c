"""
The whole archive as rows of plain values, out of one kind of database and into the same or the other.

Feeds `backup.py`.  Rows carry the step of the tables they came from (`migrations/`): older ones are put into tables of
that step, which are then brought to this version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Final

import msgpack
from sqlalchemy import JSON, Connection, MetaData, Table, func, insert, select

from queue_service.archive.archive import Archive, revision_of, upgrade
from queue_service.archive.tables import all_tables

ROWS_AT_ONCE: Final = 500

Rows = Iterator[list[Any]]
"""The names of the columns, then rows, ROWS_AT_ONCE at a time."""


async def unload(archive: Archive, part: Callable[[str], BinaryIO]) -> tuple[str, dict[str, int]]:
    """
    Write each table to its *part*, all as they are at one moment.

    Returns:
        The step of the tables, and how many rows each had, tables that others refer to first.

    Raises:
        ArchiveAway: the archive does not answer.
    """
    counts = {}
    async with archive.read() as connection:
        revision = await connection.run_sync(revision_of)
        for table in all_tables():
            with part(table.name) as file:
                file.write(msgpack.packb([column.name for column in table.columns]))
                counts[table.name] = 0
                result = await connection.stream(select(table))
                async for rows in result.partitions(ROWS_AT_ONCE):
                    counts[table.name] += len(rows)
                    file.write(msgpack.packb([list(row) for row in rows]))
    return revision, counts


async def is_empty(archive: Archive) -> bool:
    """
    Whether no table holds anything.

    Raises:
        ArchiveAway: the archive does not answer.
    """
    async with archive.read() as connection:
        for table in all_tables():
            if (await connection.execute(select(table).limit(1))).first() is not None:
                return False
    return True


async def load(archive: Archive, revision: str, parts: Mapping[str, Rows]) -> None:
    """
    Put *parts* in the place of all that the archive holds: all of it, or nothing is changed.

    Args:
        revision: the step that the rows were of.
        parts: table -> rows, tables that others refer to first.

    Raises:
        ArchiveAway: the archive does not answer.
    """
    async with archive.begin() as connection:
        await connection.run_sync(_make_anew, revision)
        tables = await connection.run_sync(_reflect, list(parts))
        for name, part in parts.items():
            columns = next(part)
            for rows in part:
                await connection.execute(insert(tables[name]), [dict(zip(columns, row, strict=True)) for row in rows])
            if connection.dialect.name == "postgresql":
                for statement in _sequences(tables[name]):
                    await connection.execute(statement)
        await connection.run_sync(upgrade)


def _make_anew(connection: Connection, revision: str) -> None:
    there = MetaData()
    there.reflect(connection)
    there.drop_all(connection)
    upgrade(connection, revision)


def _reflect(connection: Connection, names: list[str]) -> dict[str, Table]:
    """The tables as they were at the step of the rows; this version's may have other columns."""
    then = MetaData()
    then.reflect(connection, only=names)
    for table in then.tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type.none_as_null = True
    return dict(then.tables)


def _sequences(table: Table) -> Iterator[Any]:
    """Have numbers that PostgreSQL gives out by itself go on behind those that were put in."""
    for column in table.primary_key:
        if column.server_default is not None or column.identity is not None:
            last = func.coalesce(select(func.max(column)).scalar_subquery(), 0)
            yield select(func.setval(func.pg_get_serial_sequence(table.name, column.name), last + 1, False))
