"""qs_undo: the last step is taken back, while nobody has built on it."""

from __future__ import annotations

from builders import NEXT_DAY, a_centre
from queue_service.commands import (
    AdvanceDay,
    CallNext,
    Complete,
    MarkPrinted,
    Note,
    Park,
    Resume,
    Start,
    Transfer,
    Undo,
)


async def test_a_call_is_taken_back(hall_of):
    """The visitor stands where she stood, as if nothing had been called."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.issue()
    before = await hall.picture()
    await hall.press(CallNext(counter="q01"))

    await hall.press(Undo(counter="q01"))

    after = await hall.picture()
    assert before["tickets"] == after["tickets"]
    assert (before["waiting"], before["announced"]) == (after["waiting"], after["announced"])
    assert before["groups"] == after["groups"]
    assert "2" == after["day"]["waiting:a"]
    assert "ticket" not in after["counters"]["q01"]
    assert "call" not in after["counters"]["q01"]


async def test_a_start_is_taken_back_and_then_the_call(hall_of):
    """First the visitor is called again, to the same counter; then she stands where she stood."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    waiting = await hall.picture()
    await hall.press(CallNext(counter="q01"))
    called = await hall.picture()
    hall.clock.advance(10_000)
    await hall.press(Start(counter="q01"))
    await hall.press(Note(counter="q01", text="no paper"))

    change = await hall.change(Undo(counter="q01"))

    (fact,) = change.facts
    assert ("StepUndone", "serving", "called") == (fact["type"], fact["was"], fact["now"])
    assert ("t1", "no paper") == (change.reply["counter"]["ticket"], change.reply["ticket"]["note"])
    after = await hall.picture()
    assert called["counters"] == after["counters"]
    assert {**called["tickets"]["t1"], "note": "no paper"} == after["tickets"]["t1"]

    await hall.press(Undo(counter="q01"))

    after = await hall.picture()
    assert {**waiting["tickets"]["t1"], "note": "no paper"} == after["tickets"]["t1"]
    assert (waiting["waiting"], "ticket" in after["counters"]["q01"]) == (after["waiting"], False)
    assert "NOTHING_TO_UNDO" == await hall.refuses(Undo(counter="q01"))


async def test_the_call_before_a_start_has_its_own_seconds(hall_of):
    """Taking back the start does not make the call any younger; a step after the start takes its place."""
    hall = await hall_of(a_centre(undo_s=60))
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    hall.clock.advance(50_000)
    await hall.press(Start(counter="q01"))
    hall.clock.advance(20_000)
    await hall.press(Undo(counter="q01"))

    assert "UNDO_EXPIRED" == await hall.refuses(Undo(counter="q01"))

    await hall.press(Start(counter="q01"))
    await hall.press(Complete(counter="q01"))
    assert "serving" == (await hall.press(Undo(counter="q01")))["ticket"]["state"]
    assert "NOTHING_TO_UNDO" == await hall.refuses(Undo(counter="q01"))


async def test_a_completed_service_goes_on(hall_of):
    """The ticket is in hand, and the mean forgets the lesson."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    hall.clock.advance(30_000)
    await hall.press(Complete(counter="q01"))

    change = await hall.change(Undo(counter="q01"))

    assert {
        "day.mean:a": "300000 8",
        "q01.call": "A001 called",
        "q01.last": None,
        "q01.ticket": "t1",
        "t1.ended_at_ms": None,
        "t1.needs": ["a"],
        "t1.state": "called",
    } == change.state
    (fact,) = change.facts
    assert ("StepUndone", "served", "called") == (fact["type"], fact["was"], fact["now"])


async def test_what_others_have_taught_the_mean_meanwhile_stays(hall_of):
    """Taking one lesson back does not take back the next."""
    hall = await hall_of(a_centre(2))
    await hall.open("q01", "q02")
    for counter in ("q01", "q02"):
        await hall.issue()
        await hall.press(CallNext(counter=counter))
    hall.clock.advance(30_000)
    await hall.press(Complete(counter="q01"))
    await hall.press(Complete(counter="q02"))

    change = await hall.change(Undo(counter="q01"))

    assert "day.mean:a" not in change.state


async def test_a_call_by_itself_is_taken_back(hall_of):
    """The counter is not ready any more: the visitor is not called to it again at once."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.press(CallNext(counter="q01"))
    await hall.issue()

    change = await hall.change(Undo(counter="q01"))

    assert ["StepUndone"] == change.told
    assert ["A001"] == await hall.line()
    assert not (await hall.counter("q01")).get("ready")


