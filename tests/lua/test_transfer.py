"""qs_transfer: on to another service, or to one counter."""

from __future__ import annotations

from builders import a_centre, standing
from queue_service.commands import CallNext, Close, IssueTicket, Open, Transfer, Undo


async def test_to_another_service(hall_of):
    """The number stays; of the age at most a quarter of an hour comes along."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))
    await hall.open("q01", "q02")
    await hall.issue("a")
    hall.clock.advance(1_000_000)
    await hall.press(CallNext(counter="q01"))

    change = await hall.change(Transfer(counter="q01", service="b", note="form 2"))

    assert {
        "announced": ["b/b.1/standard/t1"],
        "day.waiting:b": "1",
        "groups.b.1": 300_000,
        "q01.call": "A001 waiting",
        "q01.idle_since": 1_000_000,
        "q01.last": "transfer",
        "q01.ticket": None,
        "t1.announced_for": "b",
        "t1.called_at_ms": None,
        "t1.counter": None,
        "t1.counters": ["q02"],
        "t1.department": "b",
        "t1.group": "b.1",
        "t1.lines": ["b"],
        "t1.needs": ["b"],
        "t1.note": "form 2",
        "t1.rings": 0,
        "t1.service": "b",
        "t1.state": "waiting",
        "t1.virtual_ms": 100_000,
        "waiting": ["b/standard/t1"],
    } == change.state
    where = {"department": "b", "service": "b", "counters": ["q02"], "group": "b.1", "announced_for": "b"}
    assert [
        {
            "type": "TicketTransferred",
            **standing("t1", "A001", virtual_ms=100_000, **where),
            "counter": "q01",
            "from_department": "a",
            "from_service": "a",
            "note": "form 2",
        }
    ] == change.facts


async def test_to_one_counter_of_a_cluster(hall_of):
    """The slip names it alone."""
    hall = await hall_of(a_centre(3))
    await hall.open("q01", "q02", "q03")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))

    change = await hall.change(Transfer(counter="q01", to_counter="q03"))

    assert ["q03"] == change.reply["ticket"]["counters"]
    assert ["a/q03/standard/t1"] == change.state["announced"]


async def test_to_a_counter_that_serves_something_else(hall_of):
    """The visitor waits for the first line of that counter."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "c:2 b"}))
    await hall.open("q01", "q02")
    await hall.issue("a")
    await hall.press(CallNext(counter="q01"))

    assert "b" == (await hall.press(Transfer(counter="q01", to_counter="q02")))["ticket"]["service"]


async def test_to_a_counter_that_is_ready(hall_of):
    """It calls at once, before another that has been ready longer."""
    hall = await hall_of(a_centre(3))
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    for counter in ("q02", "q03"):
        hall.clock.advance(1_000)
        await hall.open(counter)
        await hall.press(CallNext(counter=counter))

    reply = await hall.press(Transfer(counter="q01", to_counter="q03"))

    assert ("called", "q03") == (reply["ticket"]["state"], reply["ticket"]["counter"])


async def test_to_a_counter_that_is_busy_while_another_is_ready(hall_of):
    """The slip is a promise to be near, not a lock: nobody sits before a counter that is ready."""
    hall = await hall_of(a_centre(3))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(CallNext(counter="q02"))

    reply = await hall.press(Transfer(counter="q01", to_counter="q03"))

    assert ("called", "q02") == (reply["ticket"]["state"], reply["ticket"]["counter"])


