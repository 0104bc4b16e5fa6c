"""Working time: the table of a year that has everything in it, hours and cut-offs, and what always holds."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_centre
from dossier_world import SESSIONS, a_calendar, at, said
from queue_service.centre import DifferentDay, DossierPolicy, Span
from queue_service.working_days import Limit, WorkingDays


def due(received: str, value: int, unit: str = "working_day", calendar: WorkingDays | None = None) -> str:
    limit = msgspec.convert({"unit": unit, "value": value}, Limit)
    return said((calendar or a_calendar()).due_ms(at(received), limit))


PAGE = (Path(__file__).parents[2] / "docs" / "dossiers.md").read_text("utf-8")
YEAR = re.findall(r"^\| (2026-\S+) \| (\d) \| (2026-\S+) \|", PAGE, re.M)
"""The table of the page: received, working days, due."""


@pytest.mark.parametrize(("received", "limit", "expected"), YEAR)
def test_the_year_2026(received: str, limit: str, expected: str):
    """The day after reception is day 1; the limit ends with the last session."""
    assert f"{expected} 17:00" == due(f"{received} 09:00", int(limit))
    assert f"{expected} 17:00" == due(f"{received} 16:59", int(limit)), "the cut-off is for limits shorter than a day"


def test_the_year_has_every_kind_of_day():
    """Seven rows: Tết, a moved holiday, a long weekend, swapped days twice, National Day, the new holiday."""
    assert 7 == len(YEAR)


def test_the_same_day_until_the_cut_off():
    """Copies are certified today; what comes at three o'clock, tomorrow (2.000635, 2.000908)."""
    assert "2026-11-20 17:00" == due("2026-11-20 14:59", 0)
    assert "2026-11-23 17:00" == due("2026-11-20 15:00", 0)
    assert "2026-11-23 17:00" == due("2026-11-21 09:00", 0)


def test_hours_run_while_somebody_works():
    """Through lunch, over the night, and from the next opening for what comes late."""
    assert "2026-11-19 11:30" == due("2026-11-19 09:30", 2, "hour")
    assert "2026-11-19 14:30" == due("2026-11-19 09:30", 3, "hour")
    assert "2026-11-20 09:00" == due("2026-11-19 09:30", 7, "hour")
    assert "2026-11-20 09:30" == due("2026-11-19 15:00", 2, "hour"), "after the cut-off"
    assert "2026-11-19 08:30" == due("2026-11-19 05:00", 1, "hour")


def test_calendar_days_and_months_end_on_a_working_day():
    """A last day that is off moves to the next working day; a month ends on its last day at the latest."""
    assert "2026-11-30 17:00" == due("2026-11-18 09:00", 10, "calendar_day")
    assert "2026-11-25 17:00" == due("2026-11-14 09:00", 10, "calendar_day")
    assert "2027-03-01 17:00" == due("2027-01-31 09:00", 1, "month")
    assert "2027-01-04 17:00" == due("2026-11-02 09:00", 2, "month")


def test_the_centres_own_word_wins():
    """Off, worked and different days of the file stand above what the package knows."""
    calendar = a_calendar(
        off=("2026-11-23",),
        worked=("2026-11-24", "2026-11-22"),
        different=(DifferentDay("2026-11-21", (Span("08:00", "10:00"),)),),
    )
    assert "2026-11-21 10:00" == due("2026-11-20 09:00", 1, calendar=calendar)
    assert "2026-11-22 17:00" == due("2026-11-20 09:00", 2, calendar=calendar)
    assert "2026-11-24 17:00" == due("2026-11-20 09:00", 3, calendar=calendar)
    assert "2026-11-21 09:00" == due("2026-11-20 15:30", 1, "hour", calendar)


def test_a_hall_that_is_open_on_saturdays_does_not_shorten_limits():
    """Weekdays that count are the dossiers' own."""
    centre = a_centre()
    hours = msgspec.structs.replace(centre.hours, days=("fri", "sat"), sessions=SESSIONS)
    weekly = msgspec.structs.replace(centre, hours=hours)
    six_days = msgspec.structs.replace(weekly, dossiers=DossierPolicy(days=("mon", "tue", "wed", "thu", "fri", "sat")))
    assert "2026-11-23 17:00" == due("2026-11-20 09:00", 1, calendar=WorkingDays(weekly))
    assert "2026-11-21 17:00" == due("2026-11-20 09:00", 1, calendar=WorkingDays(six_days))


