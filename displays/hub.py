"""
Which screens watch which hall: events come in from the feed, frames go out to every screen, and nobody waits for
anybody.

`publish` never awaits and writes nothing itself: it notes the event, and the following turns of the loop write it
out, at most SLICE sockets a turn, so that a press that arrives meanwhile is answered between two slices.  What is
pending when a screen's turn comes goes out in one write.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, Protocol

import msgspec

from displays import frames, metrics
from displays.frames import Close, Cursor, Wire
from displays.hall import CALLS, Confirmed, Event, Form, Hall, Numbered, ScreenState, Start
from displays.screen import FULL_BYTES, STUCK_S, Screen, State
from queue_service.clock import Clock
from queue_service.codec import read_event
from queue_service.errors import Overloaded, QueueError, StoreAway

SLICE: Final = 64
"""
Sockets written in one turn of the loop: 64 keeps a press's answer at 1-2 ms with 5,000 screens, all at once makes it
52 ms.
"""
TICK_S: Final = 3.0
RETRY_S: Final = 0.05
"""How often screens whose socket is full are looked at again."""
LINGER_S: Final = 30.0
"""How long a centre that nobody watches any more is still followed: a page that reloads comes back to a warm hall."""
OPEN_S: Final = 2.5
"""How long a screen waits for the store when its hall is not followed yet."""
REPLAY_LIMIT: Final = 5000
"""A cursor farther back than this gets a snapshot."""
REPLAYS_AT_ONCE: Final = 8
"""Reads of the store for old cursors that may be under way."""
CONFIRM_S: Final = 0.2
"""Confirmations are told to staff and to other processes together, this often."""
MISSING_S: Final = 6.0
"""A board that has not confirmed a call by then is named."""
CALLS_RETOLD: Final = 12
"""A console that comes is told of so many of the newest calls."""
NOTE_SCREENS_EVERY: Final = 2
"""Ticks between two notes of which boards have screens."""
BUILDS_TOLD: Final = 8
GOODBYE_S: Final = 3.0
"""How long all screens together may take to say goodbye when the process stops."""

_LIVE: Final = State.LIVE  # looked up once: an enum's member costs as much as the rest of the loop's tests

Word = Mapping[str, Any]
"""
What processes tell each other besides events, by ``kind``: ``confirmed`` (``calls``: [board, seq, spoken] each), and
``board`` (``board`` has other ``settings`` now).  ``unheard`` is said by nobody: words may have been missed.
"""

Expects = Callable[[str, str], Awaitable[Mapping[str, str]]]
"""Which boards should show a call of this centre at this counter, by id, with their names."""

Listener = Callable[[Event | None], None]
"""Called with each event of a centre in order; with None when everything must be read again, or the hub closes."""


class Sink(Protocol):
    """Where a source delivers."""

    def publish(self, centre: str, raw: bytes, event: Event) -> None:
        """The next event of *centre*."""
        ...

    def reset(self, centre: str, start: Start) -> None:
        """*centre* begins here: it was not followed before, or what was known of it no longer holds."""
        ...

    def agrees(self, centre: str, start: Start) -> bool:
        """Does what is known of *centre* at this seq equal *start*?"""
        ...

    def hear(self, centre: str, word: Word) -> None:
        """What a process has told every process that follows *centre*."""
        ...


class Source(Protocol):
    """Where events come from; `feed.Feed` in a running process."""

    async def start(self, sink: Sink) -> None:
        """Begin to deliver to *sink*."""
        ...

    async def stop(self) -> None:
        """End all tasks and connections."""
        ...

    async def watch(self, centre: str) -> None:
        """Follow *centre*: `reset` is called before this returns, and every later event is published."""
        ...

    def unwatch(self, centre: str) -> None:
        """Follow *centre* no longer."""
        ...

    async def read(self, centre: str, after: int, limit: int) -> list[bytes]:
        """The first *limit* events after *after* that the store still has."""
        ...

    async def tell(self, centre: str, word: Word) -> None:
        """Say *word* to every process that follows *centre*, this one included."""
        ...

    async def note_screens(self, centre: str, process: str, boards: Mapping[str, ScreenState]) -> None:
        """Remember which of *boards* have screens on *process* now, and how these are doing."""
        ...

    async def claim(self, centre: str, seq: int) -> bool:
        """Whether this process is the one that counts who did not confirm the call numbered *seq*."""
        ...

    @property
    def stale_since_ms(self) -> int | None:
        """Since when the store cannot be read; None while it can."""
        ...


class _Audience:
    """A hall with those who watch it."""

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.screens: dict[Screen, None] = {}
        self.live: dict[Screen, None] = {}
        self.listeners: list[Listener] = []
        self.deserted_at: float | None = None
        self.tick_due = False
        self.is_due = False
        self._sweep: Iterator[Screen] | None = None
        self._ticking = False
        self._goal = 0
        self._told: dict[int, None] = {}
        self._news: list[tuple[str, int, bool]] = []
        self._states: dict[str, ScreenState] = {}
        """What each board confirmed last; its screens are counted when somebody is told."""
        self.changed: dict[str, Mapping[str, Any]] = {}
        """Settings that boards were given while this process looked: for screens that had read older ones."""
        self.noted: set[str] = set()
        """Boards of which it was noted that they had a screen here; ticks note those that have one still."""

    @property
    def is_deserted(self) -> bool:
        return not self.screens and not self.listeners

    def write_some(
        self, budget: int, tick: Callable[[Wire, int], bytes], now_s: float, full: dict[Screen, None]
    ) -> tuple[int, bool]:
        """
        Visit at most *budget* live screens, from where the last slice ended.

        Args:
            tick: the tick frame for a wire and a seq.
            full: takes the screens that must be visited again soon.

        Returns:
            How many were visited, and whether all have been given everything they can take.
        """
        if self._sweep is None:
            self._sweep, self._goal = iter(list(self.live)), self.hall.seq
            self._ticking, self.tick_due = self.tick_due, False
        hall, ticking, newest = self.hall, self._ticking, self.hall.seq
        made: dict[Form, tuple[int, bytes, int]] = {}
        visited = events = ticks = 0
        for screen in islice(self._sweep, budget):
            visited += 1
            if screen.state is not _LIVE:
                continue
            sent, transport = screen.sent, screen.transport
            # The usual screen lacks what all lack and its socket is free.  Spelled out here and not left to `pump`,
            # our part of a delivery falls from 2.6 to 1.5 µs (1,000 screens, sockets that do nothing, CPU time).
            if sent < newest:
                joined = made.get(screen.form)
                if (
                    joined is not None
                    and joined[0] == sent
                    and not transport.is_closing()
                    and transport.get_write_buffer_size() <= FULL_BYTES
                ):
                    transport.write(joined[1])
                    screen.sent, screen.full_since = joined[2], None
                    events += joined[2] - sent
                elif written := screen.pump(now_s):
                    made[screen.form] = (sent, *hall.after(sent, screen.form))
                    events += written
                if screen.sent < newest:
                    if screen.lacks_events():
                        full[screen] = None
                    continue
            if ticking:
                if transport.is_closing():
                    screen.lost()
                else:
                    transport.write(tick(screen.wire, screen.sent))
                    ticks += 1
        metrics.SENT_EVENTS.inc(events)
        metrics.SENT_TICKS.inc(ticks)
        if visited == budget:
            return visited, False
        self._sweep = None
        if hall.seq > self._goal or self.tick_due:
            return visited, False
        hall.forget(screen.sent for screen in self.live)
        return visited, True

    def note(self, seq: int) -> bool:
        """Remember to tell staff about *seq*; whether this is the first thing to tell."""
        first = not self._told
        self._told[seq] = None
        return first

    def note_own(self, board: str, seq: int, *, spoken: bool) -> None:
        """A screen of this process has confirmed: other processes are to know."""
        self._news.append((board, seq, spoken))

    def take_notes(self) -> tuple[list[int], list[tuple[str, int, bool]]]:
        """The calls to tell staff about, and the confirmations to tell other processes; forgotten here."""
        told, news = list(self._told), self._news
        self._told, self._news = {}, []
        return told, news

    def confirmed(self, board: str, **what: Any) -> None:
        """Remember what *board* has done last; nothing: that it had a screen."""
        self._states[board] = msgspec.structs.replace(self._states.get(board, ScreenState()), **what)

    def states(self, build: str) -> dict[str, ScreenState]:
        """How every board is doing that has, or had, a screen; a screen that named no pages has those of *build*."""
        screens: dict[str, list[Screen]] = {board: [] for board in self._states}
        for screen in self.live:
            if screen.identity.is_board and not screen.projection.hears_confirmations:
                screens.setdefault(screen.board, []).append(screen)
        return {
            board: msgspec.structs.replace(
                self._states.get(board, ScreenState()),
                screens=len(own),
                loudspeakers=sum(screen.speaks for screen in own),
                builds=tuple(sorted({screen.build or build for screen in own}))[:BUILDS_TOLD],
            )
            for board, own in screens.items()
        }

    def tell_board(self, board: str | None, settings: Mapping[str, Any] | None) -> None:
        """Give the screens of *board*, or of all boards, their settings, or have them read."""
        made: dict[Wire, bytes] = {}
        for screen in self.live:
            if screen.board == (board or screen.board) and not screen.projection.hears_confirmations:
                if screen.wire not in made:
                    made[screen.wire] = frames.board(screen.wire, settings)
                screen.transport.write(made[screen.wire])

    def tell_staff(self, calls: list[dict[str, Any]], readers: Iterable[Screen]) -> None:
        """Give those of *readers* who hear confirmations the state of *calls*."""
        made: dict[Wire, bytes] = {}
        for screen in readers:
            if screen.projection.hears_confirmations and screen.full_since is None:
                if screen.wire not in made:
                    made[screen.wire] = frames.shown(screen.wire, calls)
                screen.transport.write(made[screen.wire])


class Hub:
    """
    All halls of this process and all screens that watch them.

    Args:
        expects: says which boards should confirm a call; without it nobody is missed here.
        build: names the pages that this process hands out.
    """

    def __init__(self, source: Source, clock: Clock, expects: Expects | None = None, build: str = "") -> None:
        self.build = build
        self._id = secrets.token_hex(6)
        self._source = source
        self._expects = expects
        self._errands: set[asyncio.Task[None]] = set()
        self._ticks = 0
        self._clock = clock
        self._audiences: dict[str, _Audience] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._due: deque[_Audience] = deque()
        self._full: dict[Screen, None] = {}
        self._full_timer: asyncio.TimerHandle | None = None
        self._replays = asyncio.Semaphore(REPLAYS_AT_ONCE)
        self._ticker: asyncio.Task[None] | None = None
        self._screens = 0
        self._empty_signal = asyncio.Event()
        self._empty_signal.set()
        self.is_closing = False

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Begin to follow the store and to tick."""
        self._loop = asyncio.get_running_loop()
        await self._source.start(self)
        self._ticker = asyncio.create_task(self._tick(), name="displays ticks")

    async def close_all(self, code: Close = Close.RESTART) -> None:
        """
        Close every connection with *code* and refuse new ones; done in about GOODBYE_S, whatever the other sides do.
        """
        self.is_closing = True
        for screen in self.screens():
            screen.close(code)
        for audience in self._audiences.values():
            for callback in audience.listeners:
                self._loop.call_soon(callback, None)
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self._empty_signal.wait()
        except TimeoutError:  # the links cut by themselves; a handler that does not end is the web server's to cancel
            pass

    async def stop(self) -> None:
        """End all tasks; connections are closed before, by `close_all`."""
        if self._ticker is not None:
            self._ticker.cancel()
        if self._full_timer is not None:
            self._full_timer.cancel()
        for opening in self._opening.values():
            opening.cancel()
        for errand in self._errands:
            errand.cancel()
        tasks = [*self._opening.values(), *self._errands, *([self._ticker] if self._ticker else [])]
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._source.stop()

    def close_identity(self, identity: str) -> int:
        """Close the connections of a revoked device or session; returns how many."""
        revoked = [screen for screen in self.screens() if screen.identity.id == identity]
        for screen in revoked:
            screen.close(Close.NOT_ALLOWED)
        return len(revoked)

    @property
    def stale_since_ms(self) -> int | None:
        """Since when what the screens show may be old, because the store cannot be read."""
        return self._source.stale_since_ms

    def screens(self) -> list[Screen]:
        """Everybody who is connected now."""
        return [screen for audience in self._audiences.values() for screen in audience.screens]

    # ── halls ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def hall(self, centre: str) -> Hall:
        """
        The hall of *centre*, followed from now on.

        Raises:
            StoreAway: it is not followed yet and the store does not answer.
            QueueError: whatever the source says of an unknown centre.
        """
        return (await self._audience(centre)).hall

    async def listen(self, centre: str, callback: Listener) -> Callable[[], None]:
        """
        Call *callback* with every event of *centre* (staff form) from now on, for consumers inside this process.

        Returns:
            What ends it.
        """
        audience = await self._audience(centre)
        audience.listeners.append(callback)
        audience.deserted_at = None

        def stop() -> None:
            if callback in audience.listeners:
                audience.listeners.remove(callback)

        return stop

    def confirmed(self, centre: str, seq: int) -> Confirmed:
        """Which screens have displayed and spoken the call numbered *seq*."""
        audience = self._audiences.get(centre)
        return audience.hall.confirmed(seq) if audience is not None else Confirmed()

    def recent(self, centre: str) -> list[Event]:
        """The newest events of *centre*, oldest first; none of a centre that is not followed."""
        audience = self._audiences.get(centre)
        return audience.hall.recent() if audience is not None else []

    def event(self, centre: str, seq: int) -> Event | None:
        """The event with this number, while it is in memory."""
        audience = self._audiences.get(centre)
        found = audience.hall.find(seq) if audience is not None else None
        return None if found is None else read_event(found.raw)

    def speakers(self, centre: str, boards: Collection[str]) -> list[Screen]:
        """The screens of these *boards* that have a loudspeaker and are live."""
        audience = self._audiences.get(centre)
        live = audience.live if audience is not None else ()
        return [screen for screen in live if screen.speaks and screen.board in boards and screen.state is _LIVE]

    def speak(self, centre: str, boards: Collection[str], turn: Mapping[str, Any]) -> None:
        """
        Hand a *turn* of the voice to these *boards*, beside the order of events; a screen whose socket is full is left
        out.
        """
        made: dict[Wire, bytes] = {}
        for screen in self.speakers(centre, boards):
            if screen.full_since is None and not screen.transport.is_closing():
                if screen.wire not in made:
                    made[screen.wire] = frames.speak(screen.wire, turn)
                screen.transport.write(made[screen.wire])

    async def _audience(self, centre: str) -> _Audience:
        audience = self._audiences.get(centre)
        if audience is None:
            opening = self._opening.get(centre)
            if opening is None:
                opening = self._opening[centre] = asyncio.create_task(
                    self._source.watch(centre), name=f"displays open {centre}"
                )
                opening.add_done_callback(lambda opened: self._opened(centre, opened))
            try:
                async with asyncio.timeout(OPEN_S):
                    await asyncio.shield(opening)
            except TimeoutError:
                raise StoreAway("the events of this centre cannot be read now; try again", retry_after_s=2) from None
            audience = self._audiences[centre]
        if audience.is_deserted:
            audience.deserted_at = self._loop.time()
        return audience

    def _opened(self, centre: str, opened: asyncio.Task[None]) -> None:
        self._opening.pop(centre, None)
        if not opened.cancelled():
            opened.exception()  # told to whoever waits; when nobody waits any more it is not news

    # ── what the feed calls ──────────────────────────────────────────────────────────────────────────────────────────

    def publish(self, centre: str, raw: bytes, event: Event) -> None:
        """The next event of *centre*: noted here, written out in the following turns of the loop."""
        audience = self._audiences.get(centre)
        if audience is None:
            return
        audience.hall.add(raw, event)
        if event["type"] == "CentreChanged":
            audience.changed.clear()  # with its file every board may have others, and every page reads its own anew
        for callback in audience.listeners:
            self._loop.call_soon(callback, event)
        self._write_soon(audience)
        if self._expects is not None and event["type"] in CALLS:
            self._loop.call_later(MISSING_S, self._errand, self._name_missing, audience, event["seq"], event["counter"])

    def reset(self, centre: str, start: Start) -> None:
        """*centre* begins at *start*; whoever watched it before comes back for a snapshot."""
        audience = self._audiences.get(centre)
        if audience is None:
            self._audiences[centre] = _Audience(Hall(centre, start))
            metrics.HALLS.set(len(self._audiences))
            return
        audience.hall.begin(start)
        for screen in list(audience.screens):
            screen.close(Close.RESYNC)
        for callback in audience.listeners:
            self._loop.call_soon(callback, None)

    def agrees(self, centre: str, start: Start) -> bool:
        """Does the folded view of *centre* equal the one just read at the same seq?"""
        audience = self._audiences.get(centre)
        return audience is None or audience.hall.cursor != (start.epoch, start.seq) or audience.hall.view == start.view

    def hear(self, centre: str, word: Word) -> None:
        """What a process has told every process that follows *centre*."""
        audience = self._audiences.get(centre)
        if audience is None:
            return
        match word.get("kind"):
            case "confirmed":
                for board, seq, spoken in word["calls"]:
                    if audience.hall.confirm(board, seq, spoken=spoken):
                        self._tell_soon(audience, seq)
            case "board":
                audience.changed[word["board"]] = word["settings"]
                audience.tell_board(word["board"], word["settings"])
            case "unheard":
                audience.changed.clear()
                audience.tell_board(None, None)

    # ── what a connection calls ──────────────────────────────────────────────────────────────────────────────────────

    def enter(self, screen: Screen) -> None:
        """
        *screen* is connected and has not said hello.

        Raises:
            Overloaded: the process is stopping.
        """
        if self.is_closing:
            raise Overloaded("this server is about to stop; try again", retry_after_s=2)
        audience = self._audiences[screen.hall.centre]
        audience.screens[screen] = None
        audience.deserted_at = None
        self._screens += 1
        self._empty_signal.clear()
        metrics.screens(screen.board, screen.wire).inc()

    def leave(self, screen: Screen) -> None:
        """*screen* is gone."""
        screen.state = State.CLOSED
        audience = self._audiences[screen.hall.centre]
        del audience.screens[screen]
        audience.live.pop(screen, None)
        self._full.pop(screen, None)
        if audience.is_deserted:
            audience.deserted_at = self._loop.time()
        self._screens -= 1
        if not self._screens:
            self._empty_signal.set()
        metrics.screens(screen.board, screen.wire).dec()

    async def begin(self, screen: Screen, cursor: Cursor | None) -> None:
        """
        Give *screen* its start: the events after *cursor* if it is good, else a snapshot; then it is live.

        There is no moment between the last event of the start and the first live one: both come out of the hall's
        memory.
        """
        screen.state = State.REPLAY
        hall = screen.hall
        if cursor is None or not await self._resume(screen, cursor):
            if screen.state is not State.REPLAY:
                return
            screen.write(hall.snapshot(screen.wire, self._clock.now_ms(), self.build), hall.cursor)
            metrics.SENT_SNAPSHOTS.inc()
            metrics.JOINED_BY_SNAPSHOT.inc()
        if screen.state is not State.REPLAY:
            return
        screen.state = State.LIVE
        screen.joined_at = hall.seq
        audience = self._audiences[hall.centre]
        audience.live[screen] = None
        if screen.projection.hears_confirmations:
            if calls := hall.newest_calls(CALLS_RETOLD):
                audience.tell_staff(calls, (screen,))
        else:
            if (settings := audience.changed.get(screen.board)) is not None:
                screen.transport.write(frames.board(screen.wire, settings))
            if screen.identity.is_board and screen.board not in audience.noted:
                audience.noted.add(screen.board)
                audience.confirmed(screen.board)
                self._errand(self._source.note_screens, hall.centre, self._id, audience.states(self.build))
        if screen.sent < hall.seq:
            self._full[screen] = None
            self._revisit_soon()

    def confirm(self, screen: Screen, seq: int, *, spoken: bool) -> None:
        """*screen* has displayed, or spoken, the call numbered *seq*."""
        hall = screen.hall
        if not hall.confirm(screen.board, seq, spoken=spoken):
            return
        (metrics.ACKS_SPOKEN if spoken else metrics.ACKS_SHOWN).inc()
        event = hall.find(seq)
        if event is not None and not spoken and seq > screen.joined_at:
            metrics.PRESS_TO_BOARD.observe(max(0, self._clock.now_ms() - event.at_ms) / 1000)
        audience, now_ms = self._audiences[hall.centre], self._clock.now_ms()
        if spoken:
            audience.confirmed(screen.board, spoken_at_ms=now_ms, unspoken=None)
        else:
            is_live = event is not None and seq > screen.joined_at
            lag_ms = max(0, now_ms - event.at_ms) if event is not None and is_live else None
            audience.confirmed(screen.board, shown_at_ms=now_ms, lag_ms=lag_ms)
        audience.note_own(screen.board, seq, spoken=spoken)
        self._tell_soon(audience, seq)

    def not_heard(self, screen: Screen, reason: str) -> None:
        """Nobody heard a call at *screen*."""
        metrics.VOICE_FAILED.labels(reason).inc()
        self._audiences[screen.hall.centre].confirmed(screen.board, unspoken=reason)

    # ── confirmations ────────────────────────────────────────────────────────────────────────────────────────────────

    def _tell_soon(self, audience: _Audience, seq: int) -> None:
        if audience.note(seq):
            self._loop.call_later(CONFIRM_S, self._errand, self._tell, audience)

    async def _tell(self, audience: _Audience) -> None:
        """Tell staff and the other processes what has been confirmed since the last time."""
        told, news = audience.take_notes()
        centre = audience.hall.centre
        calls = []
        for seq in told:
            confirmed, event = audience.hall.call(seq), audience.hall.find(seq)
            if confirmed is not None and event is not None:
                if confirmed.expected is None and self._expects is not None:
                    confirmed.expected = dict(await self._expects(centre, read_event(event.raw)["counter"]))
                calls.append(confirmed.told(seq))
        audience.tell_staff(calls, list(audience.live))
        if news:
            await self._source.tell(centre, {"kind": "confirmed", "calls": news})

    async def _name_missing(self, audience: _Audience, seq: int, counter: str) -> None:
        """The time is over in which every board should have confirmed the call numbered *seq*."""
        confirmed, centre = audience.hall.call(seq), audience.hall.centre
        if confirmed is None or self._expects is None:
            return
        confirmed.expected = dict(await self._expects(centre, counter))
        missing = {board: name for board, name in confirmed.expected.items() if board not in confirmed.shown}
        confirmed.missing = tuple(sorted(missing.values()))
        self._tell_soon(audience, seq)
        if missing and await self._source.claim(centre, seq):
            for board in missing:
                metrics.unconfirmed(board).inc()

    def _errand(self, work: Callable[..., Coroutine[Any, Any, None]], *given: Any) -> None:
        """Do *work* beside everything else; what the store refuses is counted, and nobody waits for it."""
        if self.is_closing:
            return

        async def run() -> None:
            try:
                await work(*given)
            except QueueError:
                metrics.ASIDE_LOST.inc()

        errand = asyncio.create_task(run(), name="displays errand")
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    async def _resume(self, screen: Screen, cursor: Cursor) -> bool:
        """Write what follows *cursor* as far as it is not in memory any more; False asks for a snapshot instead."""
        hall = screen.hall
        if cursor.epoch != hall.epoch or not hall.seq - REPLAY_LIMIT <= cursor.seq <= hall.seq:
            return False
        seq, welcomed = cursor.seq, False
        while screen.state is State.REPLAY:
            older: list[Numbered] = []
            if seq + 1 < hall.oldest:
                older = await self._read(hall, seq)
                if screen.state is not State.REPLAY:
                    return False
                if not older or older[0].seq != seq + 1:
                    if welcomed:
                        screen.close(Close.RESYNC)
                    return welcomed
            if not welcomed:
                screen.write(frames.resumed(screen.wire, cursor, self._clock.now_ms(), self.build), cursor)
                metrics.SENT_RESUMED.inc()
                metrics.JOINED_BY_CURSOR.inc()
                welcomed = True
            if not older:
                return True
            seq = older[-1].seq
            screen.write(hall.join(older, screen.form), Cursor(hall.epoch, seq))
            metrics.SENT_EVENTS.inc(len(older))
            try:
                async with asyncio.timeout(STUCK_S):
                    await screen.link.drain()
            except TimeoutError:
                screen.close(Close.TOO_SLOW)
        return False

    async def _read(self, hall: Hall, after: int) -> list[Numbered]:
        """Events after *after* from the store, up to those in memory."""
        async with self._replays:
            raws = await self._source.read(hall.centre, after, min(SLICE, hall.oldest - after - 1))
        return [Numbered(raw, read_event(raw)) for raw in raws]

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _write_soon(self, audience: _Audience) -> None:
        if audience.live and not audience.is_due:
            audience.is_due = True
            self._due.append(audience)
            if len(self._due) == 1:
                self._loop.call_soon(self._write_slice)

    def _write_slice(self) -> None:
        """
        One turn's share of writing; the rest follows in the next turns, with everything else the loop has to do in
        between.
        """
        budget, now_s = SLICE, self._loop.time()
        tick = self._tick_frames()
        while budget > 0 and self._due:
            visited, done = self._due[0].write_some(budget, tick, now_s, self._full)
            budget -= visited or 1
            if done:
                self._due.popleft().is_due = False
        if self._full:
            self._revisit_soon()
        if self._due:
            self._loop.call_soon(self._write_slice)

    def _revisit_soon(self) -> None:
        """There are screens that lack events of their hall's memory: give them more in the next turn."""
        if self._full_timer is None:
            self._full_timer = self._loop.call_later(0, self._revisit)

    def _revisit(self) -> None:
        """Screens that could not take everything: give them more, or close them."""
        self._full_timer = None
        now_s, moved, written = self._loop.time(), 0, 0
        for screen in list(self._full):
            del self._full[screen]
            if screen.state is State.LIVE:
                events = screen.pump(now_s)
                moved += events
                written += bool(events)
                if screen.lacks_events():
                    self._full[screen] = None
            if written == SLICE:
                break
        metrics.SENT_EVENTS.inc(moved)
        if self._full:
            self._full_timer = self._loop.call_later(0 if written else RETRY_S, self._revisit)

    def _tick_frames(self) -> Callable[[Wire, int], bytes]:
        made: dict[tuple[Wire, int], bytes] = {}
        now_ms, stale_since_ms = self._clock.now_ms(), self._source.stale_since_ms

        def tick(wire: Wire, seq: int) -> bytes:
            if (wire, seq) not in made:
                made[wire, seq] = frames.tick(wire, seq, now_ms, stale_since_ms)
            return made[wire, seq]

        return tick

    async def _tick(self) -> None:
        """Every TICK_S: a tick to every live screen, and halls that nobody watches are let go."""
        while True:
            await asyncio.sleep(TICK_S)
            now_s, lag = self._loop.time(), 0
            self._ticks += 1
            for centre, audience in list(self._audiences.items()):
                if audience.deserted_at is not None and now_s - audience.deserted_at > LINGER_S:
                    del self._audiences[centre]
                    self._source.unwatch(centre)
                    continue
                lag = max(lag, max((audience.hall.seq - screen.sent for screen in audience.live), default=0))
                audience.tick_due = True
                self._write_soon(audience)
                if self._ticks % NOTE_SCREENS_EVERY == 0 and (states := audience.states(self.build)):
                    self._errand(self._source.note_screens, centre, self._id, states)
            metrics.LAG_EVENTS.set(lag)
            metrics.HALLS.set(len(self._audiences))
