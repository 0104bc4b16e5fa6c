"""
The sweeper: what time causes.

Begins the business day of each centre, forgets finished tickets of earlier days, and keeps the gauges of the hall.  One
process of an installation does the first two (a lease in the store); every process may die at any moment, because each
step is a press with its own key.
"""

from __future__ import annotations

import asyncio
import secrets

import structlog

from queue_service import metrics
from queue_service.alarms import Kind, Reading, alarms, heard_boards, heard_kiosks
from queue_service.commands import Forget
from queue_service.dispatch import SYSTEM, Dispatch
from queue_service.errors import QueueError
from queue_service.tickets import FINAL

LEASE = "sweeper"
LEASE_S = 30
ROUND_S = 5.0
FORGET_AT_ONCE = 200

_log = structlog.get_logger(__name__)


class Sweeper:
    """
    Runs until cancelled.

    Args:
        dispatch: carries out what is due.
    """

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._name = secrets.token_hex(8)

    async def run(self) -> None:
        """Sweep every few seconds; trouble with the store is counted and tried again."""
        while True:
            try:
                await self.sweep()
                metrics.STORE_UP.set(1)
            except QueueError as trouble:
                metrics.STORE_UP.set(0)
                _log.warning("sweep failed", trouble=type(trouble).__name__)
            except Exception:  # noqa: BLE001 - one round may fail; nobody would notice that there are no more of them
                _log.exception("sweep failed")
            await asyncio.sleep(ROUND_S)

    async def sweep(self) -> None:
        """One round over all centres."""
        leads = await self._dispatch.store.take_lease(LEASE, self._name, LEASE_S)
        for id in await self._dispatch.store.centre_ids():
            centre = await self._dispatch.centre(id)
            if leads and await self._dispatch.advance_day(centre):
                _log.info("business day advanced", centre=id)
            reading = await self._dispatch.reading(id)
            if leads and reading.day.get("assigned"):
                await self._dispatch.return_to_file(id)
            if reading.day["version"] != centre.version:  # put in force by another process
                await self._dispatch.read_again(id)
            self._gauge(id, reading)
            self._gauge_alarms(id, reading)
            self._gauge_devices(id, reading)
            metrics.WORST_OVERTAKING_SECONDS.labels(id).set(await self._dispatch.worst_overtaking_ms(id) / 1000)
            if leads:
                await self._forget(id, reading)
        await self._gauge_store()

    async def _forget(self, centre: str, reading: Reading) -> None:
        day = reading.day["day"]
        old = [id for id, record in reading.tickets.items() if record["day"] < day and record["state"] in FINAL]
        for start in range(0, len(old), FORGET_AT_ONCE):
            chunk = old[start : start + FORGET_AT_ONCE]
            await self._dispatch.press(
                centre, Forget(tickets=chunk), actor=SYSTEM, press_id=f"forget-{secrets.token_hex(8)}"
            )

    def _gauge(self, centre: str, reading: Reading) -> None:
        configured = self._dispatch.known(centre)
        now_ms = self._dispatch.clock.now_ms()
        count = dict.fromkeys((department.id for department in configured.departments), 0)
        oldest = dict.fromkeys(count, now_ms)
        for member in reading.waiting:
            record = reading.tickets.get(member.rsplit("/", 1)[1])
            if record and record["department"] in count:
                count[record["department"]] += 1
                oldest[record["department"]] = min(oldest[record["department"]], record["virtual_ms"])
        for department, number in count.items():
            metrics.WAITING.labels(centre, department).set(number)
            metrics.OLDEST_WAIT_SECONDS.labels(centre, department).set((now_ms - oldest[department]) / 1000)
        states = [reading.counters.get(counter.id, {}).get("state", "closed") for counter in configured.counters]
        for state in ("open", "paused", "draining", "closed"):
            metrics.OPEN_COUNTERS.labels(centre, state).set(states.count(state))

    def _gauge_alarms(self, centre: str, reading: Reading) -> None:
        found = alarms(self._dispatch.known(centre), reading, self._dispatch.clock.now_ms())
        kinds = [alarm.kind for alarm in found]
        for kind in Kind:
            metrics.ALARMS.labels(centre, kind).set(kinds.count(kind))

    def _gauge_devices(self, centre: str, reading: Reading) -> None:
        configured, now_ms = self._dispatch.known(centre), self._dispatch.clock.now_ms()
        devices = {"kiosk": heard_kiosks(configured, reading), "board": heard_boards(configured, reading)}
        for kind, heard in devices.items():
            for device, heard_ms in heard.items():
                metrics.DEVICE_SILENT_SECONDS.labels(centre, kind, device).set(max(0, now_ms - heard_ms) / 1000)

    async def _gauge_store(self) -> None:
        memory_bytes, store_ms = await self._dispatch.store.read_health()
        metrics.STORE_MEMORY_BYTES.set(memory_bytes)
        metrics.STORE_CLOCK_SKEW_SECONDS.set((store_ms - self._dispatch.clock.now_ms()) / 1000)
