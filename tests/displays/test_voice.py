"""The voice of a hall, from the event in the store to the turn at the boards and the sound behind it."""

from __future__ import annotations

import time
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

import displays_world
from builders import a_centre
from displays import metrics, sound
from displays.screen import Identity
from displays.speech import PACKS, load_packs
from displays.synthesis import Sounds, Synthesis
from displays.voice import Voices
from displays_world import Hall, Screen, Writer, until
from queue_service.centre import Board, CallPhrases, Centre, Voice, Zone
from voice_world import a_synthesiser

LANGUAGES = load_packs(PACKS)
QUICK = Voice(repeats=1, chime=False)
BOARDS = (
    Board(id="hall-a", name="A", zones=("z",)),
    Board(id="hall-b", name="B", zones=("z",)),
    Board(id="quiet", name="C", zones=("z",), speaks=False),
)


def spoken_centre(id: str, voice: Voice) -> Centre:
    return msgspec.structs.replace(a_centre(3, id=id), voice=voice, boards=BOARDS)


async def allow(request: web.Request, centre: str, board: str) -> Identity:
    """Everybody looks at every board."""
    return Identity(board, f"screen {board}", {"id": board})


@dataclass
class Building:
    """What the hall is now, and a way to open its doors."""

    centre: Centre
    open: Callable[..., AbstractAsyncContextManager[Hall]] = field(repr=False)


@pytest.fixture
async def building(redis_url: str, centre: Writer, tmp_path: Path) -> Building:
    """Three counters in a zone, two boards that speak, one that does not."""

    async def read(_: str) -> Centre:
        return building.centre

    @asynccontextmanager
    async def doors(folder: str = "one", *, engine: str | None = "fake 1") -> AsyncIterator[Hall]:
        (tmp_path / folder).mkdir(exist_ok=True)
        synthesis = Synthesis(a_synthesiser(tmp_path / folder, engine=engine), answer_s=0.5)
        await synthesis.start()
        sounds = Sounds(tmp_path / folder / "sounds", synthesis)
        async with displays_world.running(
            redis_url,
            centre.id,
            allow,
            lambda hub, clock: Voices(hub, clock, read, LANGUAGES, sounds, tmp_path / folder / "clips"),
        ) as hall:
            yield hall

    building = Building(spoken_centre(centre.id, QUICK), doors)
    return building


def turns(screen: Screen) -> list[dict[str, Any]]:
    return [message for message in screen.told if message["type"] == "speak"]


async def hears(screen: Screen, count: int) -> list[dict[str, Any]]:
    """The first *count* turns that the screen was told of."""
    await until(lambda: len(turns(screen)) >= count, f"{count} turns; {screen.told}, closed {screen.closed}", 15)
    return turns(screen)[:count]


async def speaks(hall: Hall, board: str = "hall-a", **options: Any) -> Screen:
    return await hall.screen(board=board, speaks=True, name=board, **options)


async def test_two_calls_of_one_instant_are_spoken_one_after_the_other_on_both_boards(
    building: Building, centre: Writer
):
    """The same turns at the same moment; the second begins when the first is over."""
    async with building.open() as hall:
        one, other = await speaks(hall), await speaks(hall, "hall-b")
        silent, third = await hall.screen(board="hall-a"), await speaks(hall, "quiet")
        first = await centre.call("A001", "q01")
        second = await centre.call("A002", "q02")

        (a,) = await hears(one, 1)
        begun = time.monotonic()
        (_, b) = await hears(one, 2)
        assert time.monotonic() - begun > a["ms"] / 1000
        assert [first, second] == [a["seq"], b["seq"]]
        assert turns(one) == await hears(other, 2)
        assert [] == turns(silent) == turns(third)

        async with hall.client.get(hall.url("hall-a", "/" + a["sound"])) as answer:
            assert (200, "audio/wav") == (answer.status, answer.content_type)
            assert "immutable" in answer.headers["Cache-Control"]
            samples = sound.read_wav(await answer.read())
        assert a["ms"] == sound.length_ms(samples)
        assert sound.rms(samples) > 0.05


