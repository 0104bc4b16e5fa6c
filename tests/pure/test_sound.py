"""Sound as bytes, and recordings with everything that can be wrong with them."""

from __future__ import annotations

import io
import math
import unicodedata
import wave
from array import array
from pathlib import Path

import pytest

from displays import sound
from displays.clips import MANIFEST, load_clips
from displays.sound import RATE, FaultySound
from displays.speech import Said
from displays.synthesiser import render


def tone(ms: int, level: float = 0.3, frequency: float = 440.0) -> array[int]:
    """A recording that can be told from silence."""
    return array(
        "h", [round(32_767 * level * math.sin(math.tau * frequency * n / RATE)) for n in range(RATE * ms // 1000)]
    )


def wav_of(channels: int, bits: int, rate: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(bits // 8)
        file.setframerate(rate)
        file.writeframes(bytes(channels * bits // 8 * rate))
    return out.getvalue()


def test_a_sound_survives_its_file():
    """The header and the samples."""
    assert tone(200) == sound.read_wav(sound.wav(tone(200)))
    assert 200 == sound.length_ms(tone(200))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "no WAV file"),
        (b"RIFF\x00\x00\x00\x00WAVE", "no WAV file"),
        (b"<html>", "no WAV file"),
        (wav_of(2, 16, RATE), "has 2 channels of 16 bits at 22050 Hz, not 1 of 16 at 22050"),
        (wav_of(1, 8, RATE), "1 channels of 8 bits"),
        (wav_of(1, 16, 44_100), "at 44100 Hz"),
        (sound.wav(sound.silence(31_000)), "longer than 30 seconds"),
    ],
)
def test_what_is_no_sound_of_ours_is_told(content: bytes, sentence: str):
    """In words that help whoever recorded it."""
    with pytest.raises(FaultySound, match=sentence):
        sound.read_wav(content)


def test_a_file_that_was_cut_gives_what_it_has():
    """A copy that stopped half-way is still a sound."""
    assert 0 < len(sound.read_wav(sound.wav(tone(100))[:1000])) < len(tone(100))


@pytest.mark.parametrize("level", [0.02, 0.1, 0.5, 1.0])
def test_every_voice_is_as_loud(level: float):
    """Quiet and loud recordings come out alike, and none is cut."""
    levelled = sound.levelled(tone(300, level))

    assert sound.LEVEL == pytest.approx(sound.rms(levelled), rel=0.02)
    assert max(levelled) <= sound.PEAK * 32_767 + 1


def test_a_click_does_not_make_the_rest_too_loud():
    """The peak is bounded as well as the level."""
    samples = tone(300, 0.02)
    samples[100] = 32_767

    assert max(sound.levelled(samples)) <= sound.PEAK * 32_767 + 1


def test_pauses_do_not_count_as_loudness():
    """A phrase with rests is as loud as one without."""
    rests = tone(200) + sound.silence(800) + tone(200)

    assert sound.rms(rests) == pytest.approx(sound.rms(tone(400)), rel=0.05)


def test_silence_is_no_speech():
    """Nothing to level, nothing left when trimmed."""
    assert 0 == sound.length_ms(sound.trimmed(sound.silence(500)))
    with pytest.raises(FaultySound, match="is silent"):
        sound.levelled(sound.silence(500))


def test_silence_around_a_recording_is_cut():
    """So that words stand as close as the pack says."""
    around = sound.silence(400) + tone(200) + sound.silence(300)

    assert 200 <= sound.length_ms(sound.trimmed(around)) <= 225


def test_the_chime_is_two_notes_that_fade():
    """Audible, not cut, as long as the page's, softer at its end than at its beginning."""
    notes = sound.chime()

    assert 1_700 < sound.length_ms(notes) < 1_800
    assert 6_000 < max(notes) < 32_000
    assert max(notes[-RATE // 10 :]) < max(notes[: RATE // 10]) / 20


def test_words_begin_while_the_last_note_fades():
    """Mixed, not put behind."""
    mixed = sound.mixed(sound.chime(), tone(1_000), 1_000)

    assert 2_000 == pytest.approx(sound.length_ms(mixed), abs=2)
    assert sound.chime()[:RATE] == mixed[:RATE]


def test_softer_is_softer():
    """The volume of the player."""
    assert max(sound.scaled(tone(100), 0.5)) == pytest.approx(max(tone(100)) / 2, abs=1)


# ── the process's own work, without its process ───────────────────────────────────────────────────────────────────────


def test_parts_are_put_together(tmp_path: Path):
    """Speech, recordings and rests, one after another."""
    (tmp_path / "a.wav").write_bytes(sound.wav(tone(300)))
    asked = []

    def speak(text: str, voice: str, rate: float) -> array[int]:
        asked.append((text, voice, rate))
        return tone(500)

    parts = [
        {"text": "một.", "voice": "vi", "rate": 0.9},
        {"pause": 250},
        {"clip": str(tmp_path / "a.wav"), "digest": "x"},
    ]
    samples = sound.read_wav(render(parts, speak))

    assert [("một.", "vi", 0.9)] == asked
    assert 1_050 == pytest.approx(sound.length_ms(samples), abs=45)


@pytest.mark.parametrize(
    "parts",
    [[{"text": "một", "voice": "vi", "rate": 1}], [{"pause": 31_000}], [{"clip": "/nowhere.wav", "digest": "x"}]],
)
def test_what_cannot_be_made_is_an_error_and_no_end(parts: list[dict[str, object]]):
    """No synthesiser, too long, not there."""
    with pytest.raises((FaultySound, OSError)):
        render(parts, None)


# ── recordings ────────────────────────────────────────────────────────────────────────────────────────────────────────

WORDS = {"Số": "so.wav", "a": "a.wav", "một": "mot.wav", "quầy": "quay.wav", "năm": "nam.wav"}
SAID = Said("vi", "vi", ("Số", "a", ",", "một", ",", "quầy", "năm"))


def recorded(folder: Path, words: dict[str, str] = WORDS) -> None:
    """A pack in *folder*."""
    for name in words.values():
        (folder / name).write_bytes(sound.wav(tone(200)))
    lines = "\n".join(f'"{piece}" = "{name}"' for piece, name in words.items())
    (folder / MANIFEST).write_text(f'name = "Thử"\n[clips.vi]\n{lines}\n', "utf-8")


def test_a_phrase_is_put_together_from_recordings(tmp_path: Path):
    """In order, with rests."""
    recorded(tmp_path)
    pack = load_clips(tmp_path)

    assert ((), []) == (pack.faults, pack.missing(SAID))
    names = [part if isinstance(part, int) else part.path.name for part in pack.parts(SAID)]
    assert ["so.wav", 40, "a.wav", 40, 280, "mot.wav", 40, 280, "quay.wav", 40, "nam.wav", 40] == names


def test_words_typed_with_accents_apart_are_the_same_words(tmp_path: Path):
    """A manifest from any machine."""
    recorded(tmp_path)
    manifest = (tmp_path / MANIFEST).read_text("utf-8")

    (tmp_path / MANIFEST).write_text(unicodedata.normalize("NFD", manifest), "utf-8")

    assert [] == load_clips(tmp_path).missing(SAID)


def test_a_phrase_with_a_word_nobody_recorded_is_known(tmp_path: Path):
    """And in a language without recordings all of it."""
    recorded(tmp_path, {piece: name for piece, name in WORDS.items() if piece != "năm"})
    pack = load_clips(tmp_path)

    assert ["năm"] == pack.missing(SAID)
    assert 5 == len(pack.missing(SAID._replace(language="en")))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is no WAV file"),
        (wav_of(1, 16, 48_000), "at 48000 Hz"),
        (sound.wav(sound.silence(300)), "is silent"),
        (sound.wav(tone(20)), "is shorter than 40 ms"),
        (sound.wav(sound.scaled(tone(300, 1.0), 3)), "recorded too loud"),
        (None, "No such file"),
    ],
)
def test_a_recording_that_cannot_be_used_is_told_and_left_out(tmp_path: Path, content: bytes | None, sentence: str):
    """With its language, words and file; the others are used."""
    recorded(tmp_path)
    (tmp_path / "nam.wav").unlink()
    if content is not None:
        (tmp_path / "nam.wav").write_bytes(content)
    pack = load_clips(tmp_path)

    (fault,) = pack.faults
    assert "vi “năm”: nam.wav" in fault
    assert sentence in fault
    assert ["năm"] == pack.missing(SAID)


@pytest.mark.parametrize("name", ["../outside.wav", "/etc/hostname"])
def test_a_manifest_cannot_reach_out_of_its_folder(tmp_path: Path, name: str):
    """Whatever it names."""
    inside = tmp_path / "pack"
    inside.mkdir()
    (tmp_path / "outside.wav").write_bytes(sound.wav(tone(200)))
    recorded(inside)
    manifest = (inside / MANIFEST).read_text("utf-8")
    (inside / MANIFEST).write_text(manifest.replace("nam.wav", name), "utf-8")

    assert "lies outside of the folder" in load_clips(inside).faults[0]


@pytest.mark.parametrize("manifest", [None, b"\xff", b"name", b'name = "x"', b'name = "x"\n[clips]\nvi = "a"'])
def test_a_faulty_manifest_is_told_and_nothing_is_used(tmp_path: Path, manifest: bytes | None):
    """A folder without one, too."""
    if manifest is not None:
        (tmp_path / MANIFEST).write_bytes(manifest)
    pack = load_clips(tmp_path)

    assert 1 == len(pack.faults)
    assert MANIFEST in pack.faults[0]
    assert {} == pack.clips
