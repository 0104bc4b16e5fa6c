"""The archiver: every event once and in order, whatever is killed, away, renewed or trimmed meanwhile; visits told."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import queue_service.archive.history
from archive_world import World, a_world
from builders import NEXT_DAY
from queue_service.archive.archive import Archive
from queue_service.archive.history import cursors, events, gaps
from queue_service.audit import Audit
from queue_service.authority import AuditSearch
from queue_service.clock import ManualClock, business_day
from queue_service.commands import AdvanceDay, CallNext, Cancel, Complete, Revive, Start
from queue_service.dispatch import Dispatch
from queue_service.errors import ArchiveAway
from queue_service.keys import centre_keys
from queue_service.store import lease_key
from queue_service.visits import ENDS

ROOT = Path(__file__).parents[2]
FIRST_DAY = business_day(ManualClock().now_ms(), "Asia/Ho_Chi_Minh")


@pytest.fixture
async def world(redis_url: str, archive: Archive) -> AsyncIterator[World]:
    async with a_world(redis_url, archive) as world:
        yield world


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


async def test_what_the_store_recorded_is_in_the_archive(world: World):
    """Event by event with all they say, and the visit that is over."""
    ticket = await world.hall.issue()
    other = await world.hall.issue()
    for seconds, press in ((60, CallNext), (5, Start), (120, Complete)):
        world.hall.clock.advance(seconds * 1000)
        await world.hall.press(press(counter="q01"))
    await world.copy()

    assert await world.hall.events() == await world.copied()
    (visit,) = (await world.told()).values()
    issued_at_ms = visit["issued_at_ms"]
    assert {
        "centre": world.id, "ticket": ticket, "day": FIRST_DAY, "number": "A001", "department": "a", "service": "a",
        "class": "standard", "ground": None, "procedure": None, "end": "served", "counter": "q01", "officer": "lan",
        "issued_at_ms": ManualClock().now_ms(), "called_at_ms": issued_at_ms + 60_000,
        "started_at_ms": issued_at_ms + 65_000, "ended_at_ms": issued_at_ms + 185_000, "calls": 1, "rings": 1,
        "no_shows": 0, "transfers": 0, "waited_ms": 60_000, "served_ms": 125_000, "announced_low_ms": None,
        "announced_high_ms": None,
    } == visit  # fmt: skip
    assert other not in await world.told()
    assert 0 == metric("queue_archive_lag_events")


@pytest.mark.parametrize("seed", range(2))
async def test_visits_are_those_of_the_store(world: World, monkeypatch: pytest.MonkeyPatch, seed: int):
    """After a wild day, copied in small pieces: who is done, how, where and when."""
    monkeypatch.setattr("queue_service.archiver.BATCH", 7)
    for _ in range(3):
        await world.play(80, seed)
        await world.copy()

    assert await world.hall.events() == await world.copied()
    records = (await world.hall.picture())["tickets"].values()
    over = {record["id"]: record for record in records if record["state"] in ENDS}
    told = await world.told()
    assert len(over) > 5
    same = ("number", "department", "service", "class", "issued_at_ms", "ended_at_ms")
    assert {id: (record["state"], *(record[name] for name in same)) for id, record in over.items()} == {
        id: (visit["end"], *(visit[name] for name in same)) for id, visit in told.items()
    }


async def test_a_visit_that_goes_on_is_not_told_as_over(world: World):
    """Somebody comes back after giving up: the row goes, and returns with the real end."""
    ticket = await world.hall.issue()
    await world.hall.press(Cancel(ticket=ticket))
    await world.copy()
    assert "cancelled" == (await world.told())[ticket]["end"]

    await world.hall.press(Revive(ticket=ticket))
    await world.copy()
    assert {} == await world.told()

    await world.hall.press(CallNext(counter="q01"))
    await world.hall.press(Complete(counter="q01"))
    await world.copy()
    visit = (await world.told())[ticket]
    assert ("served", 1) == (visit["end"], visit["calls"])


async def test_a_batch_that_breaks_off_leaves_nothing_behind(world: World, monkeypatch: pytest.MonkeyPatch):
    """Rows, visits and cursor are one: all or nothing, and the next round has all."""
    await world.play(40, 1)
    whole = queue_service.archive.history._tell_visits

    async def break_off(*_: object) -> None:
        raise OSError("the plug was pulled")

    monkeypatch.setattr("queue_service.archive.history._tell_visits", break_off)
    with pytest.raises(ArchiveAway):
        await world.copy()
    assert [] == await world.rows(events)
    assert [] == await world.rows(cursors)
    assert metric("queue_archive_lag_events") > 20

    monkeypatch.setattr("queue_service.archive.history._tell_visits", whole)
    await world.copy()
    assert await world.hall.events() == await world.copied()


async def test_two_who_copy_at_once_copy_everything_once(world: World, monkeypatch: pytest.MonkeyPatch):
    """A lease may be lost to a jump of the clock; the cursor in the archive decides."""
    monkeypatch.setattr("queue_service.archiver.BATCH", 5)
    monkeypatch.setattr(world.hall.store, "take_lease", _always)
    await world.play(60, 2)
    before = metric("queue_archived_events_total")

    async def copy() -> None:
        archiver = world.archiver()
        for _ in range(100):
            await archiver.copy()

    await asyncio.gather(copy(), copy(), copy())

    assert await world.hall.events() == await world.copied()
    assert len(await world.copied()) == metric("queue_archived_events_total") - before


async def _always(*_: object) -> bool:
    return True


async def test_only_the_holder_of_the_lease_copies(world: World):
    """The others wait for their turn and say that nothing lags."""
    await world.hall.client.delete(lease_key("archiver"))
    first, second = world.archiver(), world.archiver()
    await first.copy()
    await world.hall.issue()
    await second.copy()
    assert len(await world.copied()) < len(await world.hall.events())

    await world.hall.client.delete(lease_key("archiver"))
    await second.copy()
    assert await world.hall.events() == await world.copied()
    await world.hall.issue()
    await first.copy()
    assert len(await world.copied()) < len(await world.hall.events())


async def test_an_event_belongs_to_its_business_day_and_a_visit_to_the_day_of_its_number(world: World):
    """Midnight is an event; who waited through it keeps the day."""
    ticket = await world.hall.issue()
    await world.hall.press(AdvanceDay(day=NEXT_DAY))
    await world.copy()
    await world.hall.press(Cancel(ticket=ticket))
    await world.copy()

    days = {row["type"]: row["day"] for row in await world.rows(events)}
    assert (FIRST_DAY, NEXT_DAY, NEXT_DAY) == (days["TicketIssued"], days["DayAdvanced"], days["TicketCancelled"])
    assert FIRST_DAY == (await world.told())[ticket]["day"]


async def test_a_new_order_of_events_is_followed(world: World):
    """Events of both orders are there; nothing of the old one is lost or doubled."""
    await world.play(20, 3)
    await world.copy()
    await world.play(5, 4)
    dispatch = Dispatch(world.hall.store, world.hall.clock)
    await dispatch.renew_epoch(world.hall.centre)
    await world.play(20, 5)
    await world.copy()

    assert await world.hall.events() == await world.copied()
    assert 2 == len({event["epoch"] for event in await world.copied()})
    assert [] == await world.rows(gaps)


async def test_a_store_that_went_back_gets_a_new_order(world: World):
    """What it lost stays in the archive, what it does anew is told apart from it."""
    await world.play(20, 3)
    client, keys = world.hall.client, centre_keys(world.id).as_list()
    kept = {key: await client.dump(key) for key in keys}
    await world.play(20, 4)
    await world.copy()
    lost = await world.hall.events()
    for key, dump in kept.items():
        await client.delete(key)
        if dump is not None:
            await client.restore(key, 0, dump)

    await world.copy()
    await world.play(30, 5)
    await world.copy()

    now = await world.hall.events()
    epochs = {event["epoch"] for event in now}
    assert 2 == len(epochs)
    copied = await world.copied()
    assert all(event in copied for event in [*lost, *now])
    assert len(copied) == len({(event["epoch"], event["seq"]) for event in [*lost, *now]})
    assert [] == await world.rows(gaps)


async def test_what_the_store_forgot_before_it_was_copied_is_said(world: World):
    """A row, a number for whoever watches, and everything that is still there."""
    await world.copy()
    reached = len(await world.copied())
    await world.play(30, 6)
    await world.hall.client.xtrim(centre_keys(world.id).events, maxlen=4, approximate=False)
    before = metric("queue_archive_missed_events_total")
    await world.copy()

    left = await world.hall.events()
    assert left == (await world.copied())[-4:]
    (gap,) = await world.rows(gaps)
    assert (reached + 1, left[0]["seq"] - 1) == (gap["first_seq"], gap["last_seq"])
    assert left[0]["seq"] - reached - 1 == metric("queue_archive_missed_events_total") - before
    await world.copy()
    assert 1 == len(await world.rows(gaps))


async def test_a_log_that_is_gone_is_a_gap(world: World):
    """Nothing to copy is no reason to ask for ever."""
    await world.copy()
    await world.play(10, 7)
    await world.hall.client.delete(centre_keys(world.id).events)
    await world.copy()

    (gap,) = await world.rows(gaps)
    assert int((await world.hall.store.read_day(world.id))["seq"]) == gap["last_seq"]


async def test_an_archive_that_was_away_has_everything_afterwards(redis_url: str, tmp_path: Path, monkeypatch):
    """Somebody else holds the file for a while; presses go on, and are copied when it is free."""
    monkeypatch.setattr("queue_service.archive.archive.LOCKED_S", 0)
    monkeypatch.setattr("queue_service.archiver.ROUND_S", 0.01)
    archive = await Archive.open(f"sqlite:///{tmp_path / 'archive.db'}")
    other = sqlite3.connect(tmp_path / "archive.db", isolation_level=None)
    async with a_world(redis_url, archive) as world:
        await world.copy()
        other.execute("BEGIN IMMEDIATE")
        failures = metric("queue_archive_failures_total")
        await world.hall.client.delete(lease_key("archiver"))
        running = asyncio.create_task(world.archiver().run())
        await world.play(20, 8)
        await _until(lambda: metric("queue_archive_failures_total") >= failures + 2)
        assert len(await world.copied()) < len(await world.hall.events())

        other.close()
        await _until(lambda: metric("queue_archive_lag_events") == 0 and metric("queue_archive_up") == 1)
        async with asyncio.timeout(20):
            while await world.count() < len(await world.hall.events()):
                await asyncio.sleep(0.01)
        assert await world.hall.events() == await world.copied()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await archive.close()


async def _until(true) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


PROGRAM = """
import asyncio, sys
import queue_service.archiver
from redis.asyncio import Redis
from queue_service.archive.archive import Archive
from queue_service.archive.history import History
from queue_service.channel import Channel
from queue_service.clock import SystemClock
from queue_service.dispatch import Dispatch
from queue_service.store import TicketStore

