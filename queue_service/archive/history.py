"""
What happened: every event of every centre as it was recorded, and every visit that is over.

The archiver writes, reports read.  An event is known by its place in the order of its centre, a visit by its ticket, so
writing either twice changes nothing; how far a centre has been copied is changed in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Insert,
    Integer,
    Table,
    Text,
    Update,
    delete,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from queue_service.archive.archive import Archive
from queue_service.archive.audit import audit
from queue_service.archive.tables import Document, insert, metadata
from queue_service.clock import business_day
from queue_service.events import Event
from queue_service.visits import TURNS, read_visit

cursors: Final = Table(
    "cursors",
    metadata,
    Column("centre", Text, primary_key=True),
    Column("epoch", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("day", Text, nullable=False),
)
"""How far each centre has been copied in which order, and its business day there."""

events: Final = Table(
    "events",
    metadata,
    Column("centre", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("day", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("ticket", Text),
    Column("counter", Text),
    Column("actor", Text),
    Column("body", Document, nullable=False),
    Index(None, "centre", "day"),
    Index(None, "centre", "ticket"),
)
"""Every event in its staff form; `day` is the business day, `body` everything the event says."""

gaps: Final = Table(
    "gaps",
    metadata,
    Column("centre", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("first_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("noticed_at_ms", BigInteger, nullable=False),
)
"""Events that the store had forgotten before they were copied."""

visits: Final = Table(
    "visits",
    metadata,
    Column("centre", Text, primary_key=True),
    Column("ticket", Text, primary_key=True),
    Column("day", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("department", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("class", Text, nullable=False),
    Column("ground", Text),
    Column("procedure", Text),
    Column("end", Text, nullable=False),
    Column("counter", Text),
    Column("officer", Text),
    Column("issued_at_ms", BigInteger, nullable=False),
    Column("called_at_ms", BigInteger),
    Column("started_at_ms", BigInteger),
    Column("ended_at_ms", BigInteger, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("rings", Integer, nullable=False),
    Column("no_shows", Integer, nullable=False),
    Column("transfers", Integer, nullable=False),
    Column("waited_ms", BigInteger, nullable=False),
    Column("served_ms", BigInteger, nullable=False),
    Column("announced_low_ms", BigInteger),
    Column("announced_high_ms", BigInteger),
    Index(None, "centre", "day"),
)
"""One row for each visit that is over (`visits.py` explains the columns); `day` is the business day of its issue."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a centre's order, and the business day there."""

    epoch: str
    seq: int
    day: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that are lost, both ends included."""

    epoch: str
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some events of one centre, each with its business day, and the cursor before and after them."""

    centre: str
    before: Cursor | None
    after: Cursor
    events: Sequence[tuple[str, Event]]
    gaps: Sequence[Gap] = ()


