"""qs_call_chosen: this very ticket, out of turn and on record."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import CallChosen, CallNext, IssueTicket, MarkNoShow


async def test_a_ticket_is_called_by_its_number(hall_of):
    """Out of turn, with the reason in the record."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.issue()

    change = await hall.change(CallChosen(counter="q01", ticket="a002", reason="a child"))

    assert {
        "announced": ["a/a.1/standard/t1"],
        "day.waiting:a": "1",
        "groups.a.1": 300_000,
        "q01.call": "A002 called",
        "q01.called_at_ms": 0,
        "q01.last": "call",
        "q01.mean_at_call": 300_000,
        "q01.service": "a",
        "q01.ticket": "t2",
        "t2.call": 5,
        "t2.called_at_ms": 0,
        "t2.counter": "q01",
        "t2.rings": 1,
        "t2.state": "called",
        "waiting": ["a/standard/t1"],
    } == change.state
    assert ["TicketCalled"] == change.told
    assert ("a child", "chosen") == (change.facts[0]["reason"], change.facts[0]["why"]["rule"])


async def test_an_absent_visitor_is_called_again(hall_of):
    """Straight from absence; no line is touched."""
    hall = await hall_of(a_centre(calls_before_no_show=1, no_show_returns=0))
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(MarkNoShow(counter="q01"))

    change = await hall.change(CallChosen(counter="q01", ticket="t1"))

    assert ("called", "no_show") == (change.reply["ticket"]["state"], change.facts[0]["was"])
    assert "waiting" not in change.state


async def test_of_several_lines_it_is_called_for_the_counters_own(hall_of):
    """Overflow is for when there is nothing else."""
    hall = await hall_of(a_centre({"q01": "a b:2", "q02": "b"}))
    await hall.open("q01")
    await hall.press(IssueTicket(service="b", further=("a",), any_order=True, cls="standard"))

    reply = await hall.press(CallChosen(counter="q01", ticket="t1"))

    assert "a" == reply["ticket"]["service"]


async def test_refusals(hall_of):
    """Those of call-next, and of the ticket."""
    hall = await hall_of(a_centre(2))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))

    assert "COUNTER_BUSY" == await hall.refuses(CallChosen(counter="q01", ticket="t1"))
    assert "UNKNOWN_TICKET" == await hall.refuses(CallChosen(counter="q02", ticket="A999"))
    assert "WRONG_STATE" == await hall.refuses(CallChosen(counter="q02", ticket="t1"))
