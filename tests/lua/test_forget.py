"""qs_forget: what is over and of an earlier day."""

from __future__ import annotations

from builders import NEXT_DAY, a_centre
from queue_service.commands import AdvanceDay, Cancel, Forget


async def test_finished_tickets_of_earlier_days_are_forgotten(hall_of):
    """Whoever still waits is not, and nobody of today."""
    hall = await hall_of(a_centre())
    for _ in range(2):
        await hall.issue()
    await hall.press(Cancel(ticket="t1"))
    await hall.press(AdvanceDay(day=NEXT_DAY))
    await hall.press(Cancel(ticket=await hall.issue()))
    fields = len(await hall.ticket("t1"))

    change = await hall.change(Forget(tickets=["t1", "t2", "t3", "t9"]))

    assert 1 == change.reply["forgotten"]
    assert ["t1"] * fields == [path.partition(".")[0] for path in change.state]
    assert [] == change.facts


async def test_the_number_is_forgotten_with_its_ticket(hall_of):
    """Unless somebody else has it by now."""
    hall = await hall_of(a_centre())
    await hall.issue()
    await hall.press(Cancel(ticket="t1"))
    await hall.press(AdvanceDay(day=NEXT_DAY))

    change = await hall.change(Forget(tickets=["t1"]))

    assert change.state["numbers.A001"] is None


async def test_refusals(hall_of):
    """Not too much at once."""
    hall = await hall_of(a_centre())

    assert "MALFORMED" == await hall.refuses(Forget(tickets=["t1"] * 201))
