"""qs_close: the seat is left, and nobody sits before a dark counter."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import CallNext, Close, Complete, Transfer


async def test_slips_of_the_counter_choose_again(hall_of):
    """Oldest first, over all its lines; each change is announced."""
    hall = await hall_of(a_centre({"q01": "a b", "q02": "a b"}, mode="counter"))
    await hall.open("q01")
    for service in ("b", "a", "b"):
        await hall.issue(service)
        hall.clock.advance(1_000)
    await hall.open("q02")

    change = await hall.change(Close(counter="q01"))

    assert ["CounterClosed", *["TicketReassigned"] * 3] == change.told
    assert ["t1", "t2", "t3"] == [fact["ticket"] for fact in change.facts[1:]]
    assert {
        "announced": ["a/q02/standard/t2", "b/q02/standard/t1", "b/q02/standard/t3"],
        "groups.q01": None,
        "groups.q02": 900_000,
        "q01.has_left": True,
        "q01.officer": None,
        "q01.since_ms": 3_000,
        "q01.state": "closed",
        **{f"t{n}.{name}": value for n in (1, 2, 3) for name, value in (("group", "q02"), ("counters", ["q02"]))},
    } == change.state


async def test_a_cluster_with_somebody_left_keeps_its_slips(hall_of):
    """But for what was sent to the counter alone."""
    hall = await hall_of(a_centre(3))
    await hall.open("q01", "q02", "q03")
    await hall.issue()
    await hall.press(CallNext(counter="q02"))
    await hall.issue()
    await hall.press(Transfer(counter="q02", to_counter="q01"))

    change = await hall.change(Close(counter="q01"))

    assert ["CounterClosed", "TicketReassigned"] == change.told
    assert "t1" == change.facts[1]["ticket"]
    assert ["q01", "q02", "q03"] == change.facts[1]["counters"]


async def test_slips_that_name_all_counters_stay_as_they_are(hall_of):
    """In department mode they are assigned anew, and nobody is told: the paper says the same."""
    hall = await hall_of(a_centre(2, mode="department"))
    await hall.open("q01", "q02")
    await hall.issue()

    change = await hall.change(Close(counter="q01"))

    assert ["CounterClosed"] == change.told
    assert "q02" == change.state["t1.group"]


async def test_a_service_under_way_is_not_cut(hall_of):
    """The officer finishes with the visitor in hand; then the seat is left."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))

    assert {"q01.call": None, "q01.has_left": True, "q01.state": "closed"} == (
        await hall.change(Close(counter="q01"))
    ).state
    change = await hall.change(Complete(counter="q01"))
    assert {"q01.officer": None, "q01.ticket": None, "t1.state": "served"}.items() <= change.state.items()


async def test_draining_first_calls_its_own(hall_of):
    """Nothing is announced anew until it closes; then it is."""
    hall = await hall_of(a_centre(2, mode="counter"))
    await hall.open("q01", "q02")
    await hall.issue()

    change = await hall.change(Close(counter="q01", drain=True))
    assert {"q01.state": "draining"} == change.state
    assert [{"type": "CounterClosed", "counter": "q01", "draining": True}] == change.facts

    assert ["CounterClosed", "TicketReassigned"] == (await hall.change(Close(counter="q01"))).told


async def test_a_closed_counter_does_not_begin_to_drain(hall_of):
    """There is nothing left to drain."""
    hall = await hall_of(a_centre())

    assert {} == (await hall.change(Close(counter="q01", drain=True), over=True)).state


async def test_refusals(hall_of):
    """Not your seat; no such counter."""
    hall = await hall_of(a_centre())
    await hall.open("q01")

    assert "NOT_YOUR_SEAT" == await hall.refuses(Close(counter="q01"), actor="staff:minh")
    assert "UNKNOWN_COUNTER" == await hall.refuses(Close(counter="q99"))
