"""
The voice of the halls: calls become turns, turns become sounds, and all boards of a loudspeaker play them together.

For each centre that a board watches it hears the events, keeps one announcer for the zones that share a loudspeaker,
has the sounds made ahead, and tells the boards at the moment when each should begin.  It holds no rule of its own:
what is said is `speech.py`, when is `announcer.py`, how it sounds is `synthesis.py`.  A sound that cannot be had is
counted; the boards ring, and the next call is spoken.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from displays import metrics
from displays.announcer import Announcer, Skipped, Turn, loudspeakers
from displays.clips import NO_CLIPS, Clip, ClipPack, load_clips
from displays.hall import CALLS, Event
from displays.hub import Hub
from displays.speech import Call, Form, Pack, Said, Speech, estimate_ms, speech_of
from displays.synthesis import NoSound, Part, Sound, Sounds
from queue_service.centre import Centre
from queue_service.clock import Clock
from queue_service.errors import NotFound, QueueError

SOUND_S: Final = 3.0
"""How long a turn waits for its sound; it was asked for when the call came."""
LISTENERS_S: Final = 0.25
"""How often boards that speak are looked for while a call waits and none is there."""
AGAIN_S: Final = 2.0
"""How soon a centre that could not be read is read again."""
BETWEEN_PHRASES_MS: Final = 450
PREPARED_LIMIT: Final = 512

SETTLES: Final = frozenset(
    {"ServiceStarted", "TicketServed", "TicketNoShow", "TicketParked", "TicketTransferred", "StepUndone"}
)
"""After these a call needs no voice any more."""

FORMS: Final[Mapping[str, Form]] = {"f": "full", "s": "short"}
"""How a sound's name says its form: names are as short as everything in an address."""

_SOUND_NAME = re.compile(r"([0-9]{1,13})-([fs])-([0-9a-f]{16})")

log = logging.getLogger(__name__)

ReadCentre = Callable[[str], Awaitable[Centre]]
"""The configuration in force.  Raises a QueueError when it cannot be read."""


@dataclass(eq=False)
class _Loudspeaker:
    """Zones whose calls must never sound at the same time, the boards that speak them, and what is next."""

    zones: frozenset[str]
    boards: frozenset[str]
    announcer: Announcer
    signal: asyncio.Event = field(default_factory=asyncio.Event)


class Voices:
    """
    The voices of all centres that boards of this process watch.

    Args:
        packs: language -> how it is spoken.
        clips: folder of the centres' recordings, one folder a pack.
    """

    def __init__(
        self, hub: Hub, clock: Clock, read_centre: ReadCentre, packs: Mapping[str, Pack], sounds: Sounds, clips: Path
    ) -> None:
        self.hub = hub
        self.clock = clock
        self.read_centre = read_centre
        self.packs = packs
        self.sounds = sounds
        self.clips = clips
        self._halls: dict[str, _HallVoice] = {}

    def follow(self, centre: str) -> None:
        """A board of *centre* is here: its calls are spoken from now on."""
        if centre not in self._halls and not self.hub.is_closing:
            self._halls[centre] = _HallVoice(self, centre)

    async def sound(self, centre: str, name: str) -> Path:
        """
        The file of a sound that a turn named; made here when another process has told the board of it.

        Raises:
            NotFound: no call that this process remembers sounds so.
        """
        match = _SOUND_NAME.fullmatch(name)
        if match is not None:
            if (found := self.sounds.find(match[3])) is not None:
                return found.path
            self.follow(centre)
            made = await self._halls[centre].made_again(int(match[1]), FORMS[match[2]], match[3])
            if made is not None:
                return made.path
        raise NotFound("there is no such sound")

    def words(self) -> str:
        """What can be spoken, for whoever starts the process."""
        synthesis = self.sounds.synthesis
        if synthesis.engine is None:
            return f"none: boards ring, and only recordings are spoken ({synthesis.why_silent})"
        return f"{synthesis.engine}; {', '.join(self.packs)}"

    async def stop(self) -> None:
        """End all voices."""
        await asyncio.gather(*(hall.stop() for hall in self._halls.values()))
        await self.sounds.stop()


