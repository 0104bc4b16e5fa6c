"""qs_expire: the day of a ticket is over."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import CallNext, Expire


async def test_whoever_still_waits_expires(hall_of):
    """As a cancelled ticket, with another name."""
    hall = await hall_of(a_centre())
    await hall.issue()

    change = await hall.change(Expire(ticket="t1"), actor="system")

    assert {
        "announced": [],
        "day.waiting:a": "0",
        "groups.a.1": None,
        "t1.ended_at_ms": 0,
        "t1.state": "expired",
        "waiting": [],
    } == change.state
    assert [
        {
            "type": "TicketExpired",
            "ticket": "t1",
            "number": "A001",
            "department": "a",
            "service": "a",
            "was": "waiting",
        }
    ] == change.facts


async def test_refusals(hall_of):
    """Somebody who sits at a counter is not sent away."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))

    assert "WRONG_STATE" == await hall.refuses(Expire(ticket="t1"))
    assert "UNKNOWN_TICKET" == await hall.refuses(Expire(ticket="t9"))
