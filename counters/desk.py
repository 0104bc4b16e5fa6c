"""
The counter as its officer sees it, kept current; and the press under the finger.

What is shown only ever goes forwards: answers carry their place in the event order, and one that is older is left
aside.  There is never more than one press in hand; while nobody answers it is repeated under its own key, also after a
restart, so it takes effect once.  It knows neither terminals nor pads: `console` and `pads` look at it and are told
when something has changed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

import aiohttp
import msgspec

from counters.building import Building
from counters.client import FIRST_PAUSE_S, LONGEST_PAUSE_S, CounterClient, Unanswered
from counters.memory import Held, Keep
from counters.press import Button, CounterView, PressReply, Why, fold, is_newer, live_buttons, new_key
from queue_service.clock import SystemClock
from queue_service.commands import PressId
from queue_service.errors import Later, NotSignedIn, QueueError
from queue_service.follower import FIRST_RETURN_S, Follower, Message

NOT_MORE_OFTEN_S: Final = 0.334
AT_LEAST_EVERY_S: Final = 10.0
MOST_NOTES: Final = 5
_clock = SystemClock()
_ALWAYS: Final = frozenset({"DayAdvanced", "CentreChanged", "EpochRenewed", "TicketReassigned", "IssuingSwitched"})


class Called(msgspec.Struct, frozen=True, kw_only=True):
    """A call to this counter, as the feed told of it."""

    ticket: str
    call: int
    why: Why = Why()
    reason: str = ""
    """What the officer who chose it said."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something the hall says to this counter: the event that told it."""

    at_ms: int
    event: dict[str, Any]


class Link(Protocol):
    """What tells of events: a `Follower`, or the practice hall."""

    def messages(self) -> AsyncIterator[Message]:
        """What is said, for as long as somebody asks."""

    def hurry(self) -> None:
        """The service answers elsewhere."""


class Hall(Protocol):
    """What a desk asks of the world: a `CounterClient`, or the practice hall."""

    centre: str
    counter: str
    path: str

    async def view(self) -> CounterView:
        """What the officer sees now."""

    async def read(self, path: str) -> bytes:
        """The JSON at *path*."""

    async def press(self, button: Button, body: Mapping[str, Any], key: PressId, /) -> PressReply:
        """Press *button*."""

    async def mark_read(self, message: int, /) -> None:
        """Put a message away."""


def link_of(client: CounterClient, session: aiohttp.ClientSession, first_return_s: float = FIRST_RETURN_S) -> Follower:
    """The events of the centre of *client*, as its counter hears them."""
    return Follower(
        session,
        client.url(f"/centres/{client.centre}/events/stream"),
        token=client.token,
        screen=f"console-{client.counter}",
        first_return_s=first_return_s,
    )


async def read_building(client: Hall) -> Building:
    """
    The centre of *client*, as its counters know it.

    Raises:
        QueueError: there is no such centre.  Unanswered: no answer.
    """
    return msgspec.json.decode(await client.read(f"/centres/{client.centre}"), type=Building)


