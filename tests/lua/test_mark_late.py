"""qs_mark_late: let some people pass."""

from __future__ import annotations

from builders import a_centre, standing
from queue_service.commands import CallNext, MarkLate


async def test_three_others_pass(hall_of):
    """The ticket takes the virtual arrival of the third behind it, and a place right after."""
    hall = await hall_of(a_centre())
    for _ in range(5):
        await hall.issue()
        hall.clock.advance(1_000)

    change = await hall.change(MarkLate(ticket="t1"), actor="phone")

    order = (2, 3, 4, 1, 5)
    assert {
        "announced": [f"a/a.1/standard/t{n}" for n in order],
        "t1.order": "00000004:00000001",
        "t1.virtual_ms": 3_000,
        "waiting": [f"a/standard/t{n}" for n in order],
    } == change.state
    place = standing("t1", "A001", virtual_ms=3_000, order="00000004:00000001")
    assert [{"type": "TicketMovedBack", **place}] == change.facts
    assert 3 == change.reply["ahead"]


async def test_the_last_in_line_stays_where_it_is(hall_of):
    """There is nobody to let pass; that is an answer."""
    hall = await hall_of(a_centre())
    await hall.issue()

    change = await hall.change(MarkLate(ticket="t1"))

    assert ({}, []) == (change.state, change.facts)


async def test_two_who_let_each_other_pass_change_places_each_time(hall_of):
    """Nobody is lost, however often."""
    hall = await hall_of(a_centre(late_back_places=1))
    await hall.issue()
    await hall.issue()

    for n in (1, 2) * 5:
        await hall.press(MarkLate(ticket=f"t{n}"))
        assert f"A00{n}" == (await hall.line())[-1]


async def test_refusals(hall_of):
    """An unknown ticket; one that is called."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))

    assert "UNKNOWN_TICKET" == await hall.refuses(MarkLate(ticket="t9"))
    assert "WRONG_STATE" == await hall.refuses(MarkLate(ticket="t1"))
