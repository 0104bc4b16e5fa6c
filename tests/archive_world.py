"""
The world of the archiver's tests: one centre in a store, an archive, and somebody who copies.

``copied`` is the centre's history as the archive tells it.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from sqlalchemy import Table, func, select

from builders import Hall, a_centre, a_store
from queue_service.archive.archive import Archive
from queue_service.archive.history import History, events, visits
from queue_service.archiver import Archiver
from queue_service.commands import (
    CallNext,
    Cancel,
    Command,
    Complete,
    IssueTicket,
    MarkNoShow,
    Open,
    Park,
    Recall,
    Resume,
    Revive,
    Start,
    Transfer,
    Undo,
)
from queue_service.dispatch import Dispatch
from queue_service.errors import QueueError
from queue_service.store import CENTRES_KEY, lease_key


class World:
    """
    One centre and its archive.

    Args:
        hall: the centre in the store.
    """

    def __init__(self, hall: Hall, archive: Archive) -> None:
        self.hall = hall
        self.archive = archive

    @property
    def id(self) -> str:
        return self.hall.centre.id

    def archiver(self, keep_ms: int | None = None) -> Archiver:
        """Somebody who copies, as in a process of its own."""
        return Archiver(Dispatch(self.hall.store, self.hall.clock), History(self.archive), keep_ms)

    async def copy(self) -> None:
        """Copy all there is, as a process that has just taken the lease."""
        await self.hall.client.delete(lease_key("archiver"))
        archiver = self.archiver()
        while await archiver.copy():
            pass

    async def rows(self, table: Table) -> list[dict[str, Any]]:
        """The rows of the centre, in the order of their keys."""
        query = select(table).where(table.c.centre == self.id).order_by(*table.primary_key)
        async with self.archive.read() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def copied(self) -> list[dict[str, Any]]:
        """The events in the archive, whole, in the order in which they came."""
        found = await self.rows(events)
        return [row["body"] for row in sorted(found, key=lambda row: (row["at_ms"], row["seq"]))]

    async def count(self) -> int:
        """How many events are in the archive."""
        query = select(func.count()).select_from(events).where(events.c.centre == self.id)
        async with self.archive.read() as connection:
            return await connection.scalar(query) or 0

    async def told(self) -> dict[str, dict[str, Any]]:
        """The visits in the archive, by ticket."""
        return {row["ticket"]: row for row in await self.rows(visits)}

    async def play(self, presses: int, seed: int) -> None:
        """Press at random, what is refused included; a press every second."""
        luck = random.Random(seed)
        for _ in range(presses):
            self.hall.clock.advance(1000)
            with suppress(QueueError):
                await self.hall.press(await self._wish(luck))

    async def _wish(self, luck: random.Random) -> Command:
        tickets = [id.decode() for id in await self.hall.client.hkeys(f"qs:{{{self.id}}}:tickets")] or ["t1"]
        counter, ticket, service = luck.choice(("q01", "q02")), luck.choice(tickets), luck.choice("ab")
        wishes: list[Command] = [
            *[IssueTicket(service=service, further=("b",) if service == "a" else (), cls="standard")] * 3,
            *[CallNext(counter=counter)] * 3,
            *[Complete(counter=counter)] * 3,
            *[Start(counter=counter), Recall(counter=counter), MarkNoShow(counter=counter), Park(counter=counter)],
            *[Undo(counter=counter), Transfer(counter=counter, service=service), Open(counter=counter)],
            *[Cancel(ticket=ticket), Revive(ticket=ticket), Resume(counter=counter, ticket=ticket)],
        ]
        return luck.choice(wishes)


@asynccontextmanager
async def a_world(redis_url: str, archive: Archive, **policy: Any) -> AsyncIterator[World]:
    """A centre with two counters for two services, both open; out of the store's list of centres afterwards."""
    async with a_store(redis_url) as (store, client):
        hall = Hall(store, client, a_centre({"q01": "a b:2", "q02": "b"}, **policy))
        await hall.configure()
        await client.sadd(CENTRES_KEY, hall.centre.id)
        await hall.open("q01", "q02")
        try:
            yield World(hall, archive)
        finally:
            await client.srem(CENTRES_KEY, hall.centre.id)
            await client.delete(lease_key("archiver"))
