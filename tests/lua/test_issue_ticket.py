"""qs_issue_ticket: the next number, and a place in line."""

from __future__ import annotations

from builders import NEXT_DAY, a_centre, standing
from queue_service.commands import AdvanceDay, CallNext, Cancel, IssueTicket, SwitchIssuing


async def test_a_ticket_gets_the_next_number_and_a_place_in_line(hall_of):
    """One more waits, one number is gone, the slip names the cluster, and everybody is told."""
    hall = await hall_of(a_centre(counters=2))
    await hall.issue()

    change = await hall.change(IssueTicket(service="a", cls="priority", ground="elderly", procedure="1.00"))

    assert {
        "announced": ["a/a.1/priority/t2", "a/a.1/standard/t1"],
        "day.orders": "2",
        "day.waiting:a": "2",
        "groups.a.1": 600_000,
        "numbers.A002": "t2",
        "sequences.a": 2,
        "t2.announced_for": "a",
        "t2.class": "priority",
        "t2.counters": ["q01", "q02"],
        "t2.day": "2026-11-22",
        "t2.department": "a",
        "t2.ground": "elderly",
        "t2.group": "a.1",
        "t2.id": "t2",
        "t2.issued_at_ms": 0,
        "t2.language": "vi",
        "t2.lines": ["a"],
        "t2.needs": ["a"],
        "t2.number": "A002",
        "t2.order": "00000002",
        "t2.printed": False,
        "t2.procedure": "1.00",
        "t2.rings": 0,
        "t2.service": "a",
        "t2.state": "waiting",
        "t2.virtual_ms": 0,
        "t2.work_ms": 300_000,
        "waiting": ["a/priority/t2", "a/standard/t1"],
    } == change.state
    place = standing("t2", "A002", counters=["q01", "q02"]) | {"class": "priority"}
    assert [{"type": "TicketIssued", **place, "ground": "elderly", "procedure": "1.00"}] == change.facts
    assert 0 == change.reply["ahead"]


async def test_a_counter_that_asked_and_got_nobody_calls_at_once(hall_of):
    """Nobody sits before a counter that is ready."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.press(CallNext(counter="q01"))

    change = await hall.change(IssueTicket(service="a", cls="standard"))

    assert ["TicketIssued", "TicketCalled"] == change.told
    assert ("called", "q01", 1) == tuple(change.reply["ticket"][name] for name in ("state", "counter", "rings"))
    assert "ready" == change.facts[1]["why"]["rule"]
    assert {"q01.ready": None, "q01.ticket": "t1"}.items() <= change.state.items()


async def test_of_ready_counters_the_one_on_the_slip_calls(hall_of):
    """Although the other has been ready longer."""
    hall = await hall_of(a_centre({"q01": "a b", "q02": "a"}, mode="counter"))
    await hall.open("q01")
    hall.clock.advance(1_000)
    await hall.open("q02")
    for counter in ("q01", "q02"):
        await hall.press(CallNext(counter=counter))

    change = await hall.change(IssueTicket(service="a", cls="standard"))

    assert ["q02"] == change.facts[0]["counters"]
    assert "q02" == change.reply["ticket"]["counter"]


async def test_the_last_number_of_a_day_is_the_cap(hall_of):
    """Then there are no more, and nothing has changed."""
    hall = await hall_of(a_centre(cap=2))
    await hall.issue()
    await hall.issue()

    assert "NUMBERS_EXHAUSTED" == await hall.refuses(IssueTicket(service="a", cls="standard"))


async def test_a_number_that_somebody_carries_over_night_is_not_given_again(hall_of):
    """The visitor of yesterday who still waits is A001; today begins with A002."""
    hall = await hall_of(a_centre())
    await hall.issue()
    await hall.press(AdvanceDay(day=NEXT_DAY))

    assert "A002" == (await hall.ticket(await hall.issue()))["number"]


async def test_hundreds_who_are_carried_over_do_not_end_the_day(hall_of):
    """However many numbers in a row are carried, the next free one is found."""
    hall = await hall_of(a_centre())
    for _ in range(205):
        await hall.issue()
    await hall.press(AdvanceDay(day=NEXT_DAY))

    assert "A206" == (await hall.ticket(await hall.issue()))["number"]


async def test_a_letter_that_moves_to_another_department_repeats_no_number(hall_of):
    """A001 was given out today; the department that has the letter now goes on with A002."""
    hall = await hall_of(a_centre({"q01": "a b"}))
    await hall.press(Cancel(ticket=await hall.issue("a")))
    await hall.configure(a_centre({"q01": "a b"}, id=hall.centre.id, letters={"a": "X", "b": "A"}))

    assert "A002" == (await hall.ticket(await hall.issue("b")))["number"]


async def test_a_visit_in_any_order_waits_in_all_its_lines(hall_of):
    """The first call takes it out of the others."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))
    await hall.open("q01", "q02")

    change = await hall.change(IssueTicket(service="a", further=("b",), any_order=True, cls="standard"))

    assert ["a/standard/t1", "b/standard/t1"] == change.state["waiting"]
    assert ("1", "1") == (change.state["day.waiting:a"], change.state["day.waiting:b"])
    assert ["a", "b"] == change.facts[0]["lines"]
    called = await hall.change(CallNext(counter="q02"))
    assert ([], "b", "b") == (called.state["waiting"], called.state["t1.service"], called.state["t1.department"])
    assert ["a", "b"] == called.facts[0]["lines"]


