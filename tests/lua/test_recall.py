"""qs_recall: once more, everywhere."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import CallNext, Recall, Start


async def test_the_ticket_is_announced_again(hall_of):
    """Nothing changes but the count of rings."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))

    change = await hall.change(Recall(counter="q01"))

    assert {"t1.rings": 2} == change.state
    assert [
        {
            "type": "TicketRecalled",
            "ticket": "t1",
            "number": "A001",
            "department": "a",
            "counter": "q01",
            "rings": 2,
            "language": "vi",
        }
    ] == change.facts
    assert 2 == (await hall.counter("q01"))["call"]["rings"]


async def test_refusals(hall_of):
    """Nobody in hand; somebody who has sat down."""
    hall = await hall_of(a_centre())
    await hall.open("q01")

    assert "COUNTER_IDLE" == await hall.refuses(Recall(counter="q01"))
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(Start(counter="q01"))
    assert "WRONG_STATE" == await hall.refuses(Recall(counter="q01"))
