"""
Mirrors: one per centre that somebody asks about, kept up by the feed.

A process reads a centre once and then folds its events; when the feed says that the order has broken, it reads again.
Knows the store and a way to listen, feeds dispatch and the doors with announced waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from queue_service.errors import QueueError
from queue_service.estimate import Calibration
from queue_service.mirror import Mirror
from queue_service.store import TicketStore

Listener = Callable[[Mapping[str, Any] | None], None]
Listen = Callable[[str, Listener], Awaitable[Callable[[], None]]]
"""Centre id, and whom to tell of its events (None: read everything anew) -> a way to stop."""

LESSONS: Final = 20_000
"""Events that a new mirror learns announced waits from: more than the last 400 first calls of each class."""
PAGE: Final = 1000


class Mirrors:
    """
    The mirrors of this process.

    Args:
        listen: the display hub's.
    """

    def __init__(self, store: TicketStore, listen: Listen) -> None:
        self._store = store
        self._listen = listen
        self._kept: dict[str, _Kept] = {}

    async def read(self, centre: str) -> Mirror | None:
        """The mirror of *centre*; None while it cannot be read: announcing a wait holds nobody up."""
        kept = self._kept.get(centre)
        if kept is None:
            kept = self._kept[centre] = _Kept(centre, self._store)
        try:
            return await kept.mirror(self._listen)
        except QueueError:
            return None

    async def close(self) -> None:
        """Stop listening."""
        for kept in self._kept.values():
            kept.close()


class _Kept:
    """One centre's mirror and what keeps it up."""

    def __init__(self, centre: str, store: TicketStore) -> None:
        self._centre = centre
        self._store = store
        self._mirror = Mirror()
        self._is_fresh = False
        self._lock = asyncio.Lock()
        self._early: list[Mapping[str, Any]] = []
        self._stop: Callable[[], None] | None = None
        self._learning: asyncio.Task[None] | None = None

    async def mirror(self, listen: Listen) -> Mirror:
        if not self._is_fresh:
            async with self._lock:
                if not self._is_fresh:
                    await self._begin(listen)
        return self._mirror

    async def _begin(self, listen: Listen) -> None:
        """Listen first, then read, then take in what came in between: no hole."""
        if self._stop is None:
            self._stop = await listen(self._centre, self._hear)
        self._early.clear()
        day, counters, tickets, _ = await self._store.read_all(self._centre)
        self._mirror.read(day, counters, tickets)
        for event in self._early:
            self._mirror.apply(event)
        self._early.clear()
        self._is_fresh = True
        if self._learning is None:
            self._learning = asyncio.create_task(self._learn(self._mirror.seq))

    def _hear(self, event: Mapping[str, Any] | None) -> None:
        if event is None or (self._is_fresh and event["seq"] > self._mirror.seq + 1):
            self._is_fresh = False
        elif self._is_fresh:
            self._mirror.apply(event)
        else:
            self._early.append(event)

    async def _learn(self, seq: int) -> None:
        """Teach the calibration from the log, beside everything else."""
        pupil = Mirror(seq=max(seq - LESSONS, 0), epoch=self._mirror.epoch)
        pupil.calibration = Calibration()
        try:
            while pupil.seq < seq and (events := await self._store.read_events(self._centre, pupil.seq, PAGE)):
                for event in events:
                    pupil.apply(event)
        except QueueError:
            return
        self._mirror.calibration = pupil.calibration

    def close(self) -> None:
        if self._stop is not None:
            self._stop()
        if self._learning is not None:
            self._learning.cancel()
