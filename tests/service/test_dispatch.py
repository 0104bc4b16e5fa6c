"""From a wish to the store: the centre in force, hours, repeats, and what time causes, against a real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from builders import a_centre
from queue_service import metrics
from queue_service.app import connect
from queue_service.centre import Centre, Hours, Span, to_json
from queue_service.channel import Channel
from queue_service.clock import ManualClock
from queue_service.codec import centre_pieces
from queue_service.commands import AdvanceDay, Assign, CallNext, Cancel, Configure, IssueTicket, Open, Press
from queue_service.dispatch import Dispatch, check_hours
from queue_service.errors import (
    IssuingClosed,
    KeyReused,
    Malformed,
    NobodyServes,
    NotYourSeat,
    QueueError,
    StaleCentre,
    StoreAway,
    UnknownCentre,
    UnknownService,
)
from queue_service.keys import centre_keys
from queue_service.store import CENTRES_KEY, TicketStore, lease_key
from queue_service.sweeper import Sweeper

MONDAY_TEN = 1_795_402_800_000
"""10:00 in Vietnam."""
HOUR_MS = 3_600_000
WISH = IssueTicket(service="a", cls="standard")


class World:
    """Two processes' dispatchers on one store, and one clock."""

    def __init__(self, one: Dispatch, two: Dispatch, clock: ManualClock, redis: Redis) -> None:
        self.one, self.two, self.clock, self.redis = one, two, clock, redis
        self.centres: set[str] = set()

    async def configure(self, centre: Centre, by: Dispatch | None = None) -> None:
        self.centres.add(centre.id)
        await (by or self.one).configure(centre)

    async def issue(self, centre: Centre, key: str, by: Dispatch | None = None, *, over: bool = False) -> str:
        """The printed number."""
        reply = await (by or self.one).press(centre.id, WISH, actor="device:k1", press_id=key, over=over)
        return str(reply["ticket"]["number"])


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[World]:
    clock = ManualClock(MONDAY_TEN)
    client = connect(redis_url)
    channel = Channel(client.connection_pool.make_connection)
    store = TicketStore(channel, client)
    await store.prepare()
    world = World(Dispatch(store, clock), Dispatch(store, clock), clock, client)
    yield world
    if world.centres:
        await client.srem(CENTRES_KEY, *world.centres)
    await client.delete(lease_key("sweeper"))
    await channel.close()
    await client.aclose()


def with_hours(centre: Centre) -> Centre:
    hours = Hours(days=("mon",), sessions=(Span("07:00", "17:00"),), ticket_sessions=(Span("07:00", "16:30"),))
    return msgspec.structs.replace(centre, hours=hours)


async def test_a_centre_that_nobody_configured_is_unknown(world: World) -> None:
    with pytest.raises(UnknownCentre):
        await world.issue(a_centre(id="nowhere"), "key-00001")


async def test_a_process_that_holds_an_old_configuration_reads_the_new_one_and_presses_again(world: World) -> None:
    centre = a_centre()
    await world.configure(centre)
    assert "A001" == await world.issue(centre, "key-00001", world.two)
    changed = msgspec.structs.replace(a_centre(2, id=centre.id), name="Tên mới")
    await world.configure(changed)
    assert "Tên mới" != world.two.known(centre.id).name
    assert "A002" == await world.issue(centre, "key-00002", world.two)
    assert "Tên mới" == world.two.known(centre.id).name


async def test_a_press_that_fails_by_our_own_mistake_is_counted(world: World) -> None:
    """An alarm watches for it; here the function finds what it cannot read."""
    centre = a_centre()
    await world.configure(centre)
    await world.redis.hset(centre_keys(centre.id).centre, "service:a", b"\x80")
    failed = metrics.presses("issue-ticket", "INTERNAL")
    before = failed._value.get()
    with pytest.raises(ResponseError):
        await world.issue(centre, "key-00001")
    assert before + 1 == failed._value.get()


