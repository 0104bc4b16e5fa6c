"""qs_complete: served, and a lesson for the mean."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import CallNext, Complete, Done, IssueTicket, Start
from queue_service.events import public_form


async def test_the_visitor_is_served(hall_of):
    """The counter is free, and the mean moves a ninth of the way to what this took."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    hall.clock.advance(30_000)
    await hall.press(Start(counter="q01"))

    change = await hall.change(Complete(counter="q01"))

    assert {
        "day.mean:a": "270000 9",
        "q01.call": "A001 served",
        "q01.idle_since": 30_000,
        "q01.last": "complete",
        "q01.ticket": None,
        "t1.ended_at_ms": 30_000,
        "t1.needs": [],
        "t1.state": "served",
    } == change.state
    assert [
        {
            "type": "TicketServed",
            "ticket": "t1",
            "number": "A001",
            "department": "a",
            "service": "a",
            "class": "standard",
            "counter": "q01",
            "called_at_ms": 0,
            "started_at_ms": 30_000,
            "mean_ms": 270_000,
        }
    ] == change.facts


async def test_a_visit_goes_on_to_its_next_line(hall_of):
    """Served here, and in the same step waiting for the next service."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))
    await hall.open("q01", "q02")
    await hall.press(IssueTicket(service="a", further=("b",), cls="standard"))
    await hall.press(CallNext(counter="q01"))

    change = await hall.change(Complete(counter="q01"))

    assert ["TicketServed", "TicketTransferred"] == change.told
    assert ("a", "b", ["q02"]) == tuple(change.facts[1][name] for name in ("from_service", "service", "counters"))
    assert {"t1.needs": ["b"], "t1.state": "waiting", "t1.department": "b"}.items() <= change.state.items()
    assert ["b/standard/t1"] == change.state["waiting"]


async def test_what_nobody_serves_any_more_is_let_go(hall_of):
    """The last service of the visit was taken out of the configuration: the visit is over."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))
    await hall.open("q01")
    await hall.press(IssueTicket(service="a", further=("b",), cls="standard"))
    await hall.press(CallNext(counter="q01"))
    await hall.configure(a_centre({"q01": "a"}, id=hall.centre.id))

    assert "served" == (await hall.press(Complete(counter="q01")))["ticket"]["state"]


async def test_refusals(hall_of):
    """Nobody in hand."""
    hall = await hall_of(a_centre())
    await hall.open("q01")

    assert "COUNTER_IDLE" == await hall.refuses(Complete(counter="q01"))
    assert "NOT_YOUR_SEAT" == await hall.refuses(Complete(counter="q01"), actor="staff:minh")


async def test_what_was_done_is_in_the_event_and_nowhere_else(hall_of):
    """Procedures with their dossiers, and the outcome; the public does not see them."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))

    done = (Done(procedure="1.001", dossiers=3), Done(procedure="2.002"))
    change = await hall.change(Complete(counter="q01", done=done, outcome="done"))

    (fact,) = change.facts
    assert [{"procedure": "1.001", "dossiers": 3}, {"procedure": "2.002", "dossiers": 1}] == fact["done"]
    assert "done" == fact["outcome"]
    assert not {"t1.done", "t1.outcome"} & set(change.state)
    assert not {"done", "outcome"} & set(public_form((await hall.events())[-1]))
