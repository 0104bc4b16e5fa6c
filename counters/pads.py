"""
The agent for call pads: five keys and two rows of letters at a counter, over serial lines, RS-485 and TCP.

Pads are asked in turn and say which key was pressed, with a number, so that a repeated answer is no second press.  A
key is a finger: it strikes the same `desk` as the terminal console does, as the officer whose session the token file
holds, and the desk keeps the press until it is answered.  It knows no rule of the hall; refusals are shown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import structlog

from counters.client import CounterClient, Unanswered
from counters.desk import Desk, link_of, read_building
from counters.memory import Held, Keep
from counters.pad_file import PadEntry, PadFile
from counters.picture import label, sentence, stopwatch, wrap
from counters.press import INVITING, Button, CounterView, PressReply, rings_left
from queue_service.device_file import PortEntry, read_secret
from queue_service.device_frames import Frame, plain, question, read_answer
from queue_service.device_port import ANSWER_S, FIRST_PAUSE_S, Pause, Port, keep_open
from queue_service.errors import Later, NotSignedIn, QueueError
from queue_service.follower import FIRST_RETURN_S
from queue_service.texts import t, tn
from queue_service.tickets import State

POLL_S: Final = 0.1
SAME_STRIKE_S: Final = 0.6
"""The same key again within this time is the same strike."""
SAID_S: Final = 8.0
"""How long a refusal stands before the number returns."""
PAGE_S: Final = 1.5
"""How long each row of a longer sentence stands."""
SILENT_PAUSE_S: Final = 0.5
MOST_SILENT_PAUSE_S: Final = 5.0
LOOK_FOR_TOKEN_S: Final = 5.0

log = structlog.get_logger(__name__)


class Lamp:
    """What the lamp of a pad says."""

    DARK: Final = "0"
    ON: Final = "1"
    """A visitor is at the counter."""
    SLOW: Final = "2"
    """Somebody waits, and the counter is free."""
    FAST: Final = "3"
    """Look at me: a refusal, a press that nobody answers, a lost link."""


class Pad:
    """One pad and the desk behind it."""

    def __init__(
        self,
        entry: PadEntry,
        file: PadFile,
        session: aiohttp.ClientSession,
        *,
        changed: Callable[[], None],
        first_return_s: float,
        look_s: float,
    ) -> None:
        self.entry = entry
        self.pause = Pause(SILENT_PAUSE_S, MOST_SILENT_PAUSE_S)
        self.due_s = 0.0
        self.is_silent = False
        self.shown: tuple[tuple[str, ...], str] | None = None
        """The rows and the lamp that the pad is known to show."""
        self.turn = 0
        self.keep = Keep(Path(file.state_dir), file.service, file.centre, entry.id)
        self.taken = self.keep.read().taken
        self._file, self._session, self._changed = file, session, changed
        self._first_return_s, self._look_s = first_return_s, look_s
        self._desk: Desk | None = None
        self._ended = asyncio.Event()
        self._said: tuple[str, float] = "", 0.0
        self._why_not = ""
        self._struck: tuple[Button | None, float] = None, 0.0

    # ── who presses ──────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Be the officer whose session the token file holds, and again when another one is written there."""
        while True:
            try:
                await self._sit(await asyncio.to_thread(read_secret, Path(self.entry.token_file)))
            except (OSError, ValueError) as error:
                self._give_up(t(self.entry.language, "pad.no-token"), str(error))
            except NotSignedIn:
                self._give_up(t(self.entry.language, "pad.signed-out"), "the session has ended")
            except (Unanswered, Later):
                self._give_up(t(self.entry.language, "pad.no-answer"), "the service does not answer")
            except QueueError as refusal:
                self._give_up(sentence(self.entry.language, refusal.code), f"{refusal} ({refusal.code})")
            await asyncio.sleep(self._look_s)

    async def _sit(self, token: str) -> None:
        """Work with *token* until its session ends."""
        client = CounterClient(
            self._file.service, self._file.centre, self.entry.counter,
            session=self._session, token=token, deadline_s=0.0,
        )  # fmt: skip
        building = await read_building(client)
        officer = msgspec.json.decode(await client.read("/session"), type=_SessionView).user.name
        self._ended.clear()
        failures: list[BaseException] = []
        desk = Desk(
            client,
            link_of(client, self._session, self._first_return_s),
            building,
            officer,
            self.keep,
            changed=self._on_change,
            refused=self._on_refusal,
            done=self._on_done,
        )

        def failed(error: BaseException) -> None:
            failures.append(error)
            self._ended.set()

        self._desk, self._why_not = desk, ""
        desk.start(failed)
        log.info("pad signed in", pad=self.entry.id, officer=officer, counter=self.entry.counter)
        try:
            await self._ended.wait()
        finally:
            self._desk = None
            await desk.stop()
        if failures:
            raise failures[0]
        raise NotSignedIn("the session has ended")

    def _give_up(self, why: str, reason: str) -> None:
        if why != self._why_not:
            log.warning("pad not at work", pad=self.entry.id, why=reason)
        self._why_not = why
        self._changed()

    def _on_change(self) -> None:
        if self._desk is not None and self._desk.is_signed_out:
            self._ended.set()
        self._changed()

    def _on_refusal(self, held: Held, refusal: QueueError) -> None:
        log.info("press refused", pad=self.entry.id, press=held.button, code=refusal.code)
        self._say(sentence(self.entry.language, refusal.code))

    def _on_done(self, _held: Held, _reply: PressReply) -> None:
        self._said = "", 0.0

    def _say(self, text: str) -> None:
        self._said = text, time.monotonic()
        self._changed()

    # ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def take(self, number: int, key: int) -> None:
        """
        Key *key*, 1 to 5, was pressed, and it is the one with *number*.

        The number is remembered first: should the agent be killed here, a press is missing, which the officer sees, and
        none is done twice.
        """
        if number == self.taken:
            return
        self.taken = number
        self.keep.change(taken=number)
        desk = self._desk
        if desk is None or desk.view is None:
            self._say(self._why_not or t(self.entry.language, "pad.no-answer"))
            return
        button = self._meant(desk.view, key)
        now_s = time.monotonic()
        is_same = button == self._struck[0] and now_s - self._struck[1] < SAME_STRIKE_S
        if button is None or desk.held is not None or is_same:
            return
        self._struck = button, now_s
        missing = rings_left(desk.view, desk.building.policy.calls_before_no_show)
        if desk.lost_to is not None:
            self._say(t(self.entry.language, "console.not-your-seat"))
        elif button is Button.NO_SHOW and missing:
            self._say(t(self.entry.language, "console.no-show-early", n=missing))
        elif button not in desk.live:
            self._say(self._why_dead(desk.view, button))
        else:
            desk.strike(button)

    def _meant(self, view: CounterView, key: int) -> Button | None:
        wish = self.entry.keys[key - 1]
        match wish:
            case "nothing":
                return None
            case "next":
                is_open = view.ticket is not None or view.counter.state in ("open", "draining")
                return Button.CALL_NEXT if is_open else Button.OPEN
            case "serve":
                is_called = view.ticket is not None and view.ticket.state is State.CALLED
                return Button.START if is_called else Button.COMPLETE
            case _:
                return Button(wish)

    def _why_dead(self, view: CounterView, button: Button) -> str:
        """Why a press that makes no sense now is not even sent: the sentence that the service's refusal has."""
        if view.ticket is not None:
            key = "shared.refused-counter-busy" if button in INVITING else "shared.refused-wrong-state"
        else:
            key = {"closed": "shared.refused-counter-closed", "paused": "shared.refused-counter-paused"}.get(
                view.counter.state, "shared.refused-counter-idle"
            )
        return t(self.entry.language, key)

    # ── what it shows ────────────────────────────────────────────────────────────────────────────────────────────

    def face(self) -> tuple[tuple[str, ...], str]:
        """The two rows and the lamp, now."""
        desk = self._desk
        if desk is None or desk.view is None:
            return self._rows("----", self._why_not), Lamp.FAST
        said, said_s = self._said
        is_said = said and time.monotonic() - said_s < SAID_S
        first = self._first(desk, desk.view)
        if desk.unanswered_since_ms is not None and desk.held is not None:
            kept = t(self.entry.language, "pad.kept", what=label(self.entry.language, Button(desk.held.button)))
            return self._rows(first, kept), Lamp.FAST
        if is_said:
            return self._rows(first, said), Lamp.FAST
        if desk.lost_to is not None:
            return self._rows(first, t(self.entry.language, "console.not-your-seat")), Lamp.FAST
        if desk.lost_since_ms is not None:
            since = desk.building.clock(desk.lost_since_ms + desk.offset_ms)
            return self._rows(first, t(self.entry.language, "pad.lost", time=since)), Lamp.FAST
        waiting = sum(line.waiting for line in desk.view.lines)
        second = tn(self.entry.language, "console.waiting", waiting)
        if desk.view.ticket is not None:
            return self._rows(first, second), Lamp.ON
        return self._rows(first, second), Lamp.SLOW if waiting and desk.view.counter.state == "open" else Lamp.DARK

    def _first(self, desk: Desk, view: CounterView) -> str:
        if view.ticket is None:
            return t(self.entry.language, f"console.state-{view.counter.state}")
        is_serving = view.ticket.state is State.SERVING
        if not is_serving:
            return f"{view.ticket.number} {t(self.entry.language, 'console.called')}"
        minutes = max(0, (desk.now_ms - (view.ticket.started_at_ms or desk.now_ms)) // 60_000)
        return f"{view.ticket.number} {stopwatch(minutes * 60)}"

    def _rows(self, first: str, second: str) -> tuple[str, ...]:
        """Cut to the display; a sentence that is longer than a row is shown row after row."""
        columns = self.entry.columns
        pages = wrap(plain(second), columns)
        page = pages[int(time.monotonic() / PAGE_S) % len(pages)]
        return plain(first)[:columns].rstrip(), page.replace("…", "")[:columns].rstrip()


class PadPort:
    """One port and its pads: each is asked in turn, and told what has changed."""

    def __init__(self, entry: PortEntry, pads: list[Pad], *, answer_s: float, first_pause_s: float) -> None:
        self.pads = pads
        self._entry, self._answer_s = entry, answer_s
        self._pause = Pause(first_pause_s)

    async def run(self) -> None:
        """Keep the port open, for ever."""
        await keep_open(self._entry.address, self._entry.baud, self, self._pause)

    def opened(self) -> None:
        """As in Owner."""
        log.info("port open", port=self._entry.id, address=self._entry.address)

    def lost(self, why: str, *, is_news: bool) -> None:
        """As in Owner."""
        for pad in self.pads:
            pad.shown = None
        if is_news:
            log.warning("port lost", port=self._entry.id, address=self._entry.address, why=why)

    async def serve(self, port: Port) -> None:
        """As in Owner."""
        while True:
            for pad in self.pads:
                if pad.due_s <= time.monotonic():
                    await self._ask_pad(port, pad)
            next_s = min(pad.due_s for pad in self.pads)
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))

    async def _ask_pad(self, port: Port, pad: Pad) -> None:
        """Any key?  Then what it shows, if that has changed."""
        taken = "" if pad.taken is None else f"{pad.taken:02X}"
        said = await self._ask(port, pad, "P", taken)
        if said is None:
            pad.shown = None
            pad.due_s = time.monotonic() + pad.pause.next_s()
            if not pad.is_silent:
                log.warning("pad silent", pad=pad.entry.id, port=self._entry.id)
            pad.is_silent = True
            return
        if pad.is_silent:
            log.info("pad back", pad=pad.entry.id)
        pad.is_silent = False
        pad.pause.reset()
        self._pause.reset()
        pad.due_s = time.monotonic() + POLL_S
        if said.command == "K" and (pressed := _key(said.text)) is not None:
            pad.take(*pressed)
            pad.due_s = 0.0  # the pad hears at once that its key was taken
        face = pad.face()
        if face == pad.shown:
            return
        rows, lamp = face
        text = "00" + "|".join(row.replace("|", "/") for row in rows)
        is_shown = (
            await self._ask(port, pad, "D", text) is not None and await self._ask(port, pad, "G", lamp) is not None
        )
        pad.shown = face if is_shown else None

    async def _ask(self, port: Port, pad: Pad, command: str, text: str) -> Frame | None:
        """What the pad answers, or None."""
        pad.turn = (pad.turn + 1) % 10
        await port.tell(question(Frame(pad.entry.address, pad.turn, command, text)))
        end_s = time.monotonic() + self._answer_s
        while (left_s := end_s - time.monotonic()) > 0:
            line = await port.hear(left_s)
            said = read_answer(line) if line is not None else None
            if said is not None and (said.address, said.turn) == (pad.entry.address, pad.turn):
                return said
        return None