async def test_a_visit_in_fixed_order_waits_for_its_first_service(hall_of):
    """The rest comes when that is done."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))

    change = await hall.change(IssueTicket(service="a", further=("b",), cls="standard"))

    assert (["a/standard/t1"], ["a", "b"]) == (change.state["waiting"], change.state["t1.needs"])


async def test_an_appointment_counts_from_five_minutes_before(hall_of):
    """Whoever is more than a quarter of an hour late is a walk-in."""
    hall = await hall_of(a_centre())
    now = hall.clock.now_ms()

    async def issued(minutes: int) -> tuple[str, int]:
        at_ms = now + minutes * 60_000
        reply = await hall.press(IssueTicket(service="a", cls="appointment", appointment_ms=at_ms))
        return reply["ticket"]["class"], reply["ticket"]["virtual_ms"] - now

    assert ("appointment", 1_500_000) == await issued(30)
    assert ("appointment", 0) == await issued(-15)
    assert ("standard", 0) == await issued(-16)


async def test_refusals(hall_of):
    """Each says why, and nothing has changed."""
    hall = await hall_of(a_centre(services="b"))
    await hall.issue(ticket="taken")

    assert "UNKNOWN_SERVICE" == await hall.refuses(IssueTicket(service="x", cls="standard"))
    assert "NOBODY_SERVES" == await hall.refuses(IssueTicket(service="b", cls="standard"))
    assert "MALFORMED" == await hall.refuses(IssueTicket(service="a", cls="royal"))
    assert "MALFORMED" == await hall.refuses(IssueTicket(service="a", further=("a",), cls="standard"))
    assert "NOBODY_SERVES" == await hall.refuses(IssueTicket(service="a", further=("b",), cls="standard"))
    assert "UNKNOWN_SERVICE" == await hall.refuses(IssueTicket(service="a", further=("x",), cls="standard"))
    assert "MALFORMED" == await hall.refuses(IssueTicket(service="a", cls="standard"), ticket="taken")
    await hall.press(SwitchIssuing(open=False, text="come tomorrow"))
    assert "ISSUING_CLOSED" == await hall.refuses(IssueTicket(service="a", cls="standard"))
    assert await hall.issue(over=True)


async def test_a_slip_names_the_counters_that_stand_together_and_others_help(hall_of):
    """The counter outside the group is named by no slip, not even alone in the hall, and still calls."""
    hall = await hall_of(a_centre(counters=3, clusters={"a": [["q01", "q02"]]}))
    await hall.open("q03")

    change = await hall.change(IssueTicket(service="a", cls="standard"))

    assert ["q01", "q02"] == change.reply["ticket"]["counters"]
    called = await hall.press(CallNext(counter="q03"))
    assert ("called", "q03") == tuple(called["ticket"][name] for name in ("state", "counter"))