class Desk:
    """
    One counter and its officer.

    Args:
        client: signed in; its presses are tried once each, repeating is this room's matter.
        link: tells of events.
        officer: the account's name.
        keep: remembers the press that nobody has answered; None: nothing is remembered.
        changed: told whenever something looks different.
        refused: told of a press that the service will not do.
        done: told of a press that was answered.
    """

    def __init__(
        self,
        client: Hall,
        link: Link,
        building: Building,
        officer: str,
        keep: Keep | None,
        *,
        changed: Callable[[], None],
        refused: Callable[[Held, QueueError], None],
        done: Callable[[Held, PressReply], None],
    ) -> None:
        self.client, self.building, self.officer = client, building, officer
        self.view: CounterView | None = None
        self.trouble: QueueError | None = None
        """Why the counter cannot be looked at; None while it can."""
        self.offset_ms = 0
        """The service's clock minus this machine's."""
        self.lost_since_ms: int | None = None
        """Since when nothing is heard from the hall; None while something is."""
        self.live_refused = False
        self.held: Held | None = None
        self.unanswered_since_ms: int | None = None
        self.is_signed_out = False
        self.called: Called | None = None
        self.screens = 0, 0
        """On how many boards the newest call to this counter was confirmed, and of how many."""
        self.notes: tuple[Note, ...] = ()
        self._keep, self._changed, self._refused, self._done = keep, changed, refused, done
        self._link = link
        self._look_signal = asyncio.Event()
        self._hand_signal = asyncio.Event()
        self._questions = self._answered = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._failed: Callable[[BaseException], None] | None = None
        self._is_building_old = False

    @property
    def now_ms(self) -> int:
        """The service's time, as well as we know it."""
        return _clock.now_ms() + self.offset_ms

    @property
    def live(self) -> frozenset[Button]:
        """The presses that make sense now."""
        if self.view is None:
            return frozenset()
        return live_buttons(self.view, self.now_ms, calls_before_no_show=self.building.policy.calls_before_no_show)

    @property
    def lost_to(self) -> str | None:
        """The officer who has taken this seat, or None."""
        holder = self.view.counter.officer if self.view is not None else None
        return holder if holder is not None and holder != self.officer else None

    def start(self, failed: Callable[[BaseException], None]) -> None:
        """
        Begin to look, to listen and to press.

        Args:
            failed: told of a mistake of ours that ended one of the three.
        """
        self._failed = failed
        kept = self._keep.read().held if self._keep is not None else None
        if kept is not None and (kept.officer, kept.counter) == (self.officer, self.client.counter):
            self.held = kept
        for work in (self._look(), self._listen(), self._press()):
            self._spawn(work)
        self._look_signal.set()
        self._hand_signal.set()

    async def stop(self) -> None:
        """Let go; the press in hand stays on the disk."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def strike(self, button: Button, body: dict[str, Any] | None = None) -> bool:
        """A finger came down; whether this is a new press.  While one is in hand, another is none."""
        if self.held is not None:
            return False
        self._hold(
            Held(
                key=new_key(),
                button=button,
                counter=self.client.counter,
                officer=self.officer,
                body=body or {},
                at_ms=_clock.now_ms(),
            )
        )
        self._hand_signal.set()
        return True

    def withdraw(self) -> None:
        """Let go of the press in hand.  Whether it was done will be seen: the counter is looked at again."""
        self._hold(None)
        self._hand_signal.set()
        self.look()

    def look(self) -> None:
        """Something happened: look again, soon but not too often."""
        self._look_signal.set()

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _look(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look_signal.wait(), AT_LEAST_EVERY_S)
            self._look_signal.clear()
            self._questions += 1
            question = self._questions
            try:
                if self._is_building_old:
                    self.building = await read_building(self.client)
                    self._is_building_old = False
                view = await self.client.view()
            except (Unanswered, Later):
                pass
            except NotSignedIn:
                return self._sign_out()
            except QueueError as trouble:
                self.trouble = trouble
            else:
                self.trouble = None
                is_same_order = self.view is not None and view.epoch == self.view.epoch
                if self.view is None or (is_newer(view, self.view) and (is_same_order or question > self._answered)):
                    self._answered = question
                    self.view = view
                    self.offset_ms = view.now_ms - _clock.now_ms()
                self._link.hurry()
            self._changed()
            await asyncio.sleep(NOT_MORE_OFTEN_S)

    # ── listening ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _listen(self) -> None:
        async for message in self._link.messages():
            match message["type"]:
                case "lost":
                    self.live_refused = message["refused"]
                    if self.lost_since_ms is None:
                        self.lost_since_ms = message["since_ms"]
                case "tick" if "stale_since_ms" in message:
                    if self.lost_since_ms is None:
                        self.lost_since_ms = message["stale_since_ms"] - self.offset_ms
                case "event":
                    self._on_event(message["event"])
                case "shown":
                    for call in message["calls"]:
                        if self.called is not None and call["call"] == self.called.call:
                            self.screens = call["shown"], call.get("of", call["shown"])
                case _:
                    self._on_link(message)
            self._changed()

    def _on_link(self, message: Message) -> None:
        if self.lost_since_ms is not None or message["type"] == "snapshot":
            self.look()
            self._hand_signal.set()  # the service is back: do not wait for the next turn
        self.lost_since_ms = None
        self.live_refused = False

    def _on_event(self, event: dict[str, Any]) -> None:
        here = self.client.counter
        if event["type"] == "TicketCalled" and event["counter"] == here:
            why = msgspec.convert(event.get("why") or {}, Why)
            reason = event.get("reason") or ""
            self.called = Called(ticket=event["ticket"], call=event["call"], why=why, reason=reason)
            self.screens = 0, 0
        elif event["type"] == "IssuingSwitched" or (
            event["type"] == "TicketTransferred" and event.get("note") and self._is_ours(event)
        ):
            self.notes = (Note(at_ms=event["at_ms"], event=event), *self.notes)[:MOST_NOTES]
        self._is_building_old |= event["type"] == "CentreChanged"
        if self._concerns(event):
            self.look()

    def _concerns(self, event: dict[str, Any]) -> bool:
        """Whether an event may change what this desk shows."""
        return (
            self.view is None
            or event["type"] in _ALWAYS
            or event.get("counter") == self.client.counter
            or self._is_ours(event)
            or any(event.get("ticket") == ticket.id for ticket in self.view.parked)
        )

    def _is_ours(self, event: dict[str, Any]) -> bool:
        lines = {line.service for line in self.view.lines} if self.view is not None else set()
        return event.get("service") in lines or event.get("from_service") in lines

    # ── pressing ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _press(self) -> None:
        attempt = 0
        while True:
            held = self.held
            if held is None:
                attempt = 0
                await self._hand_signal.wait()
                self._hand_signal.clear()
                continue
            attempt += 1
            self._questions += 1
            question = self._questions
            try:
                reply = await self.client.press(Button(held.button), held.body, PressId(held.key))
            except (Unanswered, Later) as unknown:
                if self.held is held:
                    if self.unanswered_since_ms is None:
                        self.unanswered_since_ms = _clock.now_ms()
                    self._changed()
                    await self._pause(attempt, unknown.retry_after_s if isinstance(unknown, Later) else 0.0)
            except NotSignedIn:
                return self._sign_out()  # the press stays on the disk until its officer is back
            except QueueError as refusal:
                if self.held is held:
                    self._hold(None)
                    self._refused(held, refusal)
                self.look()
            else:
                self._answered = question
                if self.view is not None and is_newer(reply, self.view):
                    self.view = fold(self.view, reply)
                if self.held is held:
                    self._hold(None)
                    self._done(held, reply)
                self.look()
            self._changed()

    async def _pause(self, attempt: int, at_least_s: float) -> None:
        """A random pause that doubles; a link that is back, or a press withdrawn, ends it."""
        self._hand_signal.clear()
        pause_s = at_least_s + random.uniform(0.5, 1) * min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempt, 8))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hand_signal.wait(), pause_s)

    def _hold(self, held: Held | None) -> None:
        self.held = held
        self.unanswered_since_ms = None
        if self._keep is not None:
            with suppress(OSError):  # without a disk a press lives as long as the process
                self._keep.change(held=held)
        self._changed()

    def _sign_out(self) -> None:
        self.is_signed_out = True
        self._changed()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._failed is not None and not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