def _key(text: str) -> tuple[int, int] | None:
    """The number and the key of an answer K, or None when it says neither."""
    try:
        number, key = int(text[:2], 16), int(text[2:])
    except ValueError:
        return None
    return (number, key) if len(text) == 3 and 1 <= key <= 5 else None


async def run(
    file: PadFile,
    session: aiohttp.ClientSession,
    *,
    answer_s: float = ANSWER_S,
    first_pause_s: float = FIRST_PAUSE_S,
    first_return_s: float = FIRST_RETURN_S,
    look_s: float = LOOK_FOR_TOKEN_S,
) -> None:
    """Drive every pad of *file*, until cancelled."""
    pads = [
        Pad(entry, file, session, changed=_nothing, first_return_s=first_return_s, look_s=look_s) for entry in file.pads
    ]
    async with asyncio.TaskGroup() as group:
        for pad in pads:
            group.create_task(pad.run())
        for entry in file.ports:
            mine = [pad for pad in pads if pad.entry.port == entry.id]
            if mine:
                port = PadPort(entry, mine, answer_s=answer_s, first_pause_s=first_pause_s)
                group.create_task(port.run())


def _nothing() -> None:
    """Pads are asked ten times a second; what has changed is seen then."""


class _User(msgspec.Struct, frozen=True):
    name: str


class _SessionView(msgspec.Struct, frozen=True):
    user: _User
