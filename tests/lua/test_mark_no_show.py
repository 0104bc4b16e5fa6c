"""qs_mark_no_show: called often enough, and absent."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import CallNext, MarkNoShow, Recall, Start, Undo


async def test_absent_and_missed(hall_of):
    """By a policy without return places."""
    hall = await hall_of(a_centre(calls_before_no_show=1, no_show_returns=0))
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))

    change = await hall.change(MarkNoShow(counter="q01"))

    assert {
        "q01.call": "A001 no_show",
        "q01.last": "no-show",
        "q01.ticket": None,
        "t1.ended_at_ms": 0,
        "t1.half_done": "a",
        "t1.missed": 1,
        "t1.state": "no_show",
    } == change.state
    assert [
        {
            "type": "TicketNoShow",
            "ticket": "t1",
            "number": "A001",
            "department": "a",
            "service": "a",
            "counter": "q01",
        }
    ] == change.facts


async def test_absent_and_waits_again_some_places_back(hall_of):
    """Behind the second of those who wait; there is nothing to undo, and the board is told twice."""
    hall = await hall_of(a_centre(calls_before_no_show=1, no_show_back_places=2))
    await hall.open("q01")
    for _ in range(4):
        await hall.issue()
        hall.clock.advance(1_000)
    await hall.press(CallNext(counter="q01"))

    change = await hall.change(MarkNoShow(counter="q01"))

    assert ["TicketNoShow", "TicketRevived"] == change.told
    assert ["A002", "A003", "A001", "A004"] == await hall.line()
    assert {
        "announced": [f"a/a.1/standard/t{n}" for n in (2, 3, 1, 4)],
        "day.waiting:a": "4",
        "groups.a.1": 1_200_000,
        "q01.call": "A001 no_show",
        "q01.idle_since": 4_000,
        "q01.last": None,
        "q01.ticket": None,
        "t1.called_at_ms": None,
        "t1.counter": None,
        "t1.half_done": "a",
        "t1.missed": 1,
        "t1.order": "00000003:00000001",
        "t1.rings": 0,
        "t1.state": "waiting",
        "t1.virtual_ms": 2_000,
        "waiting": [f"a/standard/t{n}" for n in (2, 3, 1, 4)],
    } == change.state
    assert "NOTHING_TO_UNDO" == await hall.refuses(Undo(counter="q01"))


async def test_absent_and_waits_again_in_the_old_place(hall_of):
    """No place back: whoever is called next is the same visitor."""
    hall = await hall_of(a_centre(calls_before_no_show=1, no_show_back_places=0))
    await hall.open("q01")
    await hall.issue()
    await hall.issue()
    await hall.press(CallNext(counter="q01"))

    change = await hall.change(MarkNoShow(counter="q01"))

    assert ["TicketNoShow", "TicketRevived"] == change.told
    assert ["A001", "A002"] == await hall.line()


async def test_the_second_time_absent_is_missed(hall_of):
    """The policy lets a visitor return once."""
    hall = await hall_of(a_centre(calls_before_no_show=1, no_show_returns=1))
    await hall.open("q01")
    await hall.issue()
    for _ in range(2):
        await hall.press(CallNext(counter="q01"))
        reply = await hall.press(MarkNoShow(counter="q01"))

    assert "no_show" == reply["ticket"]["state"]


async def test_absent_while_another_counter_is_ready(hall_of):
    """The other one calls at once, rather than idle."""
    hall = await hall_of(a_centre(2, calls_before_no_show=1))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(CallNext(counter="q02"))

    change = await hall.change(MarkNoShow(counter="q01"))

    assert ["TicketNoShow", "TicketRevived", "TicketCalled"] == change.told
    assert ("called", "q02") == (change.reply["ticket"]["state"], change.reply["ticket"]["counter"])
    assert "t1" == (await hall.counter("q02"))["ticket"]
    assert "ticket" not in await hall.counter("q01")


async def test_absent_when_nobody_serves_the_service_any_more(hall_of):
    """There is no line to return to: the ticket is missed, and nothing is half done."""
    hall = await hall_of(a_centre({"q01": "a b"}, calls_before_no_show=1))
    await hall.open("q01")
    await hall.issue("b")
    await hall.press(CallNext(counter="q01"))
    await hall.configure(a_centre({"q01": "a"}, id=hall.centre.id, calls_before_no_show=1))

    change = await hall.change(MarkNoShow(counter="q01"))

    assert ["TicketNoShow"] == change.told
    assert "no_show" == change.reply["ticket"]["state"]


async def test_refusals(hall_of):
    """Nobody in hand; not called often enough; served already."""
    hall = await hall_of(a_centre(calls_before_no_show=2))
    await hall.open("q01")

    assert "COUNTER_IDLE" == await hall.refuses(MarkNoShow(counter="q01"))
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    assert "TOO_EARLY_NO_SHOW" == await hall.refuses(MarkNoShow(counter="q01"))
    await hall.press(Recall(counter="q01"))
    await hall.press(Start(counter="q01"))
    assert "WRONG_STATE" == await hall.refuses(MarkNoShow(counter="q01"))
