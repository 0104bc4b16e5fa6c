"""
Vietnam's working time: which days and hours count towards a time limit, and when one ends.

Fed by a centre's hours and dossier policy; feeds the law of dossiers.  The only room that knows the `holidays` package:
public holidays, their substitutes and the swapped days of the ministry's notices come from there, and a centre's own
entries win.  It knows no dossier and reads no clock.

A limit in days is counted from the day after its start, and ends with the last session of its last day; a last day that
is off moves to the next working day (Bộ luật Dân sự 2015, Điều 147-148).  A limit in hours runs while somebody works.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import holidays
from msgspec import Meta, Struct

from queue_service.centre import DAYS, Centre, Span
from queue_service.centre_file import minute_of

Unit = Literal["working_day", "calendar_day", "month", "hour"]

DAY = timedelta(days=1)
MINUTE_MS = 60_000

_PUBLIC = holidays.country_holidays("VN")  # learns a year when a day of it is asked for, then remembers it


class Limit(Struct, frozen=True, forbid_unknown_fields=True):
    """How long something may take; 0 working days is the same day, and 0 of anything else is nothing."""

    unit: Unit
    value: Annotated[int, Meta(ge=0, le=1_000)]

    def __post_init__(self) -> None:
        if not self.value and self.unit != "working_day":
            raise ValueError("a limit of nothing; 0 working days is the same day")


class WorkingDays:
    """
    The working time of one centre.

    Args:
        centre: its hours, its exceptions, its time zone and the weekdays that count towards limits.
    """

    def __init__(self, centre: Centre) -> None:
        hours, policy = centre.hours, centre.dossiers
        self._zone = ZoneInfo(centre.timezone)
        self._weekdays = frozenset(DAYS.index(day) for day in policy.days)
        self._sessions = hours.sessions
        self._cut_off = minute_of(policy.cut_off)
        self._off = frozenset(map(date.fromisoformat, hours.off))
        self._worked = frozenset(map(date.fromisoformat, hours.worked))
        self._different = {date.fromisoformat(entry.day): entry.sessions for entry in hours.different}

    def is_working(self, day: date) -> bool:
        """Whether *day* counts: the centre's own word first, then the ministry's, then the week's."""
        if day in self._off:
            return False
        if day in self._worked or day in self._different:
            return True
        if day in _PUBLIC:  # also makes the package learn the swapped days of that year
            return False
        return day.weekday() in self._weekdays or day in _PUBLIC.weekend_workdays

    def sessions(self, day: date) -> tuple[Span, ...]:
        """When somebody works on *day*; nothing on a day off."""
        return self._different.get(day, self._sessions) if self.is_working(day) else ()

    def day_of(self, at_ms: int) -> date:
        """The centre's calendar day at *at_ms*."""
        return self._local(at_ms).date()

    def opens_ms(self, day: date) -> int:
        """When work begins on *day*, which is a working day."""
        return self._at(day, self.sessions(day)[0].start_minute)

    def closes_ms(self, day: date) -> int:
        """When work ends on *day*, which is a working day."""
        return self._at(day, self.sessions(day)[-1].end_minute)

    def due_ms(self, start_ms: int, limit: Limit) -> int:
        """When *limit* ends that begins at *start_ms*, in Unix milliseconds."""
        start = self.day_of(start_ms)
        match limit.unit:
            case "working_day" if limit.value:
                return self.closes_ms(self.after(start, limit.value))
            case "working_day":
                return self.closes_ms(self._effective(start_ms)[0])
            case "calendar_day":
                return self.closes_ms(self.next_working(start + limit.value * DAY))
            case "month":
                return self.closes_ms(self.next_working(_months_later(start, limit.value)))
            case "hour":
                return self._add_minutes(*self._effective(start_ms), limit.value * 60)

    def left(self, at_ms: int, due_ms: int, unit: Unit) -> int:
        """
        What is left of a limit at *at_ms*: working minutes of one in hours, working days or calendar days of others.

        0 on the last day, and when the limit has passed.
        """
        if unit == "hour":
            return self.working_ms(at_ms, due_ms) // MINUTE_MS
        first, last = self.day_of(at_ms), self.day_of(due_ms)
        if unit == "working_day":
            return sum(self.is_working(day) for day in _days(first + DAY, last))
        return max((last - first).days, 0)

    def resumed_ms(self, at_ms: int, left: int, unit: Unit) -> int:
        """When a limit ends of which *left* was left, and that goes on at *at_ms*."""
        first = self.day_of(at_ms)
        if unit == "hour":
            return self._add_minutes(first, self._minute(at_ms), left)
        if unit == "working_day" and left:
            return self.closes_ms(self.after(first, left))
        return self.closes_ms(self.next_working(first + left * DAY))

    def working_ms(self, from_ms: int, to_ms: int) -> int:
        """How much of the time between two moments is working time; 0 if the second comes first."""
        if to_ms <= from_ms:
            return 0
        return sum(
            max(min(to_ms, self._at(day, span.end_minute)) - max(from_ms, self._at(day, span.start_minute)), 0)
            for day in _days(self.day_of(from_ms), self.day_of(to_ms))
            for span in self.sessions(day)
        )

    def warn_ms(self, start_ms: int, due_ms: int) -> int:
        """
        From when a limit is worth a warning: three quarters of its working time are used, or its day before begins.

        A limit whose day before is the day it began, or earlier, has only the three quarters.
        """
        used = self.working_ms(start_ms, due_ms) * 3 // 4 // MINUTE_MS
        begin = self.next_working(self.day_of(start_ms))
        warn_ms = self._add_minutes(begin, self._minute(start_ms) if begin == self.day_of(start_ms) else 0, used)
        before = self.before(self.day_of(due_ms))
        return min(warn_ms, self.opens_ms(before)) if before > self.day_of(start_ms) else warn_ms

    def next_working(self, day: date) -> date:
        """*day*, or the first working day after it."""
        while not self.is_working(day):
            day += DAY
        return day

    def after(self, day: date, working_days: int) -> date:
        """The day that is *working_days* working days after *day*, 1 or more."""
        for _ in range(working_days):
            day = self.next_working(day + DAY)
        return day

    def before(self, day: date) -> date:
        """The last working day before *day*."""
        day -= DAY
        while not self.is_working(day):
            day -= DAY
        return day

    def _effective(self, start_ms: int) -> tuple[date, int]:
        """When a limit shorter than a day begins: at once, or as the next working day opens after the cut-off."""
        day, minute = self.day_of(start_ms), self._minute(start_ms)
        if not self.is_working(day) or minute >= min(self._cut_off, self.sessions(day)[-1].end_minute):
            return self.next_working(day + DAY), 0
        return day, minute

    def _add_minutes(self, day: date, minute: int, minutes: int) -> int:
        """The moment that is *minutes* of work after *minute* of *day*; the end of a session rather than a start."""
        while True:
            for span in self.sessions(day):
                room = span.end_minute - max(span.start_minute, minute)
                if 0 <= minutes <= room:
                    return self._at(day, max(span.start_minute, minute) + minutes)
                minutes -= max(room, 0)
            day, minute = day + DAY, 0

    def _local(self, at_ms: int) -> datetime:
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self._zone)

    def _minute(self, at_ms: int) -> int:
        local = self._local(at_ms)
        return local.hour * 60 + local.minute

    def _at(self, day: date, minute: int) -> int:
        midnight = datetime.combine(day, time(), self._zone)
        return int((midnight + timedelta(minutes=minute)).timestamp()) * 1000


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += DAY


def _months_later(day: date, months: int) -> date:
    """The same day *months* later, or the last of a shorter month (Điều 148)."""
    year, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + year, month + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))
