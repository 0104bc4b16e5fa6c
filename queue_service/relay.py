"""
The relay: tells a centre's events what the archive has decided about its dossiers.

Each change of a dossier leaves a fact in the outbox, in the same transaction; here it becomes an event with the next
number, and goes.  A fact is recorded under its dossier and step, so telling it again changes nothing, and the facts of
one dossier keep their order.  One process of an installation relays (a lease in the store).  While the store of the day
is away the facts wait; nothing is lost.
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from queue_service import metrics
from queue_service.archive.dossiers import DossierStore, Waiting
from queue_service.commands import Publish
from queue_service.dispatch import Dispatch
from queue_service.errors import QueueError, UnknownCentre

LEASE: Final = "relay"
LEASE_S: Final = 5
"""Only to spare work: two that relay at once tell each fact once, and in order, because each tells them in order."""
ROUND_S: Final = 1.0
BATCH: Final = 100
COUNT_EVERY_MS: Final = 30_000
ANSWERS_KEPT: Final = timedelta(days=3)
"""Longer than any centre's business day and the next, wherever it is."""

_log = structlog.get_logger(__name__)


class Relay:
    """
    Runs until cancelled.

    Args:
        dispatch: records facts, and knows the time.
        store: the outbox.
    """

    def __init__(self, dispatch: Dispatch, store: DossierStore) -> None:
        self._dispatch = dispatch
        self._store = store
        self._name = secrets.token_hex(8)
        self._is_wanted = asyncio.Event()
        self._count_at_ms = 0

    def wake(self) -> None:
        """Something lies in the outbox: whoever waits for it need not wait for the next round."""
        self._is_wanted.set()

    async def run(self) -> None:
        """Relay at once when woken, else every second; trouble with store or archive is tried again."""
        while True:
            try:
                while await self.relay():
                    pass
            except QueueError as trouble:
                _log.warning("telling the events of dossiers failed", trouble=type(trouble).__name__)
                await asyncio.sleep(ROUND_S)
            except Exception:  # noqa: BLE001 - one round may fail; nobody would notice that there are no more of them
                _log.exception("telling the events of dossiers failed")
                await asyncio.sleep(ROUND_S)
            try:
                async with asyncio.timeout(ROUND_S):
                    await self._is_wanted.wait()
            except TimeoutError:
                pass
            self._is_wanted.clear()

    async def relay(self) -> bool:
        """
        Tell what lies in the outbox, oldest first; say whether there may be more.

        Raises:
            StoreAway, ArchiveAway: what was told is told, the rest waits.
        """
        if not await self._dispatch.store.take_lease(LEASE, self._name, LEASE_S):
            metrics.DOSSIERS.clear()
            metrics.LATE_DOSSIERS.clear()
            metrics.OUTBOX_FACTS.set(0)
            return False
        facts = await self._store.waiting(BATCH)
        told: list[int] = []
        try:
            for fact in facts:
                await self._tell(fact)
                told.append(fact.id)
        finally:
            if told:
                await self._store.settle(told)
        now_ms = self._dispatch.clock.now_ms()
        if now_ms >= self._count_at_ms:
            self._count_at_ms = now_ms + COUNT_EVERY_MS
            await self._count(now_ms)
        return len(facts) == BATCH

    async def _tell(self, fact: Waiting) -> None:
        said = dict(fact.fact)
        actor = said.pop("actor")
        try:
            await self._dispatch.press(fact.centre, Publish(fact=said), actor=actor, press_id=f"{fact.code}/{fact.n}")
        except UnknownCentre:  # it was taken away, and its events with it; the step stands in the archive
            _log.warning("a dossier's centre is gone; its fact is told to nobody", centre=fact.centre)

    async def _count(self, now_ms: int) -> None:
        """Gauges, and answers that nobody may ask for any more."""
        metrics.DOSSIERS.clear()
        metrics.LATE_DOSSIERS.clear()
        for load in await self._store.load(now_ms):
            metrics.DOSSIERS.labels(load.centre, load.department, load.state).set(load.number)
            metrics.LATE_DOSSIERS.labels(load.centre, load.department).inc(load.late)
        metrics.OUTBOX_FACTS.set(await self._store.backlog())
        day = datetime.fromtimestamp(now_ms / 1000, UTC).date() - ANSWERS_KEPT
        await self._store.forget_answers(day.isoformat())
