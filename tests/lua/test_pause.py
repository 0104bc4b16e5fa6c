"""qs_pause: no more calls for a while."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import CallNext, Pause


async def test_a_counter_pauses(hall_of):
    """It is not ready any more; the seat stays."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.press(CallNext(counter="q01"))
    hall.clock.advance(1_000)

    change = await hall.change(Pause(counter="q01", reason="lunch"))

    assert {"q01.ready": None, "q01.reason": "lunch", "q01.since_ms": 1_000, "q01.state": "paused"} == change.state
    assert [{"type": "CounterPaused", "counter": "q01", "reason": "lunch"}] == change.facts
    assert ({}, []) == (await hall.change(Pause(counter="q01")))[1:]


async def test_refusals(hall_of):
    """A closed counter does not pause."""
    hall = await hall_of(a_centre())

    assert "NOT_YOUR_SEAT" == await hall.refuses(Pause(counter="q01"))
    assert "COUNTER_CLOSED" == await hall.refuses(Pause(counter="q01"), over=True)
    assert "UNKNOWN_COUNTER" == await hall.refuses(Pause(counter="q99"))
