"""qs_start: the visitor has sat down."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import CallNext, Start


async def test_service_begins(hall_of):
    """The ticket is served from now."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    hall.clock.advance(9_000)

    change = await hall.change(Start(counter="q01"))

    assert {
        "q01.call": "A001 serving",
        "q01.last": "start",
        "t1.started_at_ms": 9_000,
        "t1.state": "serving",
    } == change.state
    assert [{"type": "ServiceStarted", "ticket": "t1", "number": "A001", "counter": "q01"}] == change.facts


async def test_refusals(hall_of):
    """Nobody in hand; started already."""
    hall = await hall_of(a_centre())
    await hall.open("q01")

    assert "COUNTER_IDLE" == await hall.refuses(Start(counter="q01"))
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(Start(counter="q01"))
    assert "WRONG_STATE" == await hall.refuses(Start(counter="q01"))
