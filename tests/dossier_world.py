"""What tests of dossiers share: a calendar, and moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from builders import a_centre
from queue_service.centre import Hours, Span
from queue_service.working_days import WorkingDays

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
SESSIONS = (Span("07:30", "11:30"), Span("13:30", "17:00"))


def a_calendar(**exceptions: Any) -> WorkingDays:
    """Monday to Friday, two sessions, and *exceptions* of the hours."""
    hours = Hours(days=("mon", "tue", "wed", "thu", "fri"), sessions=SESSIONS, ticket_sessions=SESSIONS, **exceptions)
    return WorkingDays(msgspec.structs.replace(a_centre(), hours=hours))


def at(text: str) -> int:
    """``2026-11-20 09:00`` in Vietnam, as Unix milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp() * 1000)


def said(at_ms: int) -> str:
    """The moment as ``at`` takes it."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZONE):%Y-%m-%d %H:%M}"