async def test_a_configuration_may_be_taken_back_within_the_day(world: World) -> None:
    """What was in force in the morning, then replaced, is put in force again: presses go on, by its rules."""
    first = a_centre(1)
    second = msgspec.structs.replace(a_centre({"q01": "a", "q02": "b"}, id=first.id), name="Khác")
    await world.configure(first)
    await world.configure(second)
    await world.configure(first)
    for dispatch in (world.one, world.two):
        assert await world.issue(first, f"key-{id(dispatch):08}", dispatch)
    with pytest.raises(UnknownService):
        await world.one.press(
            first.id, IssueTicket(service="b", cls="standard"), actor="device:k1", press_id="key-other"
        )
    await world.configure(second)
    reply = await world.two.press(
        first.id, IssueTicket(service="b", cls="standard"), actor="device:k1", press_id="key-other"
    )
    assert "b" == reply["ticket"]["service"]


async def test_a_repeat_after_hours_gets_its_answer_and_a_new_press_is_refused(world: World) -> None:
    centre = with_hours(a_centre(enforce_hours=True))
    await world.configure(centre)
    number = await world.issue(centre, "key-00001")
    world.clock.advance(8 * HOUR_MS)
    assert number == await world.issue(centre, "key-00001", world.two)
    with pytest.raises(IssuingClosed, match="07:00–16:30"):
        await world.issue(centre, "key-00002")
    assert "A002" == await world.issue(centre, "key-00003", over=True)


@pytest.mark.parametrize(("hours", "is_open"), [(-4, False), (-3, True), (6, True), (7, False), (24, False)])
def test_hours_are_those_of_the_centres_own_clock(hours: int, is_open: bool) -> None:
    centre = with_hours(a_centre(enforce_hours=True))
    at_ms = MONDAY_TEN + hours * HOUR_MS
    if is_open:
        check_hours(centre, at_ms)
    else:
        with pytest.raises(IssuingClosed):
            check_hours(centre, at_ms)


async def test_a_key_is_scoped_by_actor_and_press(world: World) -> None:
    centre = a_centre({"q01": "a", "q02": "b"})
    await world.configure(centre)
    press = world.one.press
    first = await press(centre.id, WISH, actor="device:k1", press_id="key-00001")
    assert first == await press(centre.id, WISH, actor="device:k1", press_id="key-00001")
    other = await press(centre.id, WISH, actor="device:k2", press_id="key-00001")
    assert first["ticket"]["id"] != other["ticket"]["id"]
    with pytest.raises(KeyReused):
        await press(centre.id, IssueTicket(service="b", cls="standard"), actor="device:k1", press_id="key-00001")
    opened = await press(centre.id, Open(counter="q01"), actor="device:k1", press_id="key-00001")
    assert "open" == opened["counter"]["state"]


async def test_a_hundred_presses_with_one_key_at_once_are_one_press(world: World) -> None:
    centre = a_centre()
    await world.configure(centre)
    numbers = await asyncio.gather(
        *(world.issue(centre, "key-00001", dispatch) for _ in range(50) for dispatch in (world.one, world.two))
    )
    assert {"A001"} == set(numbers)


async def test_fifty_officers_call_at_once_and_nobody_is_called_twice(world: World) -> None:
    counters = {f"q{n:02}": "a" for n in range(1, 51)}
    centre = a_centre(counters)
    await world.configure(centre)
    for n in range(30):
        await world.issue(centre, f"key-{n:05}")
    for n, counter in enumerate(counters):
        await world.one.press(centre.id, Open(counter=counter), actor=f"staff:{counter}", press_id=f"open-{n:04}")
    replies = await asyncio.gather(
        *(
            world.one.press(centre.id, CallNext(counter=counter), actor=f"staff:{counter}", press_id="call-0001")
            for counter in counters
        )
    )
    called = [reply["ticket"]["id"] for reply in replies if reply.get("ticket")]
    assert (30, 30) == (len(called), len(set(called)))


async def test_refusals_come_with_their_own_class(world: World) -> None:
    centre = a_centre(services="unserved")
    await world.configure(centre)
    with pytest.raises(NobodyServes):
        await world.one.press(
            centre.id, IssueTicket(service="unserved", cls="standard"), actor="x", press_id="key-00001"
        )
    with pytest.raises(NotYourSeat):
        await world.one.press(centre.id, CallNext(counter="q01"), actor="staff:lan", press_id="key-00002")