async def test_a_board_confirms_what_it_has_spoken(building: Building, centre: Writer):
    """Under its own name; what nobody heard is counted."""
    async with building.open() as hall:
        screen = await speaks(hall)
        seq = await centre.call("A001")
        await hears(screen, 1)
        before = metrics.VOICE_FAILED.labels("locked")._value.get()
        await screen.say(type="spoken", seq=seq)
        await screen.say(type="unspoken", seq=seq, reason="locked")

        await until(lambda: {"hall-a"} == hall.hub.confirmed(centre.id, seq).spoken, "confirmed")
        await until(lambda: before + 1 == metrics.VOICE_FAILED.labels("locked")._value.get(), "counted")
        await screen.say(type="unspoken", seq=seq, reason="bored")
        assert 4003 == await screen.is_closed()


async def test_a_recall_rings_and_is_spoken_again(building: Building, centre: Writer):
    """Another event, another turn."""
    building.centre = spoken_centre(centre.id, Voice(repeats=1))
    async with building.open() as hall:
        screen = await speaks(hall)
        await centre.call("A001")
        centre.counters["q01"]["call"]["rings"] = 2
        recalled = await centre.record("TicketRecalled", number="A001", department="land", counter="q01", rings=2)

        first, again = await hears(screen, 2)
        assert (recalled, True, True) == (again["seq"], first["chime"], again["chime"])
        assert first["sound"] != again["sound"], "lần thứ hai"


async def test_what_a_lost_link_missed_is_not_spoken_later(building: Building, centre: Writer):
    """A screen that comes back by cursor gets the events, and no turn that the hall has heard."""
    async with building.open() as hall:
        screen, witness = await speaks(hall), await speaks(hall, "hall-b")
        await screen.leave()
        seq = await centre.call("A001")
        await hears(witness, 1)
        back = await speaks(hall, epoch=screen.epoch, seq=screen.seq)
        await back.reaches(seq)
        last = await centre.call("A002", "q02")

        assert [last] == [turn["seq"] for turn in await hears(back, 1)]


async def test_a_call_waits_for_a_board_that_speaks(building: Building, centre: Writer):
    """Nobody was there; the first board says it."""
    async with building.open() as hall:
        await hall.screen(board="hall-a")
        seq = await centre.call("A001")
        late = await speaks(hall, "hall-b")

        assert [seq] == [turn["seq"] for turn in await hears(late, 1)]


