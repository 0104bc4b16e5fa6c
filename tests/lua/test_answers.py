"""Press ids: the same key gives the same answer, whatever has happened since (lua/20_hall.lua)."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import CallNext, Cancel, Complete, IssueTicket, MarkPrinted


async def test_a_repeated_press_returns_the_first_answer(hall_of):
    """Although the ticket has long been called and served."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    wish = IssueTicket(service="a", cls="standard")
    first = await hall.press(wish, key="kiosk-key-1", ticket="first")
    await hall.press(CallNext(counter="q01"))
    await hall.press(Complete(counter="q01"))
    before = await hall.picture()

    again = await hall.press(wish, key="kiosk-key-1", ticket="second")

    assert first == again
    assert before == await hall.picture()


async def test_nobody_waits_is_an_answer_that_stays(hall_of):
    """Whoever came since is called with a new key, or at once because the counter is ready."""
    hall = await hall_of(a_centre(auto_ready=False))
    await hall.open("q01")
    nobody = await hall.press(CallNext(counter="q01"), key="console-key-1")
    await hall.issue()

    assert nobody == await hall.press(CallNext(counter="q01"), key="console-key-1")
    assert "t1" == (await hall.press(CallNext(counter="q01"), key="console-key-2"))["ticket"]["id"]


async def test_a_key_is_not_used_for_something_else(hall_of):
    """Neither for another command nor for another ticket."""
    hall = await hall_of(a_centre())
    await hall.issue()
    await hall.issue()
    await hall.press(MarkPrinted(ticket="t1"), key="kiosk-key-1")

    assert "KEY_REUSED" == await hall.refuses(MarkPrinted(ticket="t2"), key="kiosk-key-1")
    assert "KEY_REUSED" == await hall.refuses(Cancel(ticket="t1"), key="kiosk-key-1")


async def test_a_refusal_is_not_an_answer_that_stays(hall_of):
    """Nothing was done, so the same key may try again."""
    hall = await hall_of(a_centre())
    assert "NOT_YOUR_SEAT" == await hall.refuses(CallNext(counter="q01"), key="console-key-1")
    await hall.open("q01")
    await hall.issue()

    assert "t1" == (await hall.press(CallNext(counter="q01"), key="console-key-1"))["ticket"]["id"]


async def test_a_clock_that_runs_backwards_changes_no_order(hall_of):
    """The centre's clock stands still until the caller's has caught up."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    hall.clock.advance(-3_600_000)
    await hall.issue()

    first, second = await hall.ticket("t1"), await hall.ticket("t2")
    assert first["virtual_ms"] == second["virtual_ms"]
    assert "t1" == (await hall.press(CallNext(counter="q01")))["ticket"]["id"]


async def test_a_centre_that_was_never_set_up(hall_of):
    """Nothing is made by pressing at it."""
    hall = await hall_of(a_centre())
    hall.centre = a_centre(id="centre-unknown")

    assert "UNKNOWN_CENTRE" == await hall.refuses(IssueTicket(service="a", cls="standard"))
