"""What a screen is given: its start, what it missed, and everything after, once and in order."""

from __future__ import annotations

import asyncio
import random

import pytest

from displays_world import Hall, Writer, until


async def test_a_new_screen_gets_a_snapshot_and_then_each_event(centre: Writer, hall: Hall) -> None:
    """A screen that comes with nothing sees the hall as it is, and every change after."""
    await centre.issue("A001")
    await centre.issue("A002")
    await centre.call("A001", "q05")

    screen = await hall.screen()
    await centre.call("A002", "q06")
    await screen.reaches(4)

    start = screen.starts[0]
    assert ("snapshot", "e1", 3, False) == (start["type"], start["epoch"], start["seq"], start["recovered"])
    assert {"land": 1} == start["view"]["waiting"]
    assert "A001" == start["view"]["counters"]["q05"]["number"]
    assert [("TicketCalled", "A002")] == [(event["type"], event["number"]) for event in screen.events]


async def test_nothing_secret_reaches_a_board(centre: Writer, hall: Hall) -> None:
    """Ticket ids and officers stay inside, in snapshots and in events."""
    await centre.call("A001")
    screen = await hall.screen()
    await centre.call("A002")
    await screen.reaches(2)

    text = repr((screen.starts, screen.events))
    assert "secret-" not in text
    assert "officer-1" not in text


@pytest.mark.parametrize("wire", ["queue.v1.json", "queue.v1.msgpack"])
async def test_a_cursor_brings_what_was_missed(centre: Writer, hall: Hall, wire: str) -> None:
    """A screen that comes back with its cursor misses nothing and gets nothing twice."""
    for n in range(1, 6):
        await centre.issue(f"A{n:03}")

    screen = await hall.screen(wire, "queue.token.good", epoch="e1", seq=2)
    await screen.reaches(5)

    assert ("resumed", 2, True) == tuple(screen.starts[0][name] for name in ("type", "seq", "recovered"))
    assert [3, 4, 5] == [event["seq"] for event in screen.events]


async def test_an_old_cursor_is_answered_from_the_log(centre: Writer, hall: Hall) -> None:
    """What is not in memory any more is read from the store."""
    for n in range(1, 401):
        await centre.issue(f"A{n:03}")

    screen = await hall.screen(epoch="e1", seq=3)
    await screen.reaches(400)

    assert "resumed" == screen.starts[0]["type"]
    assert 397 == len(screen.events)


@pytest.mark.parametrize(("epoch", "seq"), [("e1", 99), ("another", 1), ("e1", None), (None, 1)])
async def test_a_cursor_that_means_nothing_here_gets_a_snapshot(
    centre: Writer, hall: Hall, epoch: str | None, seq: int | None
) -> None:
    """From the future, of another epoch, or half a cursor: the screen is told that calls may have been missed."""
    await centre.issue("A001")
    await centre.issue("A002")

    screen = await hall.screen(epoch=epoch, seq=seq)

    assert ("snapshot", 2, False) == tuple(screen.starts[0][name] for name in ("type", "seq", "recovered"))


async def test_a_cursor_before_the_end_of_the_log_gets_a_snapshot(centre: Writer, hall: Hall) -> None:
    """The log is cut at its old end; a cursor from there is not pretended to be good."""
    for n in range(1, 301):
        await centre.issue(f"A{n:03}")
    await centre.redis.xtrim(centre.keys.events, minid="200-0", approximate=False)

    screen = await hall.screen(epoch="e1", seq=3)

    assert ("snapshot", 300) == (screen.starts[0]["type"], screen.starts[0]["seq"])


async def test_a_bell_nobody_heard_is_found_in_the_log(centre: Writer, hall: Hall) -> None:
    """An event without a bell arrives by the timer; one with a bell after it brings both at once."""
    screen = await hall.screen()
    await centre.issue("A001", ring=False)
    await screen.reaches(1, deadline_s=4)

    await centre.issue("A002", ring=False)
    await centre.issue("A003")
    await screen.reaches(3, deadline_s=1)

    assert ["A001", "A002", "A003"] == [event["number"] for event in screen.events]


async def test_a_new_epoch_sends_screens_back_for_a_snapshot(centre: Writer, hall: Hall) -> None:
    """After a restore the numbers begin anew: screens are closed with 4002 and start from what is true."""
    await centre.issue("A001")
    screen = await hall.screen()
    await centre.set_up(epoch="e2")
    await centre.call("B001")

    assert 4002 == await screen.is_closed()
    again = await hall.screen(epoch=screen.epoch, seq=screen.seq)
    assert ("snapshot", "e2", 1) == tuple(again.starts[0][name] for name in ("type", "epoch", "seq"))


