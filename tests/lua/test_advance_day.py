"""qs_advance_day: another business day."""

from __future__ import annotations

from builders import NEXT_DAY, a_centre
from queue_service.commands import AdvanceDay, CallNext, IssueTicket


async def test_a_day_begins(hall_of):
    """Numbers begin anew; whoever waits or is served stays; boards are wiped and nothing can be undone."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.issue()
    await hall.press(CallNext(counter="q01"))

    change = await hall.change(AdvanceDay(day=NEXT_DAY), actor="system")

    assert {"day.day": NEXT_DAY, "q01.call": None, "q01.last": None, "sequences.a": None} == change.state
    assert [{"type": "DayAdvanced", "day": NEXT_DAY}] == change.facts
    assert NEXT_DAY == change.reply["day"]


async def test_answers_are_kept_for_the_day_and_the_next(hall_of):
    """A kiosk that repeats across midnight gets yesterday's ticket, not another; a day later its key is fresh."""
    hall = await hall_of(a_centre())
    wish = IssueTicket(service="a", cls="standard")
    first = await hall.press(wish, key="kiosk-key-1")

    await hall.press(AdvanceDay(day="2026-11-23"))
    assert first == await hall.press(wish, key="kiosk-key-1")

    await hall.press(AdvanceDay(day="2026-11-24"))
    assert first["ticket"]["id"] != (await hall.press(wish, key="kiosk-key-1"))["ticket"]["id"]


async def test_refusals(hall_of):
    """A day only moves forward, and is written as a day."""
    hall = await hall_of(a_centre())

    assert "DAY_NOT_LATER" == await hall.refuses(AdvanceDay(day="2026-11-22"))
    assert "DAY_NOT_LATER" == await hall.refuses(AdvanceDay(day="2026-11-21"))
    assert "MALFORMED" == await hall.refuses(AdvanceDay(day="tomorrow"))
