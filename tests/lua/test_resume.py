"""qs_resume: a parked ticket is called back."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import CallNext, Park, Resume


async def test_a_parked_ticket_is_called_by_another_counter(hall_of):
    """Any counter may: the visitor goes where there is room."""
    hall = await hall_of(a_centre(2))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(Park(counter="q01", reason="a copy"))
    hall.clock.advance(60_000)

    change = await hall.change(Resume(counter="q02", ticket="t1"))

    assert {
        "q02.call": "A001 called",
        "q02.called_at_ms": 60_000,
        "q02.last": "resume",
        "q02.mean_at_call": 300_000,
        "q02.service": "a",
        "q02.ticket": "t1",
        "t1.call": 7,
        "t1.called_at_ms": 60_000,
        "t1.counter": "q02",
        "t1.ended_at_ms": None,
        "t1.park_reason": None,
        "t1.state": "called",
    } == change.state
    assert ["TicketCalled"] == change.told
    assert ("parked", "resumed") == (change.facts[0]["was"], change.facts[0]["why"]["rule"])


async def test_refusals(hall_of):
    """Those of call-next, and of the ticket."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()

    assert "UNKNOWN_TICKET" == await hall.refuses(Resume(counter="q01", ticket="t9"))
    assert "WRONG_STATE" == await hall.refuses(Resume(counter="q01", ticket="t1"))
    await hall.press(CallNext(counter="q01"))
    assert "COUNTER_BUSY" == await hall.refuses(Resume(counter="q01", ticket="t1"))
