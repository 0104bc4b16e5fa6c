"""A loudspeaker without a screen: it plays what the voice says, once, and confirms it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from click.testing import CliRunner

import displays_world
from builders import a_centre
from displays import metrics, sound
from displays.__main__ import main
from displays.clips import MANIFEST
from displays.screen import Identity
from displays.speaker import Play, Speaker, by_program, into_folder
from displays.speech import PACKS, load_packs, speech_of
from displays.synthesis import Sounds, Synthesis
from displays.voice import Voices
from displays_world import Hall, Writer, until
from queue_service.app import EXAMPLES
from queue_service.centre import Board, Centre, Voice, load_centre
from voice_world import a_synthesiser

LANGUAGES = load_packs(PACKS)


async def allow(request: web.Request, centre: str, board: str) -> Identity:
    return Identity(board, board, {"id": board})


@asynccontextmanager
async def speaking(redis_url: str, centre: Centre, folder: Path, engine: str | None = "fake 1") -> AsyncIterator[Hall]:
    """A hall with a voice that keeps its things in *folder*."""

    async def read(_: str) -> Centre:
        return centre

    synthesis = Synthesis(a_synthesiser(folder, engine=engine))
    await synthesis.start()
    sounds = Sounds(folder / "sounds", synthesis)
    async with displays_world.running(
        redis_url, centre.id, allow, lambda hub, clock: Voices(hub, clock, read, LANGUAGES, sounds, folder / "clips")
    ) as hall:
        yield hall


@asynccontextmanager
async def loudspeaker(hall: Hall, play: Play) -> AsyncIterator[None]:
    service = f"http://{hall.host}:{hall.port}"
    speaker = Speaker(hall.client, service, hall.centre, "hall-a", "token", play)
    task = asyncio.create_task(speaker.run())
    await until(lambda: hall.hub.speakers(hall.centre, {"hall-a"}), "the loudspeaker is there")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def a_hall(id: str, **voice: object) -> Centre:
    boards = (Board(id="hall-a", name="A", zones=("z",)),)
    settings = msgspec.convert({"repeats": 1, **voice}, Voice)
    return msgspec.structs.replace(a_centre(2, id=id), boards=boards, voice=settings)


async def test_calls_are_played_with_their_chime_and_confirmed(redis_url: str, centre: Writer, tmp_path: Path):
    """Written to a folder: chime, words a second later, as loud as the centre says."""
    async with (
        speaking(redis_url, a_hall(centre.id), tmp_path) as hall,
        loudspeaker(hall, into_folder(tmp_path / "out")),
    ):
        first = await centre.call("A001", "q01")
        second = await centre.call("A002", "q02")
        await until(lambda: hall.hub.confirmed(centre.id, second).spoken, "both are spoken", 20)

        assert {"hall-a"} == hall.hub.confirmed(centre.id, first).spoken
    files = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert [f"{first:08}-1.wav", f"{second:08}-1.wav"] == files
    samples = sound.read_wav((tmp_path / "out" / files[0]).read_bytes())
    assert sound.length_ms(samples) > 1_300
    assert sound.rms(samples[: sound.RATE // 2]) > 0.02, "the chime"
    assert sound.rms(samples[sound.RATE :]) > 0.05, "the words"


async def test_without_words_it_rings(redis_url: str, centre: Writer, tmp_path: Path):
    """Nothing is there that speaks."""
    async with (
        speaking(redis_url, a_hall(centre.id), tmp_path, engine=None) as hall,
        loudspeaker(hall, into_folder(tmp_path / "out")),
    ):
        seq = await centre.call("A001", "q01")
        await until(lambda: (tmp_path / "out" / f"{seq:08}-1.wav").exists(), "the chime is written")
        assert set() == hall.hub.confirmed(centre.id, seq).spoken


async def test_a_player_that_fails_is_told(redis_url: str, centre: Writer, tmp_path: Path):
    """Counted as a sound nobody heard; the next call is played."""
    before = metrics.VOICE_FAILED.labels("broken")._value.get()
    failing = by_program([sys.executable, "-c", "raise SystemExit(1)"])
    async with speaking(redis_url, a_hall(centre.id, chime=False), tmp_path) as hall, loudspeaker(hall, failing):
        await centre.call("A001", "q01")
        await until(lambda: before + 1 == metrics.VOICE_FAILED.labels("broken")._value.get(), "counted", 20)


async def test_a_player_gets_the_file_on_its_input(tmp_path: Path):
    """As `aplay` and `paplay` take it."""
    out = tmp_path / "heard.wav"
    program = f"import sys; open({str(out)!r}, 'wb').write(sys.stdin.buffer.read())"
    await by_program([sys.executable, "-c", program])({"ms": 100}, sound.wav(sound.chime()))

    assert sound.chime() == sound.read_wav(out.read_bytes())


async def test_recordings_take_the_place_of_the_synthesiser(redis_url: str, centre: Writer, tmp_path: Path):
    """A whole pack, and nothing that speaks besides: the words come from the folder; one missing word is counted."""
    hall_centre = a_hall(centre.id, chime=False, clip_pack="ours", languages=["vi"])
    folder = tmp_path / "clips" / "ours"
    folder.mkdir(parents=True)
    words = speech_of(hall_centre, LANGUAGES).words()["vi"]
    lines = []
    for number, piece in enumerate(words):
        (folder / f"{number}.wav").write_bytes(sound.wav(sound.chime()[: sound.RATE // 5]))
        lines.append(f'"{piece}" = "{number}.wav"')
    (folder / MANIFEST).write_text('name = "Ours"\n[clips.vi]\n' + "\n".join(lines), "utf-8")
    (folder / f"{words.index('chín')}.wav").unlink()
    before = metrics.VOICE_CLIPS_MISSING._value.get()

    async with (
        speaking(redis_url, hall_centre, tmp_path, engine=None) as hall,
        loudspeaker(hall, into_folder(tmp_path / "out")),
    ):
        await centre.call("A009", "q01")
        seq = await centre.call("A012", "q02")
        await until(lambda: hall.hub.confirmed(centre.id, seq).spoken, "the recording is spoken", 20)

    assert [f"{seq:08}-1.wav"] == [file.name for file in (tmp_path / "out").iterdir()]
    samples = sound.read_wav((tmp_path / "out" / f"{seq:08}-1.wav").read_bytes())
    assert sound.length_ms(samples) > 7 * 180
    assert before + 1 == metrics.VOICE_CLIPS_MISSING._value.get()


def test_the_recording_script_lists_every_word_once():
    """As a manifest to fill in."""
    file = EXAMPLES / "demo-xa.toml"
    answer = CliRunner().invoke(main, ["words", str(file)])

    assert 0 == answer.exit_code
    for language, pieces in speech_of(load_centre(file), LANGUAGES).words().items():
        assert f"[clips.{language}]" in answer.output
        assert all(f'"{piece}" = "{language}-' in answer.output for piece in pieces)


@pytest.mark.parametrize("text", ["", "id = 1"])
def test_words_of_a_faulty_file_are_not_listed(tmp_path: Path, text: str):
    """The sentence instead."""
    (tmp_path / "c.toml").write_text(text)
    answer = CliRunner().invoke(main, ["words", str(tmp_path / "c.toml")])

    assert 3 == answer.exit_code
    assert "missing" in answer.output
