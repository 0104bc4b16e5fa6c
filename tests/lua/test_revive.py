"""qs_revive: back in line."""

from __future__ import annotations

from builders import NEXT_DAY, a_centre, standing
from queue_service.commands import AdvanceDay, CallNext, Cancel, IssueTicket, MarkNoShow, Park, Revive


async def test_for_an_absent_visitor_the_clock_stood_still(hall_of):
    """She had waited a minute when she was missed, and has waited a minute now."""
    hall = await hall_of(a_centre(calls_before_no_show=1, no_show_returns=0))
    await hall.open("q01")
    await hall.issue()
    hall.clock.advance(60_000)
    await hall.press(CallNext(counter="q01"))
    await hall.press(MarkNoShow(counter="q01"))
    hall.clock.advance(600_000)

    change = await hall.change(Revive(ticket="t1", reason="was outside"))

    assert {
        "announced": ["a/a.1/standard/t1"],
        "day.waiting:a": "1",
        "groups.a.1": 300_000,
        "t1.called_at_ms": None,
        "t1.counter": None,
        "t1.ended_at_ms": None,
        "t1.rings": 0,
        "t1.state": "waiting",
        "t1.virtual_ms": 600_000,
        "waiting": ["a/standard/t1"],
    } == change.state
    place = standing("t1", "A001", virtual_ms=600_000)
    assert [{"type": "TicketRevived", **place, "was": "no_show", "reason": "was outside"}] == change.facts


async def test_a_cancelled_ticket_keeps_its_place(hall_of):
    """People change their minds within a minute."""
    hall = await hall_of(a_centre())
    await hall.issue()
    hall.clock.advance(1_000)
    await hall.issue()
    await hall.press(Cancel(ticket="t1"))

    reply = await hall.press(Revive(ticket="t1"))

    assert ["A001", "A002"] == await hall.line()
    assert 0 == reply["ahead"]


async def test_a_ready_counter_calls_whoever_is_back(hall_of):
    """Parked by one, called by another."""
    hall = await hall_of(a_centre(2))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(Park(counter="q01"))
    await hall.press(CallNext(counter="q02"))

    change = await hall.change(Revive(ticket="t1"))

    assert ["TicketRevived", "TicketCalled"] == change.told
    assert "q02" == change.reply["ticket"]["counter"]


async def test_a_number_that_somebody_else_has_now_does_not_come_back(hall_of):
    """Cancelled yesterday, given to somebody else today: two people must not answer to A001."""
    hall = await hall_of(a_centre())
    await hall.issue()
    await hall.press(Cancel(ticket="t1"))
    await hall.press(AdvanceDay(day=NEXT_DAY))
    assert "A001" == (await hall.ticket(await hall.issue()))["number"]

    assert "WRONG_STATE" == await hall.refuses(Revive(ticket="t1"))


async def test_of_a_visit_in_any_order_what_nobody_serves_any_more_is_let_go(hall_of):
    """The visitor waits in the lines that are left, and in no other."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))
    await hall.press(IssueTicket(service="a", further=("b",), any_order=True, cls="standard"))
    await hall.press(Cancel(ticket="t1"))
    await hall.configure(a_centre({"q01": "a"}, id=hall.centre.id))

    change = await hall.change(Revive(ticket="t1"))

    assert (["a/standard/t1"], ["a"]) == (change.state["waiting"], change.state["t1.needs"])


async def test_refusals(hall_of):
    """An unknown ticket; one that waits; a service that nobody serves any more."""
    hall = await hall_of(a_centre({"q01": "a b"}))
    await hall.issue("b")

    assert "UNKNOWN_TICKET" == await hall.refuses(Revive(ticket="t9"))
    assert "WRONG_STATE" == await hall.refuses(Revive(ticket="t1"))
    await hall.press(Cancel(ticket="t1"))
    await hall.configure(a_centre({"q01": "a"}, id=hall.centre.id))
    assert "NOBODY_SERVES" == await hall.refuses(Revive(ticket="t1"))
