"""Sounds from a process of their own: killed, stuck, gone mad, missing; and the folder that keeps them."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from displays import metrics, sound, synthesis
from displays.synthesis import NoSound, Part, Sounds, Synthesis
from voice_world import a_synthesiser


def said(text: str) -> list[Part]:
    return [{"text": text, "voice": "vi", "rate": 0.9}]


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A process that does what the text tells it."""
    return a_synthesiser(tmp_path)


@pytest.fixture
async def child(command: list[str]) -> AsyncIterator[Synthesis]:
    made = Synthesis(command, answer_s=1.0)
    await made.start()
    yield made
    await made.stop()


def pid(child: Synthesis) -> int:
    assert child._process is not None
    return child._process.pid


async def test_a_sound_is_made(child: Synthesis):
    """A WAV file that can be heard."""
    samples = sound.read_wav(await child.render(said("một")))

    assert "fake 1" == child.engine
    assert 360 == pytest.approx(sound.length_ms(samples), abs=25)
    assert sound.rms(samples) == pytest.approx(sound.LEVEL, rel=0.02)


@pytest.mark.parametrize("trouble", ["hang", "crash", "half", "nonsense", "huge"])
async def test_a_process_in_trouble_is_replaced(child: Synthesis, trouble: str):
    """Whoever asked is told; whoever asks next is answered by another process."""
    before, restarts = pid(child), metrics.VOICE_RESTARTS._value.get()

    with pytest.raises(NoSound, match="failed"):
        await child.render(said(trouble))

    assert sound.read_wav(await child.render(said("một")))
    assert before != pid(child)
    assert restarts + 1 == metrics.VOICE_RESTARTS._value.get()


async def test_a_process_killed_between_two_sounds_is_replaced(child: Synthesis):
    """Nobody notices, or one sound is missed."""
    os.kill(pid(child), signal.SIGKILL)
    results = [await _tried(child.render(said("một"))) for _ in range(3)]

    assert isinstance(results[-1], bytes)


async def _tried(work: Awaitable[bytes]) -> bytes | NoSound:
    try:
        return await work
    except NoSound as error:
        return error


async def test_the_loop_goes_on_while_the_process_hangs(child: Synthesis):
    """Nothing waits for a voice but its own sound."""
    stuck = asyncio.create_task(_tried(child.render(said("hang"))))
    longest = 0.0
    while not stuck.done():
        before = time.perf_counter()
        await asyncio.sleep(0.005)
        longest = max(longest, time.perf_counter() - before)

    assert isinstance(stuck.result(), NoSound)
    assert longest < 0.5


async def test_who_stops_waiting_leaves_no_answer_for_the_next(child: Synthesis):
    """A late answer is never taken for another sound."""
    stuck = asyncio.create_task(child.render(said("hang")))
    while child._wanted == 0:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)

    assert sound.read_wav(await child.render(said("một")))


async def test_the_queue_is_bounded(child: Synthesis, monkeypatch: pytest.MonkeyPatch):
    """Past it one is refused at once."""
    monkeypatch.setattr(synthesis, "QUEUE_LIMIT", 3)
    results = await asyncio.gather(*(_tried(child.render(said("một"))) for _ in range(5)))

    assert [True, True, True, False, False] == [isinstance(result, bytes) for result in results]


async def test_a_process_that_always_fails_is_left_alone_for_a_while(command: list[str]):
    """It does not start anew for every call of the day."""
    child = Synthesis([sys.executable, "-c", "raise SystemExit(1)"], answer_s=1.0)
    for _ in range(2):
        with pytest.raises(NoSound, match="does not start"):
            await child.render(said("một"))
    with pytest.raises(NoSound, match="a moment ago"):
        await child.render(said("một"))
    assert child.engine is None
    await child.stop()


async def test_a_program_that_is_not_there_is_told():
    """A start without it is no failure of the hall."""
    child = Synthesis(["/nowhere/at-all"])
    await child.start()
    assert child.engine is None
    with pytest.raises(NoSound):
        await child.render(said("một"))
    await child.stop()


needs_espeak = pytest.mark.skipif(importlib.util.find_spec("espeakng_loader") is None, reason="no extra `voice`")


@asynccontextmanager
async def real() -> AsyncIterator[Synthesis]:
    child = Synthesis()
    await child.start()
    try:
        yield child
    finally:
        await child.stop()