# What time causes


async def test_the_sweeper_begins_the_day_and_forgets_who_is_done(world: World) -> None:
    centre = a_centre()
    await world.configure(centre)
    reply = await world.one.press(centre.id, WISH, actor="device:k1", press_id="key-00001")
    done, waiting = reply["ticket"]["id"], await world.issue(centre, "key-00002")
    await world.one.press(centre.id, Cancel(ticket=done), actor="phone", press_id="key-00003")
    day = (await world.one.store.read_day(centre.id))["day"]
    await world.redis.delete(lease_key("sweeper"))
    sweeper = Sweeper(world.one)
    await sweeper.sweep()
    assert day == (await world.one.store.read_day(centre.id))["day"]

    world.clock.advance(24 * HOUR_MS)
    await sweeper.sweep()
    await sweeper.sweep()
    assert day < (await world.one.store.read_day(centre.id))["day"]
    _, _, tickets, line = await world.one.store.read_all(centre.id)
    assert [waiting] == [record["number"] for record in tickets.values()]
    assert 1 == len(line)


async def test_only_one_process_of_an_installation_leads(world: World) -> None:
    await world.redis.delete(lease_key("sweeper"))
    store = world.one.store
    assert await store.take_lease("sweeper", "one", 30)
    assert not await store.take_lease("sweeper", "two", 30)
    assert await store.take_lease("sweeper", "one", 30)


async def test_the_sweeper_survives_a_round_that_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is: a store that is away, or a mistake of ours."""
    monkeypatch.setattr("queue_service.sweeper.ROUND_S", 0.001)
    troubles: list[Exception] = [StoreAway("away"), KeyError("mean"), ValueError("no number"), QueueError("refused")]
    rounds = 0
    enough = asyncio.Event()

    class Failing(Sweeper):
        async def sweep(self) -> None:
            nonlocal rounds
            rounds += 1
            if troubles:
                raise troubles.pop()
            enough.set()

    running = asyncio.create_task(Failing(world.one).run())
    async with asyncio.timeout(5):
        await enough.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert rounds >= 5


async def test_a_day_that_was_begun_by_hand_is_not_begun_again(world: World) -> None:
    centre = a_centre()
    await world.configure(centre)
    await world.one.press(centre.id, AdvanceDay(day="2030-01-01"), actor="staff:x", press_id="key-00001", over=True)
    assert not await world.one.advance_day(centre)


def assigning(**serves: int) -> Assign:
    return Assign(counter="q02", serves=serves, reason="few come")


async def test_what_a_counter_serves_today_outlives_a_restart_and_ends_with_the_day(world: World) -> None:
    """A process that starts reads the file and leaves the day's assignments; the next day begins with the file."""
    centre = a_centre({"q01": "a", "q02": "b"})
    await world.configure(centre)
    await world.one.press(centre.id, assigning(a=1, b=2), actor="staff:x", press_id="key-00001", over=True)

    await world.configure(centre, world.two)

    assert 1 == (await world.two.centre(centre.id)).counter("q02").level("a")
    assert "A001" == await world.issue(centre, "key-00002", world.two)
    world.clock.advance(24 * 3_600_000)
    assert await world.two.advance_day(centre)
    assert centre == await world.two.centre(centre.id)
    assert "A002" == await world.issue(centre, "key-00003", world.one)
    assert centre == await world.one.centre(centre.id)


async def test_two_supervisors_assign_at_the_same_time(world: World) -> None:
    """Both hold; nobody's is lost."""
    centre = a_centre({"q01": "a", "q02": "b", "q03": "b"})
    await world.configure(centre)
    both = Assign(counter="q01", serves={"b": 2, "a": 1}, reason="many wait"), assigning(a=1)

    await asyncio.gather(
        *(
            by.press(centre.id, wish, actor="staff:x", press_id=f"key-0000{n}", over=True)
            for n, (by, wish) in enumerate(zip((world.one, world.two), both, strict=True))
        )
    )

    now = await world.one.read_again(centre.id)
    assert (2, 1) == (now.counter("q01").level("b"), now.counter("q02").level("a"))


