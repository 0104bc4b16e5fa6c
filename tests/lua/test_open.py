"""qs_open: the seat is taken."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import CallNext, Open, Pause


async def test_a_seat_is_taken(hall_of):
    """The counter may call."""
    hall = await hall_of(a_centre())
    hall.clock.advance(1_000)

    change = await hall.change(Open(counter="q01"))

    assert {
        "q01.id": "q01",
        "q01.idle_since": 1_000,
        "q01.officer": "staff:lan",
        "q01.since_ms": 1_000,
        "q01.state": "open",
    } == change.state
    assert [{"type": "CounterOpened", "counter": "q01", "officer": "staff:lan"}] == change.facts
    assert ({}, []) == (await hall.change(Open(counter="q01")))[1:]


async def test_a_pause_ends(hall_of):
    """The reason is gone, too."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.press(Pause(counter="q01", reason="lunch"))

    assert {"q01.reason": None, "q01.state": "open"} == (await hall.change(Open(counter="q01"))).state


async def test_a_seat_is_taken_over_only_on_purpose(hall_of):
    """The event names whom it was taken from; the visitor in hand stays."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    assert "SEAT_TAKEN" == await hall.refuses(Open(counter="q01"), actor="staff:minh")

    change = await hall.change(Open(counter="q01", take_over=True), actor="staff:minh")

    assert {"q01.officer": "staff:minh"} == change.state
    assert "staff:lan" == change.facts[0]["taken_from"]
    assert "t1" == change.reply["ticket"]["id"]


async def test_a_supervisor_opens_a_counter_for_whoever_sits_there(hall_of):
    """The pause ends, the seat stays the officer's, and the record says who opened it and why."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.press(Pause(counter="q01", reason="lunch"))
    wish = Open(counter="q01", keep_officer=True, reason="many wait")
    assert "SEAT_TAKEN" == await hall.refuses(wish, actor="staff:minh")

    change = await hall.change(wish, actor="staff:boss", over=True)

    assert {"q01.reason": None, "q01.state": "open"} == change.state
    opened = {"type": "CounterOpened", "counter": "q01", "officer": "staff:lan", "reason": "many wait"}
    assert [opened] == change.facts


async def test_refusals(hall_of):
    """There is no such counter."""
    hall = await hall_of(a_centre())

    assert "UNKNOWN_COUNTER" == await hall.refuses(Open(counter="q99"))
