"""
Time is handed in: whoever needs a clock is given one.

Durations inside one process are measured with ``time.monotonic_ns``; only Unix milliseconds come from here.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final, Protocol
from zoneinfo import ZoneInfo

DAY_MS: Final = 86_400_000


class Clock(Protocol):
    """Something that knows the time."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands still until it is told otherwise: tests and replays in virtual time."""

    def __init__(self, now_ms: int = 1_795_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Unix milliseconds, as last set."""
        return self._now_ms

    def advance(self, ms: int) -> int:
        """Move the clock by *ms* (backwards, too) and return the new time."""
        self._now_ms += ms
        return self._now_ms


def local_time(now_ms: int, timezone: str) -> datetime:
    """The calendar and the clock on the wall at *now_ms* in *timezone*."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(ZoneInfo(timezone))


def business_day(now_ms: int, timezone: str) -> str:
    """The calendar day at *now_ms* in *timezone*, as ``YYYY-MM-DD``."""
    return local_time(now_ms, timezone).date().isoformat()
