"""qs_mark_printed: the slip is on paper."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import Cancel, MarkPrinted


async def test_a_slip_is_printed_once(hall_of):
    """The second time changes nothing."""
    hall = await hall_of(a_centre())
    await hall.issue()

    change = await hall.change(MarkPrinted(ticket="t1"))

    assert {"t1.printed": True} == change.state
    assert [{"type": "TicketPrinted", "ticket": "t1", "number": "A001"}] == change.facts
    assert ({}, []) == (await hall.change(MarkPrinted(ticket="t1")))[1:]


async def test_refusals(hall_of):
    """An unknown ticket; one that is over."""
    hall = await hall_of(a_centre())
    await hall.issue()
    await hall.press(Cancel(ticket="t1"))

    assert "UNKNOWN_TICKET" == await hall.refuses(MarkPrinted(ticket="t9"))
    assert "WRONG_STATE" == await hall.refuses(MarkPrinted(ticket="t1"))