def test_warned_at_three_quarters_or_the_day_before():
    """Whichever comes first; a limit of a day has no day before."""
    calendar = a_calendar()
    assert "2026-11-19 07:30" == said(calendar.warn_ms(at("2026-11-17 07:30"), at("2026-11-20 17:00")))
    assert "2026-11-13 09:07" == said(calendar.warn_ms(at("2026-10-28 16:00"), at("2026-11-18 17:00")))
    assert "2026-11-19 15:07" == said(calendar.warn_ms(at("2026-11-19 07:30"), at("2026-11-19 17:00")))


moments = st.integers(at("2025-12-01 00:00") // 60_000, at("2028-01-31 00:00") // 60_000).map(
    lambda minute: minute * 60_000
)
limits = (
    st.builds(Limit, st.just("working_day"), st.integers(0, 60))
    | st.builds(Limit, st.sampled_from(("calendar_day", "hour")), st.integers(1, 90))
    | st.builds(Limit, st.just("month"), st.integers(1, 6))
)
dates = st.dates(date(2025, 12, 1), date(2028, 6, 30)).map(date.isoformat)


@st.composite
def calendars(draw: st.DrawFn) -> WorkingDays:
    """Some days more are off, some more are worked."""
    days = draw(st.lists(dates, max_size=12, unique=True))
    return a_calendar(off=tuple(days[::2]), worked=tuple(days[1::2]))


@given(calendars(), moments, limits)
def test_due_within_a_session_of_a_working_day(calendar: WorkingDays, start_ms: int, limit: Limit):
    """Never on a day off, never at night, never before it began."""
    due_ms = calendar.due_ms(start_ms, limit)
    day = calendar.day_of(due_ms)
    assert calendar.is_working(day)
    assert calendar.opens_ms(day) <= due_ms <= calendar.closes_ms(day)
    assert due_ms >= start_ms


@given(calendars(), moments, moments, limits, st.integers(0, 20))
def test_later_or_longer_is_never_due_earlier(
    calendar: WorkingDays, one_ms: int, other_ms: int, limit: Limit, more: int
):
    """Monotone in the start and in the limit."""
    first_ms, second_ms = sorted((one_ms, other_ms))
    assert calendar.due_ms(first_ms, limit) <= calendar.due_ms(second_ms, limit)
    if limit.value:  # the same day may end on the next one, after the cut-off
        longer = Limit(limit.unit, limit.value + more)
        assert calendar.due_ms(first_ms, limit) <= calendar.due_ms(first_ms, longer)


@given(calendars(), moments, limits, st.integers(0, 30 * 1440))
def test_an_interruption_of_no_time_changes_nothing(calendar: WorkingDays, start_ms: int, limit: Limit, minutes: int):
    """What is left, taken up at once, is due when it was; taken up later, not earlier."""
    due_ms = calendar.due_ms(start_ms, limit)
    at_ms = min(start_ms + minutes * 60_000, due_ms)
    left = calendar.left(at_ms, due_ms, limit.unit)
    assert calendar.resumed_ms(at_ms, left, limit.unit) == due_ms
    later_ms = at_ms + timedelta(days=9) // timedelta(milliseconds=1)
    assert calendar.resumed_ms(later_ms, left, limit.unit) >= due_ms


def test_a_limit_of_nothing_is_none():
    """0 hours is no limit; 0 working days is the same day."""
    with pytest.raises(ValueError, match="same day"):
        Limit("hour", 0)


@given(calendars(), moments, limits)
def test_a_warning_comes_between_start_and_end(calendar: WorkingDays, start_ms: int, limit: Limit):
    """Not before the limit begins to run, not after its end."""
    due_ms = calendar.due_ms(start_ms, limit)
    warn_ms = calendar.warn_ms(start_ms, due_ms)
    assert warn_ms <= due_ms
    assert calendar.day_of(warn_ms) >= calendar.day_of(start_ms)
