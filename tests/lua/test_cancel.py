"""qs_cancel: the visitor gives up."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import CallNext, Cancel, Park


async def test_a_place_in_line_is_given_up(hall_of):
    """The line is shorter; the number is not given again today."""
    hall = await hall_of(a_centre())
    await hall.issue()
    hall.clock.advance(1_000)

    change = await hall.change(Cancel(ticket="t1", reason="too long"), actor="phone")

    assert {
        "announced": [],
        "day.waiting:a": "0",
        "groups.a.1": None,
        "t1.ended_at_ms": 1_000,
        "t1.state": "cancelled",
        "waiting": [],
    } == change.state
    assert [
        {
            "type": "TicketCancelled",
            "ticket": "t1",
            "number": "A001",
            "department": "a",
            "service": "a",
            "was": "waiting",
            "reason": "too long",
        }
    ] == change.facts


async def test_a_parked_ticket_is_given_up(hall_of):
    """No line is touched."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(Park(counter="q01"))

    assert {"t1.state": "cancelled"} == (await hall.change(Cancel(ticket="t1"))).state


async def test_refusals(hall_of):
    """An unknown ticket; one that is called."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))

    assert "UNKNOWN_TICKET" == await hall.refuses(Cancel(ticket="t9"))
    assert "WRONG_STATE" == await hall.refuses(Cancel(ticket="t1"))