async def test_a_repeated_assignment_gets_the_first_answer_and_changes_nothing(world: World) -> None:
    """Also when another one came in between."""
    centre = a_centre({"q01": "a", "q02": "b"})
    await world.configure(centre)
    key = {"actor": "staff:x", "press_id": "key-00001", "over": True}
    first = await world.one.press(centre.id, assigning(a=1, b=2), **key)
    await world.one.press(centre.id, assigning(b=1), actor="staff:x", press_id="key-00002", over=True)

    assert first == await world.two.press(centre.id, assigning(a=1, b=2), **key)
    assert centre == await world.two.centre(centre.id)


async def test_a_configuration_that_stays_old_is_refused_and_not_pressed_for_ever(world: World) -> None:
    """The store's own copy is behind what the Functions hold: said, after one try more."""
    centre = a_centre()
    await world.configure(centre)
    newer = msgspec.structs.replace(centre, name="Mới")
    await world.configure(newer)
    await world.redis.hset(centre_keys(centre.id).centre, "file", to_json(centre))
    world.two._centres.clear()
    with pytest.raises(StaleCentre):
        await world.issue(centre, "key-00001", world.two)


async def test_a_centre_is_packed_again_by_a_release_that_packs_otherwise(world: World) -> None:
    """It came by an import, perhaps years ago; the functions read it as this release writes it."""
    centre = a_centre()
    await world.configure(centre)
    pieces = await world.redis.hgetall(centre_keys(centre.id).centre)
    await world.redis.hset(centre_keys(centre.id).centre, "policy", b"\x80")
    await world.two.pack_again(centre.id)
    assert pieces == await world.redis.hgetall(centre_keys(centre.id).centre)
    assert "A001" == await world.issue(centre, "key-00001", world.two)


async def test_packing_again_takes_no_newer_file_back(world: World) -> None:
    """The other process has read the old file and is slow."""
    centre = a_centre()
    await world.configure(centre)
    newer = msgspec.structs.replace(centre, name="Mới")
    old = await world.two.store.read_file(centre.id)
    await world.configure(newer)

    async def read_before(_: str) -> Any:
        return old

    day = await world.two.store.read_day(centre.id)

    async def day_before(_: str) -> Any:
        return day | {"version": centre.version}

    with patch.multiple(world.two.store, read_file=read_before, read_day=day_before):
        await world.two.pack_again(centre.id)
    assert newer == await world.one.read_again(centre.id)


async def test_a_file_is_in_force_with_what_the_functions_read_of_it(world: World) -> None:
    """One step: whoever is killed in the middle of an import leaves the centre before or the centre after."""
    centre = a_centre()
    await world.configure(centre)
    newer = msgspec.structs.replace(centre, name="Mới")

    async def killed(*_: object) -> Any:
        raise ConnectionError

    with patch.object(world.one.store, "_read", killed), pytest.raises(ConnectionError):
        await world.one.store.put_centre(
            newer,
            Configure(
                new_version=newer.version, day="2026-11-23", epoch="e", pieces=centre_pieces(newer), file=to_json(newer)
            ),
            Press(press_id="system|x", actor="system", now_ms=world.clock.now_ms(), over=True),
        )
    assert newer == await world.two.read_again(centre.id)
    assert "A001" == await world.issue(centre, "key-00001", world.two)


async def test_an_appointment_of_another_day_gets_no_number(world: World) -> None:
    """It would stand in line until then."""
    centre = a_centre()
    await world.configure(centre)
    wish = msgspec.structs.replace(WISH, appointment_ms=world.clock.now_ms() + 25 * 3600 * 1000)
    with pytest.raises(Malformed):
        await world.one.press(centre.id, wish, actor="device:k1", press_id="key-00001")
    assert "A001" == await world.issue(centre, "key-00001")
