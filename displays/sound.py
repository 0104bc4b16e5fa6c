"""
Sound as bytes: 16-bit mono samples at 22 050 Hz, put together from speech, recordings and silence.

Pure: it knows no synthesiser, no file and no loudspeaker.  Feeds the synthesiser's process, which has the time for it,
and the player of the hall's amplifier.  WAV is little-endian, as every machine we run on.
"""

from __future__ import annotations

import io
import math
import wave
from array import array
from typing import Final

RATE: Final = 22_050
"""Samples a second."""
LEVEL: Final = 0.12
"""Root mean square of what is spoken, of full scale: -18 dB, so that every voice and recording is as loud."""
PEAK: Final = 0.89
"""No sample is larger: -1 dB."""
QUIET: Final = 0.012
"""What is softer is a pause, not speech."""
LONGEST_MS: Final = 30_000
FRAME: Final = RATE // 50

_FULL: Final = 32_767

# The two notes of the chime, as the pages play them (queue_service/web/shared/chime.ts).
CHIME_NOTES: Final = ((659.25, 0.0), (523.25, 0.42))
CHIME_PARTIALS: Final = ((1, 1.0), (2, 0.22))
CHIME_LEVEL: Final = 0.28
CHIME_RISE_S: Final = 0.015
CHIME_FALL_S: Final = 1.3


class FaultySound(ValueError):
    """These bytes are no sound that we can use; the text says why."""


def wav(samples: array[int]) -> bytes:
    """*samples* as a WAV file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return out.getvalue()


def read_wav(content: bytes) -> array[int]:
    """
    The samples of a WAV file.

    Raises:
        FaultySound: it is no WAV, or not 16-bit mono at 22 050 Hz.
    """
    try:
        with wave.open(io.BytesIO(content), "rb") as file:
            form = file.getnchannels(), file.getsampwidth() * 8, file.getframerate()
            if form != (1, 16, RATE):
                channels, bits, rate = form
                raise FaultySound(f"has {channels} channels of {bits} bits at {rate} Hz, not 1 of 16 at {RATE}")
            if file.getnframes() > RATE * LONGEST_MS // 1000:
                raise FaultySound(f"is longer than {LONGEST_MS // 1000} seconds")
            samples = array("h")
            samples.frombytes(file.readframes(file.getnframes()))
    except (wave.Error, EOFError, ValueError) as error:
        if isinstance(error, FaultySound):
            raise
        raise FaultySound(f"is no WAV file: {error or 'it ends too early'}") from error
    return samples


def length_ms(samples: array[int]) -> int:
    """How long they take."""
    return round(len(samples) * 1000 / RATE)


def silence(ms: int) -> array[int]:
    """*ms* milliseconds of nothing."""
    return array("h", bytes(2 * (RATE * ms // 1000)))


def rms(samples: array[int]) -> float:
    """Root mean square of what is not a pause, of full scale; 0 for silence."""
    floor = (QUIET * _FULL) ** 2
    total, count = 0, 0
    for start in range(0, len(samples), FRAME):
        frame = samples[start : start + FRAME]
        power = sum(sample * sample for sample in frame)
        if power > floor * len(frame):
            total += power
            count += len(frame)
    return math.sqrt(total / count) / _FULL if count else 0.0


def trimmed(samples: array[int]) -> array[int]:
    """Without the silence before and after."""
    floor = int(QUIET * _FULL)
    first = next((at for at, sample in enumerate(samples) if abs(sample) > floor), len(samples))
    last = next((at for at in range(len(samples) - 1, -1, -1) if abs(samples[at]) > floor), -1)
    return samples[max(0, first - FRAME // 2) : last + 1 + FRAME // 2]


def levelled(samples: array[int]) -> array[int]:
    """
    As loud as everything else that is spoken, and nowhere too loud.

    Raises:
        FaultySound: there is nothing to hear.
    """
    level = rms(samples)
    if not level:
        raise FaultySound("is silent")
    loudest = max(max(samples), -min(samples)) / _FULL
    return scaled(samples, min(LEVEL / level, PEAK / loudest))


def scaled(samples: array[int], gain: float) -> array[int]:
    """Louder or softer; what would be too large is cut."""
    return array("h", [max(-_FULL, min(_FULL, round(sample * gain))) for sample in samples])


def mixed(first: array[int], second: array[int], after_ms: int) -> array[int]:
    """*second* begins *after_ms* into *first*."""
    start = RATE * after_ms // 1000
    out = array("h", first)
    out.extend(silence(max(0, length_ms(second) + after_ms - length_ms(first)) + 1))
    for at, sample in enumerate(second, start):
        out[at] = max(-_FULL, min(_FULL, out[at] + sample))
    return out


def chime() -> array[int]:
    """Two soft notes."""
    end_s = CHIME_NOTES[-1][1] + CHIME_FALL_S
    out = array("h", bytes(2 * round(RATE * end_s)))
    for frequency, start_s in CHIME_NOTES:
        start = round(RATE * start_s)
        for at in range(round(RATE * CHIME_FALL_S)):
            t = at / RATE
            tone = sum(share * math.sin(2 * math.pi * frequency * n * t) for n, share in CHIME_PARTIALS)
            out[start + at] += round(_FULL * tone * _envelope(t))
    return out


def _envelope(t: float) -> float:
    """A quick rise and an exponential fall, as Web Audio ramps them."""
    if t < CHIME_RISE_S:
        return CHIME_LEVEL * t / CHIME_RISE_S
    share = (t - CHIME_RISE_S) / (CHIME_FALL_S - CHIME_RISE_S)
    return CHIME_LEVEL * math.pow(0.001 / CHIME_LEVEL, share)