async def test_a_late_call_is_shown_and_not_spoken(building: Building, centre: Writer):
    """Older than the centre's setting when it gets here."""
    async with building.open() as hall:
        screen = await speaks(hall)
        await centre.call("A001", at_ms=time.time_ns() // 1_000_000 - 60_000)
        fresh = await centre.call("A002", "q02")

        assert [fresh] == [turn["seq"] for turn in await hears(screen, 1)]
        await screen.reaches(fresh)


async def test_a_restart_says_the_last_seconds_under_the_same_names(building: Building, centre: Writer):
    """So that a board that has said them knows it, and one that has not says them."""
    async with building.open() as hall:
        before = await hears(await speaks(hall), 0)
        screen = await speaks(hall)
        await centre.call("A001")
        before = await hears(screen, 1)
    async with building.open("two") as hall:
        assert before == await hears(await speaks(hall), 1)


async def test_any_process_makes_the_sound_that_another_has_named(building: Building, centre: Writer):
    """Behind a balancer the page may ask the neighbour."""
    async with building.open() as hall, building.open("two") as neighbour:
        screen = await speaks(hall)
        await centre.call("A001")
        (turn,) = await hears(screen, 1)
        await neighbour.hub.hall(centre.id)

        async with neighbour.client.get(neighbour.url("hall-a", "/" + turn["sound"])) as answer:
            assert 200 == answer.status
            assert turn["ms"] == sound.length_ms(sound.read_wav(await answer.read()))


@pytest.mark.parametrize(
    "name", ["1-f-0000000000000000", "1-x-0000000000000000", "..%2f..%2fdemo.json", "9999999999999-s-0123456789abcdef"]
)
async def test_a_sound_that_nobody_named_is_not_found(building: Building, centre: Writer, name: str):
    """No text can be asked for, and no other file."""
    async with building.open() as hall:
        await centre.call("A001")
        await speaks(hall)
        async with hall.client.get(hall.url("hall-a", f"/sounds/{name}")) as answer:
            assert (404, "NOT_FOUND") == (answer.status, (await answer.json())["code"])


async def test_without_anything_that_speaks_boards_ring(building: Building, centre: Writer):
    """The chime is the page's own."""
    building.centre = spoken_centre(centre.id, Voice(repeats=2))
    async with building.open(engine=None) as hall:
        screen = await speaks(hall)
        await centre.call("A001")
        await centre.call("A002", "q02")

        one, two = await hears(screen, 2)
        assert [(None, True, 1)] * 2 == [(turn["sound"], turn["chime"], turn["turn"]) for turn in (one, two)]
        assert "none: boards ring" in hall.door.voices.words()  # type: ignore[union-attr]


async def test_a_sound_that_cannot_be_made_is_counted_and_the_next_call_is_spoken(building: Building, centre: Writer):
    """A process that hangs on one text costs one call its words, not the hall its voice."""
    phrase = CallPhrases("vi", "{number} {counter} {zone}", short="{number} {counter}")
    building.centre = spoken_centre(centre.id, msgspec.structs.replace(QUICK, chime=True, phrases=(phrase,)))
    zones = (Zone("z", "hang", "hang"), Zone("y", "Y", "Y"))
    counters = building.centre.counters
    elsewhere = msgspec.structs.replace(counters[1], zone="y")
    building.centre = msgspec.structs.replace(
        building.centre,
        zones=zones,
        counters=(counters[0], elsewhere),
        boards=(Board(id="hall-a", name="A", zones=("z", "y")),),
    )
    before = metrics.VOICE_FAILED.labels("synthesis")._value.get()
    async with building.open() as hall:
        screen = await speaks(hall)
        stuck = await centre.call("A001", "q01")
        spoken = await centre.call("A002", "q02")

        first, second = await hears(screen, 2)
        assert (stuck, None) == (first["seq"], first["sound"])
        assert spoken == second["seq"]
        assert second["sound"]
    assert before + 1 == metrics.VOICE_FAILED.labels("synthesis")._value.get()


async def test_broken_recordings_cost_no_call_its_words(building: Building, centre: Writer, tmp_path: Path):
    """Missing, no sound at all, or cut: the synthesiser says the phrases that need them, and it is counted."""
    pack = tmp_path / "one" / "clips" / "nam"
    pack.mkdir(parents=True)
    whole = sound.wav(array("h", [9000, -9000] * 2000))
    for name, content in (("so.wav", whole), ("quay.wav", b"RIFF" + bytes(200)), ("a.wav", whole[:60])):
        (pack / name).write_bytes(content)
    words = {"Số": "so.wav", "quầy": "quay.wav", "a": "a.wav", "không": "khong.wav"}
    lines = "\n".join(f'"{word}" = "{name}"' for word, name in words.items())
    (pack / "clips.toml").write_text(f'name = "Hỏng"\n[clips.vi]\n{lines}\n', "utf-8")
    building.centre = spoken_centre(centre.id, msgspec.structs.replace(QUICK, clip_pack="nam"))
    missing = metrics.VOICE_CLIPS_MISSING._value.get()
    async with building.open() as hall:
        screen = await speaks(hall)
        calls = [await centre.call("A001", "q01"), await centre.call("A002", "q02")]

        heard = await hears(screen, 2)
        assert calls == [turn["seq"] for turn in heard]
        assert all(turn["sound"] for turn in heard)
    assert missing + 2 == metrics.VOICE_CLIPS_MISSING._value.get()


async def test_a_visitor_who_is_there_is_not_called(building: Building, centre: Writer):
    """The service has begun before the turn came."""
    async with building.open() as hall:
        screen = await speaks(hall)
        first = await centre.call("A001", "q01")
        await hears(screen, 1)
        await centre.call("A002", "q02")
        await centre.record("ServiceStarted", number="A002", counter="q02")
        third = await centre.call("A003", "q03")

        assert [first, third] == [turn["seq"] for turn in await hears(screen, 2)]


async def test_another_configuration_takes_force_at_once(building: Building, centre: Writer):
    """What waits goes on waiting; the next words are the new ones."""
    async with building.open() as hall:
        screen = await speaks(hall)
        await centre.call("A001", "q01")
        (before,) = await hears(screen, 1)
        building.centre = spoken_centre(centre.id, msgspec.structs.replace(QUICK, dialect="south", volume=20))
        await centre.record("CentreChanged", version="v2")
        await centre.call("A001", "q01")
        _, after = await hears(screen, 2)

        assert (0.8, 0.2) == (before["volume"], after["volume"])
        assert before["sound"].split("-")[2] != after["sound"].split("-")[2]
