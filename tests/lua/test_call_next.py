"""qs_call_next: whoever is due."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import CallNext, Close, Pause, Transfer


async def test_the_longest_waiting_is_called(hall_of):
    """The ticket leaves the line; counter, ticket and board know of the call; the event explains it."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue()
    hall.clock.advance(1_000)
    await hall.issue()
    hall.clock.advance(1_000)

    change = await hall.change(CallNext(counter="q01"))

    assert {
        "announced": ["a/a.1/standard/t2"],
        "day.waiting:a": "1",
        "groups.a.1": 300_000,
        "q01.call": "A001 called",
        "q01.called_at_ms": 2_000,
        "q01.last": "call-next",
        "q01.mean_at_call": 300_000,
        "q01.service": "a",
        "q01.ticket": "t1",
        "t1.call": 5,
        "t1.called_at_ms": 2_000,
        "t1.counter": "q01",
        "t1.rings": 1,
        "t1.state": "called",
        "waiting": ["a/standard/t2"],
    } == change.state
    assert [
        {
            "type": "TicketCalled",
            "ticket": "t1",
            "number": "A001",
            "department": "a",
            "service": "a",
            "class": "standard",
            "counter": "q01",
            "call": 5,
            "language": "vi",
            "was": "waiting",
            "why": {
                "rule": "only",
                "class": "standard",
                "waited_ms": 2_000,
                "counted_ms": 2_000 - 300_000,
                "ratio": 1,
                "handicap_ms": 0,
                "mean_ms": 300_000,
                "considered": 1,
                "window_ms": 180_000,
            },
        }
    ] == change.facts
    assert ("t1", "open", False) == tuple(change.reply["counter"][name] for name in ("ticket", "state", "ready"))


async def test_nobody_waits_and_the_counter_is_ready(hall_of):
    """An answer like any other; asking again changes nothing."""
    hall = await hall_of(a_centre())
    await hall.open("q01")

    change = await hall.change(CallNext(counter="q01"))

    assert {"q01.ready": True} == change.state
    assert [] == change.facts
    assert "ticket" not in change.reply
    assert {} == (await hall.change(CallNext(counter="q01"))).state


async def test_a_minute_of_a_priority_visitor_counts_as_six(hall_of):
    """The second to come is called first once her share of the promise is larger."""
    hall = await hall_of(a_centre())
    await hall.open("q01")
    await hall.issue(cls="standard")
    hall.clock.advance(60_000)
    await hall.issue(cls="priority")
    hall.clock.advance(13_000)

    change = await hall.change(CallNext(counter="q01"))

    assert "t2" == change.reply["ticket"]["id"]


async def test_the_own_slip_goes_first_inside_the_window(hall_of):
    """Called for the slip that names the counter, although somebody has waited a little longer."""
    hall = await hall_of(a_centre(2, mode="counter"))
    await hall.open("q01", "q02")
    await hall.issue()
    hall.clock.advance(300_000)
    await hall.issue()
    assert ["q02"] == (await hall.ticket("t2"))["counters"]

    change = await hall.change(CallNext(counter="q02"))

    assert "t2" == change.reply["ticket"]["id"]
    why = change.facts[0]["why"]
    assert ("own", "t1", 300_000, 300_000) == tuple(
        why[name] for name in ("rule", "oldest", "window_used_ms", "window_ms")
    )


async def test_beyond_the_window_the_oldest_goes_first(hall_of):
    """A slip is a promise to be near, not a lock."""
    hall = await hall_of(a_centre(2, mode="counter"))
    await hall.open("q01", "q02")
    await hall.issue()
    hall.clock.advance(300_001)
    await hall.issue()

    assert "t1" == (await hall.press(CallNext(counter="q02")))["ticket"]["id"]


async def test_a_draining_counter_calls_its_own_and_is_never_ready(hall_of):
    """When its own are gone it gets nobody, and nobody is offered to it."""
    hall = await hall_of(a_centre(2, mode="counter"))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.issue()
    await hall.press(Close(counter="q02", drain=True))

    assert "t2" == (await hall.press(CallNext(counter="q02")))["ticket"]["id"]
    await hall.press(Transfer(counter="q02", service="a"))
    change = await hall.change(CallNext(counter="q02"))
    assert ({}, []) == (change.state, change.facts)


async def test_what_was_sent_to_one_counter_of_a_cluster_is_its_own(hall_of):
    """The neighbour prefers the slips of the cluster; the counter on the slip prefers what was sent to it."""
    hall = await hall_of(a_centre(2))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(Transfer(counter="q01", to_counter="q02"))
    hall.clock.advance(1_000)
    await hall.issue()

    assert "t2" == (await hall.press(CallNext(counter="q01")))["ticket"]["id"]
    assert "t1" == (await hall.press(CallNext(counter="q02")))["ticket"]["id"]


async def test_refusals(hall_of):
    """Each says why, and nothing has changed."""
    hall = await hall_of(a_centre(3))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(Pause(counter="q02"))

    assert "UNKNOWN_COUNTER" == await hall.refuses(CallNext(counter="q99"))
    assert "NOT_YOUR_SEAT" == await hall.refuses(CallNext(counter="q01"), actor="staff:minh")
    assert "NOT_YOUR_SEAT" == await hall.refuses(CallNext(counter="q03"))
    assert "COUNTER_BUSY" == await hall.refuses(CallNext(counter="q01"))
    assert "COUNTER_PAUSED" == await hall.refuses(CallNext(counter="q02"))
    assert "COUNTER_CLOSED" == await hall.refuses(CallNext(counter="q03"), over=True)
