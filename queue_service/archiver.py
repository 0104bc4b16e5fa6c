"""
The archiver: copies what the store records into the archive.

It reads the numbered logs and feeds `archive/history.py`.  How far a centre has been copied stands in the archive and
changes with the rows, so a kill at any point repeats nothing and leaves nothing out.  One process of an installation
copies (a lease in the store); two that believe so do no harm.  No press waits for it, and while the archive is away the
store keeps what is to be copied.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from typing import Final

import structlog

from queue_service import metrics
from queue_service.archive.history import Cursor, Gap, History, Page
from queue_service.clock import business_day
from queue_service.dispatch import Dispatch
from queue_service.errors import ArchiveAway, QueueError
from queue_service.events import Event

LEASE: Final = "archiver"
LEASE_S: Final = 30
ROUND_S: Final = 2.0
BATCH: Final = 50
"""Events of one transaction: the loop that answers presses never works longer than for these."""
BATCHES_AT_ONCE: Final = 50
"""After so many the lease is taken again."""
FORGET_EVERY_MS: Final = 3_600_000
FORGET_AT_ONCE: Final = 500
"""Rows of each kind that one transaction deletes."""

Positions = dict[str, tuple[str, int]]
"""Centre -> epoch and seq of its newest event."""

_log = structlog.get_logger(__name__)


class Archiver:
    """
    Runs until cancelled.

    Args:
        dispatch: knows the centres and the time.
        history: takes what happened.
        keep_ms: how long it is kept; None: for ever.
    """

    def __init__(self, dispatch: Dispatch, history: History, keep_ms: int | None = None) -> None:
        self._dispatch = dispatch
        self._history = history
        self._keep_ms = keep_ms
        self._forgot_at_ms: int | None = None
        self._name = secrets.token_hex(8)
        self._cursors: dict[str, Cursor] | None = None
        """As this process knows them; None when it has to read them first."""

    async def run(self) -> None:
        """Copy every few seconds; trouble with store or archive is counted and tried again."""
        while True:
            try:
                while await self.copy():
                    pass
                await self.forget()
                self._dispatch.archive_away_ms = None
            except QueueError as trouble:
                if isinstance(trouble, ArchiveAway) and self._dispatch.archive_away_ms is None:
                    self._dispatch.archive_away_ms = self._dispatch.clock.now_ms()
                metrics.ARCHIVE_FAILURES.inc()
                _log.warning("copying into the archive failed", trouble=type(trouble).__name__)
            except Exception:  # noqa: BLE001 - one round may fail; nobody would notice that there are no more of them
                metrics.ARCHIVE_FAILURES.inc()
                _log.exception("copying into the archive failed")
            await asyncio.sleep(ROUND_S)

    async def copy(self) -> bool:
        """
        Copy some of what there is, of all centres; say whether there is more.

        Raises:
            StoreAway, ArchiveAway: what was copied is kept, the rest is copied another time.
        """
        store = self._dispatch.store
        if not await store.take_lease(LEASE, self._name, LEASE_S):
            self._cursors = None
            _tell_lag(0, 0)
            return False
        if self._cursors is None:
            self._cursors = await self._history.read_cursors()
        cursors = self._cursors
        # Read after the cursors: a store that is behind them has lost what it had recorded.
        positions = await store.read_positions(await store.centre_ids())
        behind = await self._find_behind(cursors, positions)
        for _ in range(BATCHES_AT_ONCE):
            if not behind:
                break
            pages = await self._read_pages(cursors, behind)
            now_ms = self._dispatch.clock.now_ms()
            oldest_ms = min((page.events[0][1]["at_ms"] for page in pages if page.events), default=now_ms)
            _tell_lag(
                sum(behind[id][1] - _reached(cursors.get(id), behind[id][0]) for id in behind), now_ms - oldest_ms
            )
            if not await self._history.write(pages, now_ms):
                self._cursors = None  # another process copies, too
                return False
            for page in pages:
                cursors[page.centre] = page.after
                _tell_page(page)
                if page.after.seq >= behind[page.centre][1]:
                    del behind[page.centre]
        if not behind:
            _tell_lag(0, 0)
        return bool(behind)

    async def forget(self) -> None:
        """
        Once an hour delete what has been kept for long enough, if this process copies.

        Raises:
            ArchiveAway: the rest is deleted another time.
        """
        now_ms = self._dispatch.clock.now_ms()
        is_early = self._forgot_at_ms is not None and now_ms - self._forgot_at_ms < FORGET_EVERY_MS
        if self._keep_ms is None or self._cursors is None or is_early:
            return
        while await self._history.forget(now_ms - self._keep_ms, FORGET_AT_ONCE):
            pass
        self._forgot_at_ms = now_ms

    async def _find_behind(self, cursors: dict[str, Cursor], positions: Positions) -> Positions:
        """The centres that have more than was copied; one that has less gets a new order of events."""
        behind = {}
        for id, (epoch, seq) in positions.items():
            reached = _reached(cursors.get(id), epoch)
            if reached < seq:
                behind[id] = epoch, seq
            elif reached > seq:
                _log.error(
                    "the store has lost events that the archive has; a new order begins", centre=id, lost=reached - seq
                )
                await self._dispatch.renew_epoch(await self._dispatch.centre(id))
        return behind

    async def _read_pages(self, cursors: dict[str, Cursor], behind: Positions) -> list[Page]:
        pages, room = [], BATCH
        for id, (epoch, seq) in behind.items():
            pages.append(page := await self._read_page(id, cursors.get(id), epoch, seq, room))
            room -= len(page.events)
            if room <= 0:
                break
        return pages

    async def _read_page(self, centre: str, before: Cursor | None, epoch: str, seq: int, limit: int) -> Page:
        """Up to *limit* events after *before*; in another order than *before*, from the first there are."""
        goes_on = before is not None and before.epoch == epoch
        start = _reached(before, epoch)
        events = await self._dispatch.store.read_events(centre, start, limit)
        if not events:
            day = before.day if before else ""
            return Page(centre, before, Cursor(epoch, seq, day), (), (Gap(epoch, start + 1, seq),))
        last = start if goes_on else await self._history.last_seq(centre, events[0]["epoch"])
        gaps = tuple(_gaps(last, events))
        if before is not None and goes_on and not gaps:
            day = before.day
        else:  # nobody has told which day it was
            day = business_day(events[0]["at_ms"], (await self._dispatch.centre(centre)).timezone)
        dated = []
        for event in events:
            day = event["day"] if event["type"] == "DayAdvanced" else day
            dated.append((day, event))
        return Page(centre, before, Cursor(epoch, events[-1]["seq"], day), dated, gaps)


def _reached(cursor: Cursor | None, epoch: str) -> int:
    """How far the order *epoch* has been copied."""
    return cursor.seq if cursor is not None and cursor.epoch == epoch else 0


def _gaps(last: int | None, events: Sequence[Event]) -> Iterator[Gap]:
    """What is missing between the event *last*, where one is known, and those that follow."""
    for event in events:
        if last is not None and event["seq"] > last + 1:
            yield Gap(event["epoch"], last + 1, event["seq"] - 1)
        last = event["seq"]


def _tell_lag(events: int, ms: int) -> None:
    metrics.ARCHIVE_LAG_EVENTS.set(events)
    metrics.ARCHIVE_LAG_SECONDS.set(ms / 1000)


def _tell_page(page: Page) -> None:
    metrics.ARCHIVED_EVENTS.inc(len(page.events))
    for gap in page.gaps:
        metrics.ARCHIVE_MISSED_EVENTS.inc(gap.last_seq - gap.first_seq + 1)
        _log.error("events were forgotten before they were copied", centre=page.centre, gap=gap)
