"""
How long a centre's voice speaks at its busiest: seconds of each announcement, and the share of an hour they fill.

Pure; `check-centre` prints it.  The busiest hour is that in which every counter of a loudspeaker always has somebody,
each for the mean time of its own services: no file of a centre can ask for more calls than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from displays.announcer import CHIME_MS, GAP_MS, loudspeakers
from displays.speech import Call, Form, Pack, Speech, estimate_ms, speech_of
from queue_service.centre import Centre, Counter

HOUR_S: Final = 3_600


class Announcement(NamedTuple):
    """What one announcement takes, chime and silence included."""

    language: str
    repeated_s: float
    once_s: float
    short_s: float


class Load(NamedTuple):
    """A loudspeaker at its busiest; the shares are of an hour, 1 for all of it."""

    zones: tuple[str, ...]
    calls_an_hour: float
    repeated: float
    once: float
    short: float


def announcements(centre: Centre, packs: Mapping[str, Pack]) -> list[Announcement]:
    """Seconds of a usual announcement, for a ticket of each language of the centre."""
    speech = speech_of(centre, packs)
    return [Announcement(tongue.pack.language, *_seconds(speech, tongue.pack.language)) for tongue in speech.tongues]


def loads(centre: Centre, packs: Mapping[str, Pack]) -> list[Load]:
    """Each loudspeaker at its busiest, with tickets of the first language."""
    first = announcements(centre, packs)[:1]
    return [
        Load(tuple(sorted(zones)), calls, *(calls * seconds / HOUR_S for seconds in first[0][1:]))
        for zones, _ in loudspeakers(centre)
        for calls in [sum(_calls_an_hour(centre, counter) for counter in centre.counters if counter.zone in zones)]
        if first
    ]


def voice_table(centre: Centre, packs: Mapping[str, Pack]) -> Iterator[str]:
    """The time budget in lines for people, with what gives way where it does not suffice."""
    if not centre.voice.enabled:
        yield "voice: none; boards ring"
        return
    head = f"{f'said {centre.voice.repeats}×':>8} {'once':>8} {'short':>8}"
    yield f"\n{'voice':<10} {'':>8} {head}   seconds, about"
    for said in announcements(centre, packs):
        yield f"{said.language:<10} {'':>8} {said.repeated_s:>8.1f} {said.once_s:>8.1f} {said.short_s:>8.1f}"
    yield f"{'zones':<10} {'calls/h':>8} {head}   of the busiest hour"
    for load in loads(centre, packs):
        shares = " ".join(f"{share:>8.0%}" for share in (load.repeated, load.once, load.short))
        yield f"{' '.join(load.zones):<10} {load.calls_an_hour:>8.0f} {shares}{_verdict(load)}"


def _verdict(load: Load) -> str:
    """What gives way at this loudspeaker when it is busiest."""
    if load.short > 1:
        return "   TOO MANY: some calls are only shown; give the zones loudspeakers of their own"
    if load.once > 1:
        return "   number and counter only at the busiest; loudspeakers for each zone would help"
    if load.repeated > 1:
        return "   no repetition at the busiest"
    return ""


def _seconds(speech: Speech, language: str) -> tuple[float, float, float]:
    voice = speech.centre.voice
    letter, counter = speech.centre.departments[0].letter, max(speech.centre.counters, key=lambda one: one.number)

    def words_ms(form: Form) -> int:
        said = speech.said(Call(1, 1, f"{letter}025", counter.id, 0, 1, language), form)
        return estimate_ms(said, voice.rate)

    around_ms = (CHIME_MS if voice.chime else 0) + GAP_MS
    full_ms, short_ms = words_ms("full"), words_ms("short")
    repeated_ms = around_ms + full_ms + (voice.repeats - 1) * (full_ms + GAP_MS)
    return repeated_ms / 1000, (around_ms + full_ms) / 1000, (around_ms + short_ms) / 1000


def _calls_an_hour(centre: Centre, counter: Counter) -> float:
    own = [line.service for line in counter.serves if line.level == 1] or [line.service for line in counter.serves]
    return HOUR_S / (sum(centre.service(service).mean_service_s for service in own) / len(own))