async def test_with_the_service_here_completed(hall_of):
    """The mean learns, and the record says served before it says sent on; undo takes both back."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))
    await hall.open("q01", "q02")
    await hall.issue("a")
    await hall.press(CallNext(counter="q01"))
    hall.clock.advance(30_000)

    change = await hall.change(Transfer(counter="q01", service="b", served=True))

    assert ["TicketServed", "TicketTransferred"] == change.told
    assert "270000 9" == change.state["day.mean:a"]
    assert "300000 8" == (await hall.change(Undo(counter="q01"))).state["day.mean:a"]


async def test_what_is_left_of_the_visit_is_said_anew(hall_of):
    """Known services that somebody serves, each once; otherwise nothing is done."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b c"}, services="d"))
    await hall.open("q01", "q02")
    await hall.press(IssueTicket(service="a", further=("c",), any_order=True, cls="standard"))
    await hall.press(CallNext(counter="q01"))

    assert "NOBODY_SERVES" == await hall.refuses(Transfer(counter="q01", service="b", further=("d",)))
    assert "UNKNOWN_SERVICE" == await hall.refuses(Transfer(counter="q01", service="b", further=("x",)))
    assert "MALFORMED" == await hall.refuses(Transfer(counter="q01", service="b", further=("c", "c")))
    change = await hall.change(Transfer(counter="q01", service="b"))
    assert ["b", "c"] == change.state["t1.lines"]


async def test_where_the_visitor_is_already(hall_of):
    """Nobody would move: refused, by counter or by who sits there; to another service of the counter is a move."""
    hall = await hall_of(a_centre({"q01": "a b:2", "q02": "a"}))
    await hall.open("q01", "q02")
    await hall.issue("a")
    await hall.press(CallNext(counter="q01"))

    assert "ALREADY_HERE" == await hall.refuses(Transfer(counter="q01", to_counter="q01"))
    assert "ALREADY_HERE" == await hall.refuses(Transfer(counter="q01", to_counter="q01", service="a"))
    assert "ALREADY_HERE" == await hall.refuses(Transfer(counter="q01", to_officer="staff:lan"))
    reply = await hall.press(Transfer(counter="q01", to_counter="q01", service="b"))
    assert ("b", "waiting") == (reply["ticket"]["service"], reply["ticket"]["state"])


async def test_refusals(hall_of):
    """Each says why, and nothing has changed."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}, services="c"))
    await hall.open("q01")
    assert "COUNTER_IDLE" == await hall.refuses(Transfer(counter="q01", service="b"))
    await hall.issue()
    await hall.press(CallNext(counter="q01"))

    assert "MALFORMED" == await hall.refuses(Transfer(counter="q01"))
    assert "UNKNOWN_SERVICE" == await hall.refuses(Transfer(counter="q01", service="x"))
    assert "UNKNOWN_COUNTER" == await hall.refuses(Transfer(counter="q01", to_counter="q99"))
    assert "NOBODY_SERVES" == await hall.refuses(Transfer(counter="q01", service="c"))
    assert "NOBODY_SERVES" == await hall.refuses(Transfer(counter="q01", service="a", to_counter="q02"))


async def test_to_an_officer_goes_where_that_officer_sits_now(hall_of):
    """The counter with the lowest number, when there are several."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b", "q03": "b"}))
    await hall.open("q01")
    for counter in ("q03", "q02"):
        await hall.press(Open(counter=counter), actor="staff:minh")
    await hall.issue("a")
    await hall.press(CallNext(counter="q01"))

    ticket = (await hall.press(Transfer(counter="q01", to_officer="staff:minh")))["ticket"]

    assert (["q02"], "b", "waiting") == (ticket["counters"], ticket["service"], ticket["state"])


async def test_to_an_officer_who_has_left_is_refused(hall_of):
    """A closed counter is no place, even while its last visitor is there."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "a"}))
    await hall.open("q01")
    await hall.press(Open(counter="q02"), actor="staff:minh")
    await hall.issue()
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(CallNext(counter="q02"), actor="staff:minh")
    await hall.press(Close(counter="q02"), actor="staff:minh")

    assert "OFFICER_NOT_SEATED" == await hall.refuses(Transfer(counter="q01", to_officer="staff:minh"))
    assert "OFFICER_NOT_SEATED" == await hall.refuses(Transfer(counter="q01", to_officer="staff:nobody"))
