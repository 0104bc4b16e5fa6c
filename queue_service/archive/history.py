"""
What happened: every event of every centre, as it was recorded.

The archiver writes, reports read.  A row is known by its place in the order of its centre, so writing it twice changes
nothing.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, String, Table

from queue_service.archive.tables import Document, metadata

cursors: Final = Table(
    "cursors",
    metadata,
    Column("centre", String(64), primary_key=True),
    Column("epoch", String(32), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("day", String(10), nullable=False),
)
"""How far each centre has been copied, and its business day there; changed with the rows, in one transaction."""

events: Final = Table(
    "events",
    metadata,
    Column("centre", String(64), primary_key=True),
    Column("epoch", String(32), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("day", String(10), nullable=False),
    Column("type", String(32), nullable=False),
    Column("ticket", String(64)),
    Column("counter", String(64)),
    Column("actor", String(128)),
    Column("body", Document, nullable=False),
    Index(None, "centre", "day"),
    Index(None, "centre", "ticket"),
)
"""Every event in its staff form; `day` is the business day, `body` everything the event says."""