async def test_another_ready_counter_calls_whoever_is_put_back(hall_of):
    """Nobody waits while a counter that serves the line is ready."""
    hall = await hall_of(a_centre(2))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(CallNext(counter="q02"))

    change = await hall.change(Undo(counter="q01"))

    assert ["StepUndone", "TicketCalled"] == change.told
    assert ("called", "q02") == (change.reply["ticket"]["state"], change.reply["ticket"]["counter"])


async def test_a_counter_that_is_ready_takes_back_and_is_not_ready_any_more(hall_of):
    """It has somebody in hand."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(Park(counter="q01"))
    await hall.press(CallNext(counter="q01"))

    reply = await hall.press(Undo(counter="q01"))

    assert ("t1", False) == (reply["counter"]["ticket"], reply["counter"]["ready"])


async def test_a_transfer_is_taken_back(hall_of):
    """Out of the new line, into the old hand."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))
    await hall.open("q01", "q02")
    await hall.issue("a")
    await hall.press(CallNext(counter="q01"))
    await hall.press(Transfer(counter="q01", service="b"))

    change = await hall.change(Undo(counter="q01"))

    assert (["b"], "waiting", "called") == tuple(change.facts[0][name] for name in ("left", "was", "now"))
    assert ("a", "t1") == (change.reply["ticket"]["service"], change.reply["counter"]["ticket"])
    assert [] == await hall.line()


async def test_a_transfer_that_was_called_since_stays(hall_of):
    """Also when the other counter sent it on again: it waits, but not where we sent it."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))
    await hall.open("q01", "q02")
    await hall.issue("a")
    await hall.press(CallNext(counter="q01"))
    await hall.press(Transfer(counter="q01", service="b"))
    await hall.press(CallNext(counter="q02"))
    assert "TICKET_ELSEWHERE" == await hall.refuses(Undo(counter="q01"))

    await hall.press(Transfer(counter="q02", service="a"))

    assert "TICKET_ELSEWHERE" == await hall.refuses(Undo(counter="q01"))


async def test_a_parked_ticket_that_another_counter_parked_since_stays(hall_of):
    """Parked again is not parked by us."""
    hall = await hall_of(a_centre(2))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(Park(counter="q01"))
    await hall.press(Resume(counter="q02", ticket="t1"))
    await hall.press(Park(counter="q02"))

    assert "TICKET_ELSEWHERE" == await hall.refuses(Undo(counter="q01"))


async def test_a_step_that_was_built_on_and_taken_back_can_be_taken_back(hall_of):
    """Two undos, in the right order."""
    hall = await hall_of(a_centre(2))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(Park(counter="q01"))
    await hall.press(Resume(counter="q02", ticket="t1"))
    await hall.press(Undo(counter="q02"))

    reply = await hall.press(Undo(counter="q01"))

    assert ("called", "t1") == (reply["ticket"]["state"], reply["counter"]["ticket"])


async def test_a_slip_stays_printed(hall_of):
    """Paper does not go back into the machine."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(MarkPrinted(ticket="t1"))

    assert (await hall.press(Undo(counter="q01")))["ticket"]["printed"]


async def test_a_served_ticket_whose_number_is_given_again_stays_served(hall_of):
    """Carried over night, served, and the number is somebody else's within the minute."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    await hall.press(AdvanceDay(day=NEXT_DAY))
    await hall.press(CallNext(counter="q01"))
    await hall.press(Complete(counter="q01"))
    assert "A001" == (await hall.ticket(await hall.issue()))["number"]

    assert "TICKET_ELSEWHERE" == await hall.refuses(Undo(counter="q01"))


async def test_refusals(hall_of):
    """Nothing to undo; too long ago; not after the day."""
    hall = await hall_of(a_centre(undo_s=60))
    await hall.open("q01")

    assert "NOTHING_TO_UNDO" == await hall.refuses(Undo(counter="q01"))
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    assert "NOT_YOUR_SEAT" == await hall.refuses(Undo(counter="q01"), actor="staff:minh")
    hall.clock.advance(60_001)
    assert "UNDO_EXPIRED" == await hall.refuses(Undo(counter="q01"))
    await hall.press(AdvanceDay(day=NEXT_DAY))
    assert "NOTHING_TO_UNDO" == await hall.refuses(Undo(counter="q01"))
