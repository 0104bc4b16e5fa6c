"""qs_set_place: a supervisor decides where a ticket stands."""

from __future__ import annotations

import pytest

from builders import a_centre, standing
from queue_service.commands import CallNext, Complete, IssueTicket, MarkLate, Park, SetPlace, Undo
from reference_model import parts

BOSS = {"actor": "staff:boss", "over": True}


def put(ticket: str, **where):
    """The wish, with a reason."""
    return SetPlace(ticket=ticket, reason="asked", **where)


async def some_people(hall, n: int, apart_ms: int = 1_000, cls: str = "standard") -> None:
    for _ in range(n):
        await hall.issue("a", cls)
        hall.clock.advance(apart_ms)


async def test_in_front_of_somebody(hall_of):
    """It stands a millisecond before; old and new place, who and why are recorded."""
    hall = await hall_of(a_centre())
    await some_people(hall, 3)

    change = await hall.change(put("t3", before="a002"), **BOSS)

    assert ["A001", "A003", "A002"] == await hall.line()
    assert {
        "announced": ["a/a.1/standard/t1", "a/a.1/standard/t3", "a/a.1/standard/t2"],
        "t3.placed": {"by": "staff:boss", "at_ms": hall.clock.now_ms(), "reason": "asked"},
        "t3.virtual_ms": 999,
        "waiting": ["a/standard/t1", "a/standard/t3", "a/standard/t2"],
    } == change.state
    place = standing("t3", "A003", virtual_ms=999)
    was = {"was": "waiting", "was_virtual_ms": 2_000, "left": ["a"]}
    assert [{**place, **was, "type": "TicketPlaced", "reason": "asked"}] == change.facts
    assert 1 == change.reply["ahead"]


@pytest.mark.parametrize("apart_ms", [0, 1, 1_000])
@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
async def test_behind_so_many_people(hall_of, after, apart_ms):
    """Also among people who came in the same millisecond: so many are ahead, no more."""
    hall = await hall_of(a_centre())
    await some_people(hall, 5, apart_ms)
    others = ["A001", "A002", "A004", "A005"]

    reply = await hall.press(put("t3", after=after), **BOSS)

    assert [*others[:after], "A003", *others[after:]] == await hall.line()
    assert after == reply["ahead"]


async def test_people_of_all_classes_are_counted(hall_of):
    """Priority is due sooner; behind two people means behind those two who are due first."""
    hall = await hall_of(a_centre())
    await some_people(hall, 2)
    await some_people(hall, 2, cls="priority")
    await hall.issue()

    reply = await hall.press(put("t5", after=1), **BOSS)

    assert 1 == reply["ahead"]
    assert 3 == (await hall.press(put("t2", before="t1"), **BOSS))["ahead"]
    assert 0 == (await hall.press(put("t1", before="t3"), **BOSS))["ahead"]


async def test_again_and_again_between_the_same_two(hall_of):
    """Whoever is put in front of A002 last stands right in front of it, however many were put there before."""
    hall = await hall_of(a_centre())
    await some_people(hall, 6, apart_ms=0)

    for ticket in ("t6", "t3", "t5", "t4"):
        await hall.press(put(ticket, before="t2"), **BOSS)

    assert ["A001", "A006", "A003", "A005", "A004", "A002"] == await hall.line()
    orders = [parts(await hall.ticket(ticket)) for ticket in ("t1", "t6", "t3", "t5", "t4", "t2")]
    assert orders == sorted(orders)


async def test_as_if_it_had_come_earlier(hall_of):
    """Since then it waits, for every counter and class."""
    hall = await hall_of(a_centre())
    await some_people(hall, 3)
    start_ms = hall.clock.now_ms() - 3_000

    await hall.press(put("t3", at_ms=start_ms + 500), **BOSS)

    assert ["A001", "A003", "A002"] == await hall.line()
    assert start_ms + 500 == (await hall.ticket("t3"))["virtual_ms"]


