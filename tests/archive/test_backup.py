"""A backup of both memories, and an installation made of it: whole, refused when faulty, with new numbers."""

from __future__ import annotations

import json
import tarfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from archive_world import World, a_world
from builders import Hall, a_store
from queue_service.archive.archive import Archive
from queue_service.archive.history import events, visits
from queue_service.backup import INSTALLATION_KEYS, BackupRefused, Installation
from queue_service.clock import business_day
from queue_service.commands import AdvanceDay, IssueTicket
from queue_service.dispatch import Dispatch
from queue_service.embedded import EmbeddedServer
from queue_service.keys import centre_keys
from queue_service.slip_key import SlipKey
from queue_service.store import CENTRES_KEY, lease_key
from service_world import a_hall, a_house

A_KEY = SlipKey("0f" * 32, Path("nowhere"))
"""Of the settings, where the key of the slips does not matter."""


@pytest.fixture
async def world(redis_url: str, archive: Archive) -> AsyncIterator[World]:
    async with a_world(redis_url, archive) as world:
        yield world


@asynccontextmanager
async def elsewhere(folder: Path, url: str, world: World) -> AsyncIterator[tuple[Installation, World]]:
    """An installation with nothing in it: a store and an archive of its own."""
    folder.mkdir()
    server = EmbeddedServer(folder, fsync="no")
    archive = await Archive.open(url)
    try:
        async with a_store(await server.start()) as (store, client):
            hall = Hall(store, client, world.hall.centre, world.hall.clock)
            yield Installation(client, Dispatch(store, hall.clock), archive, A_KEY), World(hall, archive)
    finally:
        await archive.close()
        await server.stop()


def an_installation(world: World) -> Installation:
    return Installation(world.hall.client, Dispatch(world.hall.store, world.hall.clock), world.archive, A_KEY)


@pytest.fixture(params=["sqlite", "postgresql"])
def another_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The other installation's, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'another.db'}"
    return request.getfixturevalue("postgres").new_database()


async def test_an_installation_is_whole_elsewhere(world: World, tmp_path: Path, another_database: str):
    """On either kind of database; it goes on with new numbers in a new order of events, and copies on."""
    await world.play(120, 11)
    await world.copy()
    await world.play(30, 12)
    key = "a-press-that-is-repeated"
    first = await world.hall.press(IssueTicket(service="a", cls="standard"), actor="device:k1", key=key)
    before, recorded = await world.hall.picture(), await world.hall.events()
    manifest = await an_installation(world).backup(tmp_path / "backup")
    assert 0o600 == (tmp_path / "backup").stat().st_mode & 0o777
    assert len(await world.copied()) == manifest.tables["events"]

    async with elsewhere(tmp_path / "there", another_database, world) as (there, other):
        await there.restore(tmp_path / "backup", replace=False)

        after = await other.hall.picture()
        renewed = after["events"].pop()
        assert "EpochRenewed" == renewed["type"]
        assert before["day"]["epoch"] != after["day"]["epoch"] == renewed["epoch"]
        assert recorded == after["events"]
        assert int(before["day"]["seq"]) + 1 == int(after["day"]["seq"])
        same = ("counters", "tickets", "waiting", "announced", "groups", "numbers")
        assert {name: before[name] for name in same} == {name: after[name] for name in same}
        for table in (events, visits):
            assert await world.rows(table) == await other.rows(table)

        again = await other.hall.press(
            IssueTicket(service="a", cls="standard"), actor="device:k1", key=key, ticket=first["ticket"]["id"]
        )
        assert first == again
        next_number = (await other.hall.press(IssueTicket(service="a", cls="standard"), ticket="new"))["ticket"][
            "number"
        ]
        assert int(first["ticket"]["number"][1:]) + 101 == int(next_number[1:])

        await other.copy()
        assert await other.hall.events() == await other.copied()


async def test_who_replaces_goes_on_behind_the_numbers_that_were_given_out(world: World, tmp_path: Path):
    """The store that is given up knows them; without one, numbers are left out."""
    await world.hall.issue()
    await an_installation(world).backup(tmp_path / "backup")
    for _ in range(5):
        await world.hall.issue()
    given_out = {record["number"] for record in (await world.hall.picture())["tickets"].values()}

    await an_installation(world).restore(tmp_path / "backup", replace=True, skip=0)

    assert 1 == len((await world.hall.picture())["tickets"])
    reply = await world.hall.press(IssueTicket(service="a", cls="standard"), ticket="new")
    assert reply["ticket"]["number"] not in given_out


@pytest.mark.parametrize(("replace", "skip", "number"), [(True, 0, "A004"), (False, 100, "A101"), (False, 0, "A002")])
async def test_a_backup_of_an_earlier_day_leaves_out_numbers_of_this_one(
    world: World, tmp_path: Path, redis_url: str, replace: bool, skip: int, number: str
):
    """The day that has begun since begins with the restore; numbers of this morning are not given a second time."""
    await world.hall.issue()
    await an_installation(world).backup(tmp_path / "backup")
    world.hall.clock.advance(10 * 86_400_000)
    today = business_day(world.hall.clock.now_ms(), world.hall.centre.timezone)
    await world.hall.press(AdvanceDay(day=today))
    for _ in range(2):
        await world.hall.issue()  # A002 and A003: whoever has A001 sits in the hall still

    async with AsyncExitStack() as stack:
        there, other = an_installation(world), world
        if not replace:
            other_database = f"sqlite:///{tmp_path / 'another.db'}"
            there, other = await stack.enter_async_context(elsewhere(tmp_path / "there", other_database, world))
        await there.restore(tmp_path / "backup", replace=replace, skip=skip)

        assert today == (await other.hall.picture())["day"]["day"]
        reply = await other.hall.press(IssueTicket(service="a", cls="standard"), ticket="new")
        assert number == reply["ticket"]["number"]