async def test_numbers_that_went_back_without_a_new_epoch_are_noticed(centre: Writer, hall: Hall) -> None:
    """A store that knows less than we have shown is believed, and screens start anew."""
    for n in range(1, 5):
        await centre.issue(f"A{n:03}")
    screen = await hall.screen()
    await centre.set_up(seq=2)

    assert 4002 == await screen.is_closed()


async def test_a_view_that_differs_from_the_store_mends_itself(
    centre: Writer, hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should folding ever disagree with the store at the same event, the store is believed."""
    monkeypatch.setattr("displays.feed.AUDIT_S", 0.0)
    screen = await hall.screen()
    await centre.redis.hset(centre.keys.day, "waiting:land", 7)

    assert 4002 == await screen.is_closed()
    assert {"land": 7} == (await hall.screen()).starts[0]["view"]["waiting"]


async def test_late_screens_miss_nothing_and_see_nothing_twice(centre: Writer, hall: Hall) -> None:
    """Screens that join, with and without cursor, while events rush by: each is complete from where it began."""
    dice = random.Random(7)
    last = 300

    async def rush() -> None:
        for n in range(last):
            await centre.issue(f"A{n:03}", ring=dice.random() > 0.05)

    rushing = asyncio.create_task(rush())
    screens = [await hall.screen()]
    while not rushing.done():
        cursor = dice.choice([None, 0, max(0, centre.seq - dice.randrange(280))])
        wire = dice.choice(["queue.v1.json", "queue.v1.msgpack"])
        screens.append(await hall.screen(wire, "queue.token.good", epoch="e1", seq=cursor))
        if dice.random() < 0.3:
            await screens.pop(dice.randrange(len(screens))).leave()
        if len(screens) > 12:
            await screens.pop(0).leave()
    await rushing

    for screen in screens:
        await screen.reaches(last)
        assert len(screen.events) == last - screen.starts[0]["seq"]  # `Screen` has checked the order
        assert 1 == len(screen.starts)


async def test_two_hundred_screens_see_the_same(centre: Writer, hall: Hall) -> None:
    """All screens of a hall, in both formats, end alike."""
    wires = ["queue.v1.json", "queue.v1.msgpack"]
    screens = await asyncio.gather(*(hall.screen(wires[n % 2], "queue.token.good") for n in range(200)))
    for n in range(20):
        await centre.issue(f"A{n:03}")
        await centre.call(f"A{n:03}", f"q{n % 9:02}")

    for screen in screens:
        await screen.reaches(40)
    assert 1 == len({repr(screen.events) for screen in screens})


async def test_a_burst_reaches_everybody(centre: Writer, hall: Hall) -> None:
    """Two thousand events at once (a counter closes) cut no screen that reads."""
    screens = [await hall.screen() for _ in range(10)]
    await centre.record_many("TicketReassigned", 2000, number="A001", counters=["q02", "q03"])

    for screen in screens:
        await screen.reaches(2000)


async def test_ticks_tell_the_newest_event(centre: Writer, hall: Hall) -> None:
    """A tick comes within three seconds and carries the seq the screen has."""
    await centre.issue("A001")
    screen = await hall.screen()
    await until(lambda: screen.ticks, "a tick", 4)

    assert 1 == screen.ticks[0]["seq"]
    assert "stale_since_ms" not in screen.ticks[0]


async def test_confirmed_calls_are_known_by_board(centre: Writer, hall: Hall) -> None:
    """A board confirms what it displayed and spoke; a number that is no call is not recorded."""
    lobby = await hall.screen(board="hall-a")
    stairs = await hall.screen(url=hall.url("hall-b"))
    issued = await centre.issue("A001")
    called = await centre.call("A001")
    await lobby.reaches(called)
    await stairs.reaches(called)
    for screen in (lobby, stairs):
        await screen.say(type="shown", seq=called)
        await screen.say(type="shown", seq=issued)
    await lobby.say(type="spoken", seq=called)

    confirmed = hall.hub.confirmed(centre.id, called)
    await until(lambda: hall.hub.confirmed(centre.id, called).spoken, "spoken")
    await until(lambda: len(hall.hub.confirmed(centre.id, called).shown) == 2, "shown on both")
    confirmed = hall.hub.confirmed(centre.id, called)
    assert ({"hall-a", "hall-b"}, {"hall-a"}) == (confirmed.shown, confirmed.spoken)
    assert not hall.hub.confirmed(centre.id, issued).shown


async def test_a_listener_in_the_process_hears_the_staff_form(centre: Writer, hall: Hall) -> None:
    """Other consumers of the process get every event with its staff fields, and are told when to read anew."""
    heard: list[object] = []
    stop = await hall.hub.listen(centre.id, lambda event: heard.append(event and event["ticket"]))
    await centre.issue("A001")
    await until(lambda: heard, "the event")
    await centre.set_up(epoch="e2")
    await until(lambda: len(heard) == 2, "the reset")
    stop()

    assert ["secret-A001", None] == heard