async def test_the_later_call_says_who_placed_it(hall_of):
    """The officer who is asked why can say that it was not the order of the line."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await some_people(hall, 2)
    await hall.press(put("t2", before="t1"), **BOSS)
    placed_ms = hall.clock.now_ms()
    hall.clock.advance(1_000)

    await hall.press(CallNext(counter="q01"))

    event = (await hall.events())[-1]
    placed = {"by": "staff:boss", "at_ms": placed_ms, "reason": "asked"}
    assert ("A002", placed) == (event["number"], event["why"]["placed"])


async def test_what_the_visitor_chooses_afterwards_is_no_longer_the_supervisors(hall_of):
    """She lets somebody pass: the place is her own again."""
    hall = await hall_of(a_centre(late_back_places=1))
    await some_people(hall, 3)
    await hall.press(put("t3", before="t1"), **BOSS)

    await hall.press(MarkLate(ticket="t3"))

    assert "placed" not in await hall.ticket("t3")


async def test_a_parked_visitor_comes_back_and_a_ready_counter_calls(hall_of):
    """In the same step; the slip chooses again."""
    hall = await hall_of(a_centre(2, mode="counter"))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(Park(counter="q01", reason="a paper"))
    await hall.press(CallNext(counter="q02"))

    change = await hall.change(put("t1", after=0), **BOSS)

    assert ["TicketPlaced", "TicketCalled"] == change.told
    assert "parked" == change.facts[0]["was"]
    assert ("q02", None) == (change.reply["ticket"]["counter"], change.reply["ticket"].get("park_reason"))


async def test_into_the_line_of_another_service(hall_of):
    """The number stays; the boards count one less there and one more here; what was left of the visit comes after."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b", "q03": "c"}))
    await hall.press(IssueTicket(service="a", further=("c",), cls="standard"))
    await hall.issue("b")

    change = await hall.change(put("t1", service="b", before="B001"), **BOSS)

    assert ["b/standard/t1", "b/standard/t2"] == change.state["waiting"]
    assert ("A001", "b", ["b", "c"]) == tuple(change.reply["ticket"][name] for name in ("number", "service", "needs"))
    assert ("0", "2") == (change.state["day.waiting:a"], change.state["day.waiting:b"])
    (fact,) = change.facts
    assert ("a", "a", ["a"]) == (fact["from_department"], fact["from_service"], fact["left"])


async def test_of_a_visit_in_any_order_the_named_service_comes_first(hall_of):
    """It leaves the other lines: one place, the one that was said."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))
    await hall.open("q02")
    await hall.press(IssueTicket(service="a", further=("b",), any_order=True, cls="standard"))

    await hall.press(put("t1", service="b", after=0), **BOSS)

    assert [["b", "standard", "t1"]] == [[*place[:2], place[-1]] for place in (await hall.picture())["waiting"]]
    await hall.press(CallNext(counter="q02"))
    await hall.press(Complete(counter="q02"))
    ticket = await hall.ticket("t1")
    assert ("waiting", "a") == (ticket["state"], ticket["service"])


async def test_alone_in_the_line_it_keeps_its_own_arrival(hall_of):
    """There is nobody to stand in front of."""
    hall = await hall_of(a_centre())
    await some_people(hall, 1)

    change = await hall.change(put("t1", after=7), **BOSS)

    assert ["t1.placed"] == list(change.state)


async def test_undo_of_the_step_before_is_over_once_it_was_placed(hall_of):
    """The officer's parking cannot be taken back under the supervisor's feet."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await some_people(hall, 2)
    await hall.press(CallNext(counter="q01"))
    await hall.press(Park(counter="q01"))
    await hall.press(put("t1", after=1), **BOSS)

    assert "TICKET_ELSEWHERE" == await hall.refuses(Undo(counter="q01"))


async def test_refusals(hall_of):
    """Whom, where and why must make sense; what is done or in hand is not moved."""
    hall = await hall_of(a_centre({"q01": "a"}, services="d"))
    await hall.open("q01")
    await some_people(hall, 3)
    await hall.press(CallNext(counter="q01"))
    now_ms = hall.clock.now_ms()

    assert "UNKNOWN_TICKET" == await hall.refuses(put("t9", after=0), **BOSS)
    assert "UNKNOWN_TICKET" == await hall.refuses(put("t2", before="Z999"), **BOSS)
    assert "WRONG_STATE" == await hall.refuses(put("t1", after=0), **BOSS)
    assert "WRONG_STATE" == await hall.refuses(put("t2", before="t1"), **BOSS)
    assert "WRONG_STATE" == await hall.refuses(put("t2", before="t2"), **BOSS)
    assert "UNKNOWN_SERVICE" == await hall.refuses(put("t2", service="nowhere", after=0), **BOSS)
    assert "NOBODY_SERVES" == await hall.refuses(put("t2", service="d", after=0), **BOSS)
    assert "MALFORMED" == await hall.refuses(put("t2"), **BOSS)
    assert "MALFORMED" == await hall.refuses(put("t2", after=0, before="t3"), **BOSS)
    assert "MALFORMED" == await hall.refuses(put("t2", after=100), **BOSS)
    assert "MALFORMED" == await hall.refuses(put("t2", at_ms=now_ms + 1), **BOSS)
    assert "MALFORMED" == await hall.refuses(put("t2", at_ms=now_ms - 86_400_001), **BOSS)
    assert "MALFORMED" == await hall.refuses(SetPlace(ticket="t2", reason="", after=0), **BOSS)
