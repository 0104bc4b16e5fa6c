"""
The trace of what people changed, and whose dossier they looked at: noted at once, written a moment later, and never in
the way of a press.

A change in the archive brings its entries into its own transaction (`write`).  What is changed elsewhere – presses of
supervisors, devices, sign-ins – is noted (`note`) in a bounded list and written by `run` together with whatever came
since.  It knows no HTTP and no rule.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import deque
from collections.abc import Sequence
from typing import Final, Unpack

import structlog

from queue_service import metrics
from queue_service.archive import audit as table
from queue_service.archive.archive import Archive
from queue_service.archive.tables import Transaction
from queue_service.authority import ASKED_FROM, Action, AuditEntry, AuditSearch, Said
from queue_service.commands import PressName
from queue_service.errors import ArchiveAway

DONE: Final = "done"
MOST_NOTED: Final = 10_000
"""How many entries wait for an archive that is away; 3 MB."""
BATCH: Final = 500
RETRY_S: Final = 2.0

_log = structlog.get_logger(__name__)


class Audit:
    """
    Args:
        archive: where entries are kept.
        key: for digests of addresses; kept elsewhere.
    """

    def __init__(self, archive: Archive, key: bytes) -> None:
        self._archive = archive
        self._key = key
        self._noted: deque[AuditEntry] = deque()
        self._is_noted = asyncio.Event()

    def entry(
        self,
        now_ms: int,
        *,
        actor: str,
        action: Action | PressName,
        object: str,
        centre: str | None = None,
        outcome: str = DONE,
        **detail: Unpack[Said],
    ) -> AuditEntry:
        """An entry about the request that is being answered, if one is; what is None in *detail* is left out."""
        asked_from = ASKED_FROM.get()
        return AuditEntry(
            at_ms=now_ms,
            centre=centre,
            actor=actor,
            place=self._place(asked_from()) if asked_from is not None else None,
            action=action,
            object=object,
            outcome=outcome,
            detail={name: value for name, value in detail.items() if value is not None},
        )

    def note(self, entry: AuditEntry) -> None:
        """Remember *entry* until it is written; the oldest gives way when there are too many, and is counted."""
        if len(self._noted) >= MOST_NOTED:
            self._noted.popleft()
            metrics.AUDIT_DROPS.inc()
        self._noted.append(entry)
        self._is_noted.set()

    async def write(self, connection: Transaction, *entries: AuditEntry) -> None:
        """Write *entries* in the transaction of what they are about."""
        await table.write(connection, entries)

    async def search(self, asked: AuditSearch) -> Sequence[tuple[int, AuditEntry]]:
        """
        What was asked for, with ids.

        Raises:
            ArchiveAway: the archive does not answer.
        """
        async with self._archive.read() as connection:
            return await table.search(connection, asked)

    async def run(self) -> None:
        """Write what is noted, until cancelled."""
        while True:
            await self._is_noted.wait()
            try:
                await self.flush()
            except ArchiveAway:
                await asyncio.sleep(RETRY_S)

    async def flush(self) -> None:
        """
        Write everything that is noted.

        Raises:
            ArchiveAway: the archive does not answer; what was not written stays noted.
        """
        while self._noted:
            batch = [self._noted.popleft() for _ in range(min(BATCH, len(self._noted)))]
            try:
                async with self._archive.begin() as connection:
                    await table.write(connection, batch)
            except (ArchiveAway, asyncio.CancelledError):
                self._noted.extendleft(reversed(batch))  # some may be written a second time, none is forgotten
                raise
            except Exception:  # noqa: BLE001 - our mistake, and no reason to stop at it for ever
                metrics.AUDIT_DROPS.inc(len(batch))
                _log.exception("entries of the audit cannot be written", entries=len(batch))
        self._is_noted.clear()

    async def close(self) -> None:
        """Write what is left; what an archive that is away does not take is counted as dropped."""
        try:
            await self.flush()
        except ArchiveAway:
            metrics.AUDIT_DROPS.inc(len(self._noted))
            _log.warning("entries of the audit are lost", entries=len(self._noted))

    def _place(self, address: str) -> str:
        return hmac.digest(self._key, address.encode(), hashlib.sha256).hex()[:16]