@needs_espeak
@pytest.mark.parametrize("voice", ["vi", "vi-vn-x-central", "vi-vn-x-south", "en-us"])
async def test_every_voice_of_ours_speaks(voice: str):
    """As long as a sentence is, as loud as every other, and not cut."""
    async with real() as child:
        vietnamese = "Mời công dân có số thứ tự a, không một hai, đến quầy số năm."
        text = "Ticket A, zero one two, please go to counter five." if voice == "en-us" else vietnamese
        samples = sound.read_wav(await child.render([{"text": text, "voice": voice, "rate": 0.9}]))

        assert str(child.engine).startswith("espeak-ng 1.")
        assert 3_000 < sound.length_ms(samples) < 6_000
        assert sound.rms(samples) == pytest.approx(sound.LEVEL, rel=0.35)
        assert max(max(samples), -min(samples)) <= sound.PEAK * 32_767 + 1


@needs_espeak
async def test_other_words_sound_different_and_faster_is_shorter():
    """The voice says what it is told, at the centre's rate."""
    async with real() as child:
        one, other = [await child.render(said(text)) for text in ("một", "bốn mươi tư")]
        fast = await child.render([{"text": "bốn mươi tư", "voice": "vi", "rate": 1.6}])

        assert len(one) < len(fast) < len(other)


@needs_espeak
@pytest.mark.parametrize("text", ["<speak>một</speak>", "[[kˈoŋ]] một", "một\x00hai", "$(reboot) một", "một " * 100])
async def test_texts_that_mean_harm_are_only_read(text: str):
    """No markup, no phonemes, no command; whatever it is, the next one is spoken."""
    async with real() as child:
        await _tried(child.render(said(text)))
        assert sound.read_wav(await child.render(said("một")))


@needs_espeak
async def test_a_voice_that_is_not_there_is_refused_and_the_process_stays():
    """A pack of another installation."""
    async with real() as child:
        before = pid(child)
        with pytest.raises(NoSound, match="no voice nowhere"):
            await child.render([{"text": "một", "voice": "nowhere", "rate": 1}])
        assert before == pid(child)


# ── the folder ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def sounds(tmp_path: Path, child: Synthesis) -> AsyncIterator[Sounds]:
    made = Sounds(tmp_path / "sounds", child)
    yield made
    await made.stop()


async def test_a_sound_is_made_once(sounds: Sounds, monkeypatch: pytest.MonkeyPatch):
    """Also for two who want it at once, and after a restart from the disk."""
    renders: list[object] = []
    render = sounds.synthesis.render

    async def counted(parts: Any) -> bytes:
        renders.append(parts)
        return await render(parts)

    monkeypatch.setattr(sounds.synthesis, "render", counted)
    one, other = await asyncio.gather(sounds.get(said("một")), sounds.get(said("một")))
    again = await sounds.get(said("một"))

    assert 1 == len(renders)
    assert one == other == again
    assert one.ms == sound.length_ms(sound.read_wav(one.path.read_bytes()))
    assert one == sounds.find(sounds.digest(said("một")))


async def test_other_words_voices_rates_and_recordings_are_other_sounds(sounds: Sounds):
    """Where a recording lies does not matter; what it holds does."""
    parts: list[list[Part]] = [
        said("một"),
        said("hai"),
        [{"text": "một", "voice": "en-us", "rate": 0.9}],
        [{"text": "một", "voice": "vi", "rate": 1.0}],
        [{"clip": "/a/mot.wav", "digest": "1"}],
        [{"clip": "/a/mot.wav", "digest": "2"}],
    ]

    assert 6 == len({sounds.digest(part) for part in parts})
    assert sounds.digest(parts[4]) == sounds.digest([{"clip": "/b/one.wav", "digest": "1"}])


async def test_the_folder_is_bounded_and_the_least_used_go_first(tmp_path: Path, child: Synthesis):
    """By bytes, and never the one just made."""
    sounds = Sounds(tmp_path / "sounds", child, kept_bytes=60_000)
    first = await sounds.get(said("1"))
    os.utime(first.path, (1, 1))
    for text in "2345":
        await sounds.get(said(text))

    kept = list((tmp_path / "sounds").iterdir())
    assert sum(file.stat().st_size for file in kept) <= 60_000
    assert first.path not in kept
    assert sounds.find(sounds.digest(said("5")))
    assert sounds.find(first.digest) is None


async def test_a_disk_that_takes_nothing_is_told(tmp_path: Path, child: Synthesis):
    """The hall goes on without this sound."""
    (tmp_path / "sounds").write_text("a file stands where the folder should be")

    with pytest.raises(NoSound, match="cannot be kept"):
        await Sounds(tmp_path / "sounds", child).get(said("một"))