class History:
    """
    The history in the archive.

    Args:
        archive: where it is.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def read_cursors(self) -> dict[str, Cursor]:
        """How far each centre has been copied."""
        async with self._archive.read() as connection:
            rows = await connection.execute(select(cursors))
            return {row.centre: Cursor(row.epoch, row.seq, row.day) for row in rows}

    async def last_seq(self, centre: str, epoch: str) -> int | None:
        """The last event of *centre* that was copied in the order *epoch*."""
        last = select(func.max(events.c.seq)).where(events.c.centre == centre, events.c.epoch == epoch)
        async with self._archive.read() as connection:
            found: int | None = await connection.scalar(last)
            return found

    async def write(self, pages: Sequence[Page], now_ms: int) -> bool:
        """
        Keep *pages*, the visits that end in them and the cursors after them: all, or nothing.

        Returns:
            False when somebody else has moved one of the cursors; nothing was written.
        """
        try:
            async with self._archive.begin() as connection:
                for page in sorted(pages, key=lambda page: page.centre):  # two who write wait in the same order
                    await _move_cursor(connection, page)
                if rows := [_event_row(page.centre, day, event) for page in pages for day, event in page.events]:
                    await connection.execute(insert(connection, events).on_conflict_do_nothing(), rows)
                if lost := [_gap_row(page.centre, gap, now_ms) for page in pages for gap in page.gaps]:
                    await connection.execute(insert(connection, gaps).on_conflict_do_nothing(), lost)
                await _tell_visits(connection, pages)
        except _MovedMeanwhile:
            return False
        return True

    async def forget(self, before_ms: int, most: int) -> int:
        """
        Delete what is from before *before_ms*: events and visits by their whole business days, gaps, the audit.

        Args:
            most: rows of one kind.

        Returns:
            How many rows went.
        """
        day = business_day(before_ms, "UTC")
        whole = select(cursors.c.centre)  # so that the indices by centre and day are used
        oldest = select(audit.c.id).order_by(audit.c.id).limit(most)
        steps = [delete(gaps).where(gaps.c.noticed_at_ms < before_ms)]
        steps.append(delete(audit).where(audit.c.id.in_(oldest), audit.c.at_ms < before_ms))
        for table in (events, visits):
            old = select(*table.primary_key).where(table.c.centre.in_(whole), table.c.day < day).limit(most)
            steps.append(delete(table).where(tuple_(*table.primary_key).in_(old)))
        async with self._archive.begin() as connection:
            gone = [(await connection.execute(step)).rowcount for step in steps]
        return sum(gone)


class _MovedMeanwhile(Exception):
    """Somebody else has copied what we were about to copy."""


async def _move_cursor(connection: AsyncConnection, page: Page) -> None:
    """Move the cursor first of all: whoever comes second waits here, and finds it elsewhere."""
    place = {"epoch": page.after.epoch, "seq": page.after.seq, "day": page.after.day}
    moved: Insert | Update
    if page.before is None:
        moved = insert(connection, cursors).on_conflict_do_nothing().values(centre=page.centre, **place)
    else:
        is_there = (cursors.c.epoch == page.before.epoch, cursors.c.seq == page.before.seq)
        moved = update(cursors).where(cursors.c.centre == page.centre, *is_there).values(**place)
    if (await connection.execute(moved)).rowcount != 1:
        raise _MovedMeanwhile


async def _tell_visits(connection: AsyncConnection, pages: Sequence[Page]) -> None:
    """Tell the visits anew that end, or turn out not to have ended, in *pages*."""
    touched = {(page.centre, event["ticket"]) for page in pages for _, event in page.events if event["type"] in TURNS}
    if not touched:
        return
    stories: dict[tuple[str, str], list[tuple[str, Event]]] = {}
    query = select(events.c.centre, events.c.ticket, events.c.day, events.c.body)
    query = query.where(tuple_(events.c.centre, events.c.ticket).in_(sorted(touched)))
    # Milliseconds come first: after a store went back, a later order may count from a smaller number.
    for row in await connection.execute(query.order_by(events.c.at_ms, events.c.seq)):
        stories.setdefault((row.centre, row.ticket), []).append((row.day, row.body))
    over = []
    for (centre, ticket), story in stories.items():
        if visit := read_visit(event for _, event in story):
            over.append({"centre": centre, "day": story[0][0], **msgspec.to_builtins(visit)})
            touched.discard((centre, ticket))
    if touched:
        await connection.execute(delete(visits).where(tuple_(visits.c.centre, visits.c.ticket).in_(sorted(touched))))
    if over:
        told = insert(connection, visits)
        set_ = {column.name: told.excluded[column.name] for column in visits.c if not column.primary_key}
        await connection.execute(told.on_conflict_do_update(index_elements=["centre", "ticket"], set_=set_), over)


def _event_row(centre: str, day: str, event: Event) -> dict[str, Any]:
    return {
        "centre": centre,
        "day": day,
        "body": event,
        **{name: event[name] for name in ("epoch", "seq", "at_ms", "type")},
        **{name: event.get(name) for name in ("ticket", "counter", "actor")},
    }


def _gap_row(centre: str, gap: Gap, now_ms: int) -> dict[str, Any]:
    return {
        "centre": centre,
        "epoch": gap.epoch,
        "first_seq": gap.first_seq,
        "last_seq": gap.last_seq,
        "noticed_at_ms": now_ms,
    }