async def test_nothing_is_replaced_unasked(world: World, tmp_path: Path):
    """Neither a store nor an archive that holds something; nor while a worker runs."""
    await world.play(20, 13)
    await world.copy()
    await an_installation(world).backup(tmp_path / "backup")
    before = await world.hall.picture()
    await world.hall.client.delete(lease_key("archiver"), lease_key("sweeper"))

    with pytest.raises(BackupRefused, match="--replace"):
        await an_installation(world).restore(tmp_path / "backup", replace=False)
    await world.hall.store.take_lease("sweeper", "a worker", 30)
    with pytest.raises(BackupRefused, match="A worker runs"):
        await an_installation(world).restore(tmp_path / "backup", replace=True)
    await world.hall.client.delete(lease_key("sweeper"))

    assert before == await world.hall.picture()
    assert await world.rows(events)


def rewritten(file: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The same backup with some of its members changed."""
    with tarfile.open(file) as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
    change(content)
    other = file.with_name("changed")
    with tarfile.open(other, "w:gz") as tar:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, BytesIO(data))
    return other


def saying(**said: Any) -> Callable[[dict[str, bytes]], None]:
    def change(content: dict[str, bytes]) -> None:
        content["manifest.json"] = json.dumps(json.loads(content["manifest.json"]) | said).encode()

    return change


def one_byte(content: dict[str, bytes]) -> None:
    data = bytearray(content["archive/events"])
    data[len(data) // 2] ^= 1
    content["archive/events"] = bytes(data)


async def test_a_faulty_backup_changes_nothing(world: World, tmp_path: Path):
    """Cut, changed, incomplete, too new, or no backup at all: one sentence."""
    await world.play(20, 14)
    await world.copy()
    file = tmp_path / "backup"
    await an_installation(world).backup(file)
    before, copied = await world.hall.picture(), await world.rows(events)
    cut = tmp_path / "cut"
    cut.write_bytes(file.read_bytes()[:-500])
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("no backup")

    for sentence, faulty in [
        ("it was cut", cut),
        ("cannot be read", nonsense),
        ("not as it was written", rewritten(file, one_byte)),
    ]:
        with pytest.raises(BackupRefused, match=sentence):
            await an_installation(world).restore(faulty, replace=True)
    for sentence, change in [
        ("newer version", saying(format=99)),
        ("newer version", saying(revision="9999")),
        ("does not hold", lambda content: content.pop("store/installation")),
    ]:
        with pytest.raises(BackupRefused, match=sentence):
            await an_installation(world).restore(rewritten(file, change), replace=True)

    assert before == await world.hall.picture()
    assert copied == await world.rows(events)


async def test_the_key_of_the_slips_moves_with_its_file(world: World, tmp_path: Path):
    """For its owner's eyes; what a setting says stays with the settings, and a difference is told."""
    here = SlipKey(None, tmp_path / "here/slip.key")
    key, file = here.read().hex(), tmp_path / "backup"
    await replace(an_installation(world), slip_key=here).backup(file)
    with tarfile.open(file) as tar:
        assert {0o600} == {member.mode for member in tar.getmembers()}
    there = SlipKey(None, tmp_path / "there/slip.key")
    there.read()

    async def unlike(slip_key: SlipKey) -> str | None:
        installation = replace(an_installation(world), slip_key=slip_key)
        return (await installation.restore(file, replace=True)).unlike

    assert None is await unlike(there)
    assert key == there.read().hex()
    assert 0o600 == there.file.stat().st_mode & 0o777
    assert ["slip.key"] == [each.name for each in there.file.parent.iterdir()]
    assert None is await unlike(SlipKey(key.upper(), tmp_path / "setting/slip.key"))
    assert "QUEUE_SLIP_KEY" in (await unlike(A_KEY) or "")
    assert not (tmp_path / "setting").exists()

    await an_installation(world).backup(file)
    assert "QUEUE_SLIP_KEY" in (await unlike(there) or "")
    assert key == there.read().hex()


async def test_a_backup_leaves_no_key_behind(tmp_path: Path, cheap_passwords: None):
    """Whatever a day's work leaves in the store is in the backup, or is known to be worth nothing."""
    server = EmbeddedServer(tmp_path / "there", fsync="no")
    url = await server.start()
    try:
        async with a_house(url, tmp_path, a_hall(), None) as house, Redis.from_url(url) as redis:
            await house.kiosk.issue()
            await house.lan.at("q01", "open")
            await house.lan.at("q01", "call-next")
            service = house.service
            await Installation(redis, service._dispatch, service._archive, A_KEY).backup(tmp_path / "backup")
            there = {key.decode() for key in await redis.keys("*")}
            kept = {CENTRES_KEY, *INSTALLATION_KEYS}
            kept |= set(centre_keys(house.centre.id).as_list())
            assert set() == {key for key in there - kept if not key.endswith(":lease")}
    finally:
        await server.stop()
