"""
The audit: who changed what, when, and whether it was done.  Rows are added and read, never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, cast, func, or_, select

from queue_service.archive.tables import Document, Transaction, metadata
from queue_service.authority import AuditEntry, AuditSearch

audit: Final = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("centre", String(64)),
    Column("actor", String(128), nullable=False),
    Column("place", String(32)),
    Column("action", String(64), nullable=False),
    Column("object", String(128), nullable=False),
    Column("outcome", String(64), nullable=False),
    Column("detail", Document, nullable=False),
    Index(None, "centre", "id"),
    sqlite_autoincrement=True,
)
"""In the order in which entries were written; no id is given a second time."""


async def write(connection: Transaction, entries: Sequence[AuditEntry]) -> None:
    """Add *entries*, in their order."""
    rows = [{name: getattr(entry, name) for name in AuditEntry.__struct_fields__} for entry in entries]
    await connection.execute(audit.insert(), rows)


async def search(connection: Transaction, asked: AuditSearch) -> list[tuple[int, AuditEntry]]:
    """What was *asked* for, with ids: the newest first, or the oldest first for whoever reads on *after* an id."""
    here = audit.c.centre == asked.centre
    found = select(audit).where(or_(here, audit.c.centre.is_(None)) if asked.with_installation else here)
    for column in (audit.c.actor, audit.c.action, audit.c.object):
        if (wanted := getattr(asked, column.name)) is not None:
            found = found.where(column == wanted)
    if asked.q:
        said = (
            audit.c.actor,
            audit.c.action,
            audit.c.object,
            audit.c.outcome,
            audit.c.place,
            cast(audit.c.detail, Text),
        )
        found = found.where(or_(*(func.lower(column).contains(asked.q.lower(), autoescape=True) for column in said)))
    if asked.since_ms is not None:
        found = found.where(audit.c.at_ms >= asked.since_ms)
    if asked.until_ms is not None:
        found = found.where(audit.c.at_ms < asked.until_ms)
    if asked.after is not None:
        found = found.where(audit.c.id > asked.after)
    if asked.before is not None:
        found = found.where(audit.c.id < asked.before)
    order = audit.c.id.asc() if asked.after is not None else audit.c.id.desc()
    rows: Any = await connection.execute(found.order_by(order).limit(asked.limit))
    return [(row.id, AuditEntry(**{name: getattr(row, name) for name in AuditEntry.__struct_fields__})) for row in rows]
