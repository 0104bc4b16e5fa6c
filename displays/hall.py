"""
One centre as this process knows it: the view, the newest events with the bytes they were sent as, and who has
confirmed which call.

It knows no socket and no store.  The feed's events come in through the hub, in order and without gaps; what a screen
lacks goes out, joined and encoded once for all screens of the same form.  A screen's outbox is its place in `recent`:
it costs no memory of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from msgspec import Struct

from displays import board, frames
from displays.frames import Cursor, Once, Wire
from queue_service.codec import read_event
from queue_service.events import ENVELOPE, PUBLIC_FIELDS, public_form

Event = Mapping[str, Any]

KEPT_EVENTS: Final = 256
"""How many of the newest events stay in memory; a cursor older than these is answered from the store."""
KEPT_EVENTS_LIMIT: Final = 4096
"""The same while screens still have to be given them, as after a burst."""
EVENTS_PER_WRITE: Final = 64
KEPT_CALLS: Final = 256
BOARDS_PER_CALL: Final = 256
"""How many boards are named as having confirmed one call; further ones are not recorded."""

CALLS: Final = frozenset({"TicketCalled", "TicketRecalled"})
"""What a screen can confirm."""


@dataclass(frozen=True, eq=False, slots=True)
class Projection:
    """What one kind of reader may see of an event; compared by identity, because frames are kept by it."""

    name: str
    form: Callable[[Event], Event]
    hears_confirmations: bool = False


def _public(event: Event) -> Event:
    """
    The public form; of a type that only a newer service knows, nothing but the envelope, so that numbers stay dense.
    """
    if event["type"] in PUBLIC_FIELDS:
        return public_form(dict(event))
    return {name: event[name] for name in ENVELOPE}


PUBLIC: Final = Projection("public", _public)
"""Boards and phones: numbers and counters only."""
STAFF: Final = Projection("staff", lambda event: event, hears_confirmations=True)
"""Consoles and integrators: everything recorded."""


Form = tuple[Projection, Wire]
"""Readers of one form are sent the same bytes."""


@dataclass(frozen=True, slots=True)
class Start:
    """A centre read off the store in one step: the view at *seq* and the newest events up to it."""

    epoch: str
    seq: int
    view: board.View
    recent: Sequence[bytes] = ()


class Numbered:
    """One event: the bytes the store keeps, and the frames made of them so far."""

    __slots__ = ("_frames", "at_ms", "kind", "raw", "seq")

    def __init__(self, raw: bytes, event: Event) -> None:
        self.raw = raw
        self.seq: int = event["seq"]
        self.at_ms: int = event["at_ms"]
        self.kind: str = event["type"]
        self._frames: dict[Form, bytes] = {}

    def frame(self, form: Form, epoch: str) -> bytes:
        """The event as readers of *form* get it; made once."""
        made = self._frames.get(form)
        if made is None:
            projection, wire = form
            made = self._frames[form] = frames.event(wire, epoch, projection.form(read_event(self.raw)))
        return made


@dataclass(slots=True)
class Confirmed:
    """Which boards have displayed and spoken one call, on whatever process their screens hang."""

    shown: set[str] = field(default_factory=set)
    spoken: set[str] = field(default_factory=set)
    expected: dict[str, str] | None = None
    """Boards that should show it, with their names; None while nobody has asked."""
    missing: tuple[str, ...] = ()
    """Names of the boards that did not confirm it in time."""

    def told(self, seq: int) -> dict[str, Any]:
        """What staff are told of the call numbered *seq*."""
        of = None if self.expected is None else len(self.expected.keys() | self.shown)
        late = {name for board, name in (self.expected or {}).items() if board not in self.shown}
        missing = [name for name in self.missing if name in late]
        return {"call": seq, "shown": len(self.shown), "spoken": len(self.spoken), "of": of, "missing": missing}


class ScreenState(Struct, frozen=True):
    """How the screens of one board are doing, as one process knows it; times are Unix milliseconds."""

    screens: int = 0
    loudspeakers: int = 0
    builds: tuple[str, ...] = ()
    """The pages that its screens run."""
    shown_at_ms: int | None = None
    """When it last confirmed a call."""
    lag_ms: int | None = None
    """From the press of that call to its confirmation."""
    spoken_at_ms: int | None = None
    unspoken: str | None = None
    """Why the newest sound was not heard; None when it was."""


class Hall:
    """One centre's view, newest events, and confirmations."""

    def __init__(self, centre: str, start: Start) -> None:
        self.centre = centre
        self.begin(start)

    def begin(self, start: Start) -> None:
        """Take *start* for what is true, and forget what was known before."""
        self.epoch = start.epoch
        self.seq = start.seq
        self.view = start.view
        self._recent: deque[Numbered] = deque(Numbered(raw, read_event(raw)) for raw in start.recent)
        self._confirmed: dict[int, Confirmed] = {}
        self._once: Once | None = None
        self._joined: dict[tuple[Form, int], tuple[bytes, int]] = {}

    def add(self, raw: bytes, event: Event) -> None:
        """The event after `seq`."""
        self.seq = event["seq"]
        self._recent.append(Numbered(raw, event))
        if len(self._recent) > KEPT_EVENTS_LIMIT:
            self._recent.popleft()
        board.apply(self.view, event)
        self._once = None
        self._joined.clear()

    def forget(self, given: Iterable[int]) -> None:
        """Every screen has been *given* the events up to a seq: keep only as many as a cursor may ask for."""
        if len(self._recent) > KEPT_EVENTS:
            least = min(given, default=self.seq)
            while len(self._recent) > KEPT_EVENTS and self._recent[0].seq <= least:
                self._recent.popleft()

    @property
    def cursor(self) -> Cursor:
        """The place of the newest event."""
        return Cursor(self.epoch, self.seq)

    @property
    def oldest(self) -> int:
        """Seq of the oldest event in memory; one past the newest when there is none."""
        return self._recent[0].seq if self._recent else self.seq + 1

    def find(self, seq: int) -> Numbered | None:
        """The event with this number, while it is in memory."""
        return self._recent[seq - self.oldest] if self.oldest <= seq <= self.seq else None

    def recent(self) -> list[Event]:
        """The events in memory, oldest first."""
        return [read_event(event.raw) for event in self._recent]

    def snapshot(self, wire: Wire, now_ms: int, build: str = "") -> bytes:
        """
        The frame that gives a screen its start; the view inside is encoded once for everybody who joins before the
        next event.
        """
        if self._once is None:
            self._once = Once(self.view)
        return frames.snapshot(wire, self.cursor, self._once, now_ms, build)

    def after(self, seq: int, form: Form) -> tuple[bytes, int]:
        """
        The frames of the next events after *seq*, joined for one write, and the seq they reach.

        *seq* is not older than `oldest` - 1.
        """
        joined = self._joined.get((form, seq))
        if joined is None:
            start = seq + 1 - self.oldest
            events = list(islice(self._recent, start, start + EVENTS_PER_WRITE))
            joined = self._joined[form, seq] = self.join(events, form), events[-1].seq if events else seq
        return joined

    def join(self, events: Iterable[Numbered], form: Form) -> bytes:
        """The frames of *events*, one after the other."""
        return b"".join(event.frame(form, self.epoch) for event in events)

    def confirm(self, board: str, seq: int, *, spoken: bool) -> bool:
        """
        *board* has displayed, or spoken, the call numbered *seq*.

        Returns:
            Whether that was news: a call we know, confirmed by this board for the first time.
        """
        confirmed = self.call(seq)
        if confirmed is None:
            return False
        names = confirmed.spoken if spoken else confirmed.shown
        if board in names or len(names) >= BOARDS_PER_CALL:
            return False
        names.add(board)
        return True

    def call(self, seq: int) -> Confirmed | None:
        """What is known of the call numbered *seq*; None when there is no such call in memory."""
        event = self.find(seq)
        if event is None or event.kind not in CALLS:
            return None
        confirmed = self._confirmed.setdefault(seq, Confirmed())
        while len(self._confirmed) > KEPT_CALLS:
            del self._confirmed[next(iter(self._confirmed))]
        return confirmed

    def newest_calls(self, most: int) -> list[dict[str, Any]]:
        """What staff would have been told of the newest calls that were confirmed or missed."""
        return [confirmed.told(seq) for seq, confirmed in sorted(self._confirmed.items())[-most:]]

    def confirmed(self, seq: int) -> Confirmed:
        """Which boards have confirmed the call numbered *seq*."""
        return self._confirmed.get(seq) or Confirmed()
