"""qs_park: set aside while the visitor fetches a paper."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import CallNext, Park, Resume


async def test_a_ticket_is_set_aside(hall_of):
    """The counter is free; the ticket keeps its virtual arrival."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    hall.clock.advance(5_000)
    await hall.press(CallNext(counter="q01"))

    change = await hall.change(Park(counter="q01", reason="a copy"))

    assert {
        "q01.call": "A001 parked",
        "q01.idle_since": 5_000,
        "q01.last": "park",
        "q01.ticket": None,
        "t1.ended_at_ms": 5_000,
        "t1.half_done": "a",
        "t1.park_reason": "a copy",
        "t1.state": "parked",
    } == change.state
    assert [
        {
            "type": "TicketParked",
            "ticket": "t1",
            "number": "A001",
            "department": "a",
            "service": "a",
            "counter": "q01",
            "reason": "a copy",
        }
    ] == change.facts


async def test_refusals(hall_of):
    """Nobody in hand."""
    hall = await hall_of(a_centre())
    await hall.open("q01")

    assert "COUNTER_IDLE" == await hall.refuses(Park(counter="q01"))


async def test_the_time_of_return_is_kept_until_the_visitor_is_back(hall_of):
    """It is told, and nothing happens by itself."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    until_ms = hall.clock.now_ms() + 600_000

    change = await hall.change(Park(counter="q01", until_ms=until_ms))
    assert (600_000, 600_000) == (change.state["t1.park_until_ms"], change.facts[0]["until_ms"])
    hall.clock.advance(700_000)
    assert (await hall.press(CallNext(counter="q01"))).get("ticket") is None

    assert "park_until_ms" not in (await hall.press(Resume(counter="q01", ticket="t1")))["ticket"]