class _HallVoice:
    """One centre's voice."""

    def __init__(self, voices: Voices, centre: str) -> None:
        self._voices = voices
        self._id = centre
        self._speech: Speech | None = None
        self._clips: ClipPack = NO_CLIPS
        self._loudspeakers: list[_Loudspeaker] = []
        self._heard = -1
        """Rings up to this event have been offered."""
        self._prepared: dict[tuple[int, Form], int] = {}
        """Milliseconds of the sounds that were made ahead."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._speaking: list[asyncio.Task[None]] = []
        self._unlisten: Callable[[], None] = lambda: None
        self._ready_signal = asyncio.Event()
        self._spawn(self._begin(), "begins")

    async def stop(self) -> None:
        """Say nothing more."""
        self._unlisten()
        tasks = [*self._tasks, *self._speaking]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def made_again(self, seq: int, form: Form, digest: str) -> Sound | None:
        """The sound that another process made for the ring *seq*, if it sounds the same here."""
        try:
            async with asyncio.timeout(SOUND_S):
                await self._ready_signal.wait()
                event = self._voices.hub.event(self._id, seq)
                if event is None or event["type"] not in CALLS:
                    return None
                parts = self._parts(self._said(_call(event), form))
                return await self._voices.sounds.get(parts) if self._voices.sounds.digest(parts) == digest else None
        except (TimeoutError, NoSound):
            return None

    # ── what the hall does ───────────────────────────────────────────────────────────────────────────────────────────

    async def _begin(self) -> None:
        """Read the centre, listen, and say what was called in the last seconds, as far as boards have not said it."""
        while True:
            try:
                await self._configure()
                self._unlisten = await self._voices.hub.listen(self._id, self._hear)
            except QueueError as error:
                log.info("the voice of %s waits: %s", self._id, error)
                await asyncio.sleep(AGAIN_S)
            else:
                break
        self._catch_up()

    def _hear(self, event: Event | None) -> None:
        """One event of the centre, in order; None: the order began anew."""
        if event is None:
            self._heard = -1
            for loudspeaker in self._loudspeakers:
                _count(loudspeaker.announcer.clear())
            self._catch_up()
        elif event["type"] in CALLS:
            self._offer(event)
        elif event["type"] in SETTLES:
            for loudspeaker in self._loudspeakers:
                _count(loudspeaker.announcer.settle(event["counter"], event["number"]))
        elif event["type"] == "DayAdvanced":
            for loudspeaker in self._loudspeakers:
                _count(loudspeaker.announcer.clear())
        elif event["type"] == "CentreChanged":
            self._spawn(self._reconfigure(), "reads its centre again")

    def _catch_up(self) -> None:
        """Offer what rang a moment ago: a board that was there has said it and says it no second time."""
        if self._speech is not None:
            oldest_ms = self._voices.clock.now_ms() - self._speech.centre.voice.late_s * 1000
            for event in self._voices.hub.recent(self._id):
                if event["type"] in CALLS and event["at_ms"] >= oldest_ms:
                    self._offer(event)
                elif event["type"] in SETTLES:
                    for loudspeaker in self._loudspeakers:
                        _count(loudspeaker.announcer.settle(event["counter"], event["number"]))

    def _offer(self, event: Event) -> None:
        if event["seq"] <= self._heard or self._speech is None:
            return
        self._heard = event["seq"]
        call = _call(event)
        try:
            zone = self._speech.centre.counter(call.counter).zone
        except QueueError:  # of a counter that a newer configuration has
            return
        for loudspeaker in self._loudspeakers:
            if zone in loudspeaker.zones:
                skipped = loudspeaker.announcer.offer(call, self._voices.clock.now_ms())
                if skipped is not None:
                    _count([skipped])
                    continue
                self._spawn(self._prepare(call, "full"), "prepares")
                if loudspeaker.announcer.waiting > 1:
                    self._spawn(self._prepare(call, "short"), "prepares")
                loudspeaker.signal.set()

    # ── the building ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _configure(self) -> None:
        """Take the centre in force; what waits to be spoken goes on waiting."""
        centre = await self._voices.read_centre(self._id)
        if self._speech is not None and self._speech.centre.version == centre.version:
            return
        folder = self._voices.clips / centre.voice.clip_pack
        clips = await asyncio.to_thread(load_clips, folder) if centre.voice.clip_pack else NO_CLIPS
        for fault in clips.faults:
            log.warning("a recording of %s cannot be used: %s", self._id, fault)
        for task in self._speaking:
            task.cancel()
        waiting = [skipped.call for loudspeaker in self._loudspeakers for skipped in loudspeaker.announcer.clear()]
        free_ms = max((loudspeaker.announcer.free_ms for loudspeaker in self._loudspeakers), default=0)
        self._speech, self._clips = speech_of(centre, self._voices.packs), clips
        self._prepared.clear()
        self._loudspeakers = [
            _Loudspeaker(zones, boards, Announcer(centre.voice, free_ms)) for zones, boards in loudspeakers(centre)
        ]
        for call in waiting:
            for loudspeaker in self._loudspeakers:
                if centre.counter(call.counter).zone in loudspeaker.zones:
                    loudspeaker.announcer.offer(call, self._voices.clock.now_ms())
        self._speaking = [
            asyncio.create_task(self._speak(loudspeaker), name=f"displays voice {self._id}")
            for loudspeaker in self._loudspeakers
        ]
        self._ready_signal.set()

    async def _reconfigure(self) -> None:
        while True:
            try:
                await self._configure()
            except QueueError as error:
                log.info("the voice of %s keeps its old configuration: %s", self._id, error)
                await asyncio.sleep(AGAIN_S)
            else:
                return

    # ── speaking ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _speak(self, loudspeaker: _Loudspeaker) -> None:
        """Turn after turn, for as long as the configuration holds."""
        announcer, hub, clock = loudspeaker.announcer, self._voices.hub, self._voices.clock
        while True:
            loudspeaker.signal.clear()
            now_ms = clock.now_ms()
            is_heard = bool(hub.speakers(self._id, loudspeaker.boards))
            turn, skipped = announcer.next(now_ms, self._length, is_heard=is_heard)
            _count(skipped)
            if turn is not None:
                try:
                    await self._carry_out(loudspeaker, turn)
                except Exception:
                    log.exception("call %s of %s is not spoken", turn.call.number, self._id)
                    metrics.VOICE_FAILED.labels("internal").inc()
                continue
            wake_ms = announcer.wake_ms(now_ms)
            pause_s = None if wake_ms is None else max(0.001, (wake_ms - now_ms) / 1000)
            if not is_heard and announcer.waiting:
                pause_s = LISTENERS_S if pause_s is None else min(pause_s, LISTENERS_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await loudspeaker.signal.wait()

    async def _carry_out(self, loudspeaker: _Loudspeaker, turn: Turn) -> None:
        """Have the sound, and tell the boards to begin."""
        assert self._speech is not None
        call, voice = turn.call, self._speech.centre.voice
        sound = await self._sound(turn)
        now_ms = self._voices.clock.now_ms()
        ms = loudspeaker.announcer.begin(turn, now_ms, sound.ms if sound is not None else 0)
        if sound is None and not turn.chime:
            return
        metrics.VOICE_TURNS.labels("chime" if sound is None else "repeat" if turn.turn > 1 else turn.form).inc()
        if turn.turn == 1:
            metrics.VOICE_LAG.observe(max(0, now_ms - call.at_ms) / 1000)
        name = None if sound is None else f"sounds/{call.seq}-{turn.form[0]}-{sound.digest}"
        said: dict[str, Any] = {"seq": call.seq, "turn": turn.turn, "number": call.number, "counter": call.counter}
        said |= {"chime": turn.chime, "sound": name, "ms": ms}
        self._voices.hub.speak(self._id, loudspeaker.boards, said | {"volume": voice.volume / 100})

    async def _sound(self, turn: Turn) -> Sound | None:
        """The words of *turn*, or None when the boards can only ring."""
        said = self._said(turn.call, turn.form)
        if not said:
            _count([Skipped(turn.call, "unreadable")])
            return None
        if self._clips is not NO_CLIPS:
            metrics.VOICE_CLIPS_MISSING.inc(sum(bool(self._clips.missing(phrase)) for phrase in said))
        parts = self._parts(said)
        if self._voices.sounds.synthesis.is_mute and any("text" in part for part in parts):
            return None
        try:
            async with asyncio.timeout(SOUND_S):
                return await self._voices.sounds.get(parts)
        except (NoSound, TimeoutError) as error:
            log.warning("call %s of %s is not spoken: %s", turn.call.number, self._id, error or "no sound in time")
            metrics.VOICE_FAILED.labels("synthesis").inc()
            return None

    async def _prepare(self, call: Call, form: Form) -> None:
        """Have the sound made before its turn comes."""
        parts = self._parts(self._said(call, form))
        if parts and not self._voices.sounds.synthesis.is_mute:
            with suppress(NoSound):  # told when its turn comes
                self._prepared[call.seq, form] = (await self._voices.sounds.get(parts)).ms
                while len(self._prepared) > PREPARED_LIMIT:
                    del self._prepared[next(iter(self._prepared))]

    def _length(self, call: Call, form: Form) -> int:
        assert self._speech is not None
        known = self._prepared.get((call.seq, form))
        return estimate_ms(self._said(call, form), self._speech.centre.voice.rate) if known is None else known

    def _said(self, call: Call, form: Form) -> tuple[Said, ...]:
        assert self._speech is not None
        try:
            return self._speech.said(call, form)
        except QueueError:  # its counter is gone since
            return ()

    def _parts(self, said: Iterable[Said]) -> list[Part]:
        """*said* as the synthesiser's process takes it: recordings where all of a phrase is recorded."""
        assert self._speech is not None
        parts: list[Part] = []
        for phrase in said:
            if parts:
                parts.append({"pause": BETWEEN_PHRASES_MS})
            if self._clips.missing(phrase):
                parts.append({"text": phrase.text, "voice": phrase.voice, "rate": self._speech.centre.voice.rate})
            else:
                parts += (_clip_part(part) for part in self._clips.parts(phrase))
        return parts

    def _spawn(self, work: Any, what: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=f"displays voice of {self._id} {what}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _call(event: Event) -> Call:
    return Call(
        seq=event["seq"],
        call=event.get("call", event["seq"]),
        number=event["number"],
        counter=event["counter"],
        at_ms=event["at_ms"],
        rings=event.get("rings", 1),
        language=event.get("language"),
    )


def _clip_part(part: Clip | int) -> Part:
    return {"pause": part} if isinstance(part, int) else {"clip": str(part.path), "digest": part.digest}


def _count(skipped: Iterable[Skipped]) -> None:
    for one in skipped:
        metrics.VOICE_SKIPPED.labels(one.reason).inc()