async def copy(redis_url, database_url):
    client = Redis.from_url(redis_url, protocol=2)
    store = TicketStore(Channel(client.connection_pool.make_connection), client)
    queue_service.archiver.BATCH = 3
    history = History(await Archive.open(database_url))
    await queue_service.archiver.Archiver(Dispatch(store, SystemClock()), history).run()

asyncio.run(copy(*sys.argv[1:]))
"""


async def test_a_process_that_is_killed_repeats_nothing_and_leaves_nothing_out(
    world: World, redis_url: str, database_url: str
):
    """kill -9 in the middle of the work, twice."""
    await world.play(200, 9)
    recorded = await world.hall.events()
    for share in (0.3, 0.6):
        await world.hall.client.delete(lease_key("archiver"))
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, redis_url, database_url, cwd=ROOT)
        try:
            async with asyncio.timeout(60):
                while await world.count() < share * len(recorded):
                    assert process.returncode is None
                    await asyncio.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        copied = await world.copied()
        assert recorded[: len(copied)] == copied
        assert len(copied) < len(recorded)

    await world.copy()
    assert recorded == await world.copied()


async def test_what_was_kept_for_long_enough_is_deleted(world: World, monkeypatch: pytest.MonkeyPatch):
    """Events, visits and the audit from before, in small steps; what is younger stays, and without a term all does."""
    monkeypatch.setattr("queue_service.archiver.FORGET_AT_ONCE", 3)
    audit, day_ms = Audit(world.archive, b"k" * 32), 86_400_000
    archiver = world.archiver(keep_ms=30 * day_ms)
    await world.play(40, 4)
    now_ms = world.hall.clock.now_ms()
    audit.note(audit.entry(now_ms, actor="staff:lan", action="sign-in", object="lan", centre=world.id))
    await audit.flush()
    await world.hall.client.delete(lease_key("archiver"))
    while await archiver.copy():
        pass
    old, told = await world.count(), len(await world.told())
    await archiver.forget()
    assert (old, told) == (await world.count(), len(await world.told()))

    today = business_day(world.hall.clock.advance(31 * day_ms), "Asia/Ho_Chi_Minh")
    await world.hall.press(AdvanceDay(day=today))
    young = await world.hall.issue()
    while await archiver.copy():
        pass
    await world.archiver().forget()  # for ever
    assert old < await world.count()
    await archiver.forget()
    assert [None, young] == [event.get("ticket") for event in await world.copied()]
    assert {} == await world.told()
    assert not await audit.search(AuditSearch(centre=world.id))

    await world.play(5, 5)
    while await archiver.copy():
        pass
    assert (await world.hall.events())[-1] == (await world.copied())[-1]
