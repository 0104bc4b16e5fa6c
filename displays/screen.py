"""
One connected screen: hello, replay, live, closed.

It writes finished frames straight to its transport and keeps nothing itself: what it has not been given yet stands in
the hall's memory, so a slow screen falls behind there, is given the rest in larger pieces when its socket drains, and
is closed when it does not. It knows no web framework (`screen_door` hands it a Link) and no store.

A write straight to the transport costs 2.6-2.9 µs where a queue and a task for each screen cost 4.7-7.2
(docs/design.md, "fan-out").
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

from displays import metrics
from displays.frames import Close, Cursor, Wire
from displays.hall import Form, Hall, Projection

OUTBOX_EVENTS: Final = 256
"""A screen whose socket is full may be this far behind for a moment; further is too slow."""
OUTBOX_BYTES: Final = 65536
"""What a transport may hold: nothing is written above half of it, and a write is at most about the other half."""
FULL_BYTES: Final = OUTBOX_BYTES // 2
PATIENCE_S: Final = 1.0
"""How long a full socket with a full outbox is waited for."""
STUCK_S: Final = 4.0
"""How long a full socket is waited for, however little there is to say."""


class State(Enum):
    """Where a screen is in its life."""

    HELLO = "hello"
    REPLAY = "replay"
    LIVE = "live"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Identity:
    """
    Who is allowed to look.

    Args:
        id: of the device or session, for closing its screens when it is revoked; never shown.
        name: for people: which screen this is.
        board: the board's description, as the centre's configuration gives it.
        is_board: whether it is a screen of that board; who only looks on, as a kiosk does, is not waited for.
    """

    id: str
    name: str
    board: Mapping[str, Any] | None = None
    is_board: bool = True


class Link(Protocol):
    """What a screen needs of its connection."""

    @property
    def transport(self) -> asyncio.WriteTransport:
        """Where frames are written."""
        ...

    async def drain(self) -> None:
        """Wait until the transport wants more."""
        ...

    def end(self, code: Close) -> None:
        """Say *code*, wait a moment for the other side, cut.  Returns at once."""
        ...

    def lost(self) -> None:
        """A write has found the other side gone."""
        ...


class Screen:
    """One connection that reads the events of one hall in one form."""

    __slots__ = (
        "board",
        "build",
        "form",
        "full_since",
        "hall",
        "identity",
        "joined_at",
        "link",
        "name",
        "sent",
        "speaks",
        "state",
        "transport",
    )

    def __init__(
        self, link: Link, hall: Hall, projection: Projection, wire: Wire, identity: Identity, board: str
    ) -> None:
        self.link = link
        self.transport = link.transport
        self.hall = hall
        self.form: Form = (projection, wire)
        self.identity = identity
        self.board = board
        self.name = identity.name
        self.speaks = False
        """It has a loudspeaker, as its hello said."""
        self.build = ""
        """The pages it runs, as its hello said."""
        self.state = State.HELLO
        self.sent = 0
        """Seq of the newest event written."""
        self.joined_at = 0
        """Seq at which it went live: what came later it saw as it happened."""
        self.full_since: float | None = None

    def write(self, frame: bytes, at: Cursor) -> None:
        """Begin at *at*: write the frame that says so."""
        self.sent = at.seq
        self.transport.write(frame)

    def pump(self, now_s: float) -> int:
        """
        Write what the screen lacks, as far as its socket takes it.

        Returns:
            How many events were written.
        """
        if self.transport.is_closing():
            self.lost()
            return 0
        behind = self.hall.seq - self.sent
        if not behind:
            return 0
        if self.transport.get_write_buffer_size() > FULL_BYTES:
            if self.full_since is None:
                self.full_since = now_s
            full_s = now_s - self.full_since
            if full_s > STUCK_S or (behind > OUTBOX_EVENTS and full_s > PATIENCE_S):
                self.close(Close.TOO_SLOW)
            return 0
        self.full_since = None
        if self.sent + 1 < self.hall.oldest:
            self.close(Close.TOO_SLOW)
            return 0
        before = self.sent
        frame, self.sent = self.hall.after(before, self.form)
        self.transport.write(frame)
        return self.sent - before

    @property
    def projection(self) -> Projection:
        """What it may see of an event."""
        return self.form[0]

    @property
    def wire(self) -> Wire:
        """How its bytes look."""
        return self.form[1]

    def lacks_events(self) -> bool:
        """Is there something it has not been given and still can be?"""
        return self.state is State.LIVE and self.sent < self.hall.seq

    def lost(self) -> None:
        """Its connection has ended without us."""
        self.state = State.CLOSED
        self.link.lost()

    def close(self, code: Close) -> None:
        """Begin to close with *code*; nothing more is written."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        metrics.CLOSED_BY[code].inc()
        if code is Close.TOO_SLOW:
            metrics.OUTBOX_DROPS.inc()
        self.link.end(code)
