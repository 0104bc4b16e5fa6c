"""
A hall to practise in: invented people, counters and procedures (``practice.json``), in this process and nowhere else.

It asks nobody, so nothing done here can touch the real day.  It answers as the service would, as far as an officer
meets it; who is due is simply who has waited longest, priority first.  The page's `web/practice.ts` is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from importlib.resources import files
from typing import Any, Final, NoReturn
from urllib.parse import unquote

import msgspec

from counters.building import Building, Procedure
from counters.press import (
    Announced,
    CounterView,
    HelpView,
    LineView,
    MessageView,
    PressReply,
    SeatView,
    TicketView,
    UndoView,
)
from queue_service.clock import Clock
from queue_service.errors import CODES
from queue_service.follower import Message
from queue_service.tickets import State

COUNTER: Final = "practice-1"
COLLEAGUE: Final = "practice-2"
OFFICER: Final = "practice"
SOMEBODY_COMES_MS: Final = 20_000
MOST_WAITING: Final = 9
UNDO_MS: Final = 60_000
HELP_COMES_MS: Final = 2_500
SHOWN_AFTER_MS: Final = 800
RECENT: Final = 12
PRIORITY_RATIO: Final = 6
"""A minute of a priority visitor counts six."""


class _Waiting(msgspec.Struct, frozen=True):
    service: str
    minutes: int
    ground: str | None = None


class Invented(msgspec.Struct, frozen=True):
    """What ``practice.json`` holds."""

    centre: Building
    procedures: tuple[Procedure, ...]
    names: dict[str, str]
    waiting: tuple[_Waiting, ...]


class _Hall(msgspec.Struct, frozen=True, kw_only=True):
    """The whole hall at one moment; `before` is what undo returns to."""

    seat: SeatView
    tickets: tuple[TicketView, ...] = ()
    messages: tuple[MessageView, ...] = ()
    help: HelpView | None = None
    before: _Hall | None = None

    def of(self, state: State) -> tuple[TicketView, ...]:
        return tuple(ticket for ticket in self.tickets if ticket.state is state)


def read_invented() -> Invented:
    """The invented hall."""
    return msgspec.json.decode(files("counters").joinpath("practice.json").read_bytes(), type=Invented)


class PracticeHall:
    """
    What a desk asks of the world, answered without it.

    Args:
        clock: the time of this machine.
    """

    def __init__(self, clock: Clock) -> None:
        invented = read_invented()
        self.building, self._procedures, self._names = invented.centre, invented.procedures, invented.names
        self._clock = clock
        self.centre, self.counter, self.path = self.building.id, COUNTER, f"/centres/{self.building.id}/{COUNTER}"
        self._seq = 1
        self._issued: dict[str, int] = {}
        now_ms = clock.now_ms()
        self._hall = _Hall(
            seat=SeatView(id=COUNTER, number=1, zone="hall", state="open", officer=OFFICER, since_ms=now_ms)
        )
        for one in invented.waiting:
            self._issue(one.service, now_ms - one.minutes * 60_000, one.ground)
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._due: list[tuple[int, Message | None]] = []
        """What happens by itself: when, and what is told then; None: somebody answers the call for help."""
        self._comes_ms = now_ms + SOMEBODY_COMES_MS

    # ── the hall's side ──────────────────────────────────────────────────────────────────────────────────────────

    async def view(self) -> CounterView:
        """As of a `client.CounterClient`."""
        hall, waiting = self._hall, self._waiting()
        ended = [ticket for ticket in hall.tickets if ticket.state in (State.SERVED, State.NO_SHOW)]
        lines = []
        for level, service in enumerate(self.building.services, 1):
            line = [ticket for ticket in waiting if ticket.service == service.id]
            lines.append(
                LineView(
                    service=service.id,
                    department=service.department,
                    level=level,
                    waiting=len(line),
                    priority=sum(ticket.cls != "standard" for ticket in line),
                    oldest_at_ms=min((ticket.issued_at_ms for ticket in line), default=None),
                )
            )
        return CounterView(
            counter=hall.seat,
            ticket=self._in_hand(),
            lines=tuple(lines),
            next=waiting[0] if waiting else None,
            parked=hall.of(State.PARKED),
            recent=tuple(sorted(ended, key=lambda ticket: ticket.ended_at_ms or 0, reverse=True)[:RECENT]),
            messages=hall.messages,
            help=hall.help,
            names=self._names,
            epoch="practice",
            seq=self._seq,
            now_ms=self._clock.now_ms(),
        )

    async def read(self, path: str) -> bytes:
        """As of a `client.CounterClient`: the usual procedures and those that are searched for, and who sits where."""
        if "/procedures" in path:
            words = unquote(path.partition("?q=")[2].partition("&")[0]).casefold()
            found = [one for one in self._procedures if words in one.name.casefold()]
            return msgspec.json.encode({"procedures": found})
        seat = self._hall.seat
        colleague = SeatView(id=COLLEAGUE, number=2, zone="hall", state="open", officer="practice.hoa")
        return msgspec.json.encode({"counters": [seat, colleague], "names": self._names})

    async def press(self, button: str, body: Mapping[str, Any], _key: object = None) -> PressReply:
        """
        As of a `client.CounterClient`; the key means nothing, because every press is answered.

        Raises:
            QueueError: as the service would refuse.
        """
        before = self._hall
        try:
            self._carry_out(button, body, before)
        except BaseException:
            self._hall = before
            raise
        self._tell("CounterOpened", counter=COUNTER)
        return PressReply(
            counter=self._hall.seat,
            ticket=self._in_hand(),
            epoch="practice",
            seq=self._seq,
            now_ms=self._clock.now_ms(),
        )

    async def mark_read(self, message: int) -> None:
        """As of a `client.CounterClient`."""
        left = tuple(one for one in self._hall.messages if one.message != message)
        self._become(messages=left)
        self._tell("MessageRead", counter=COUNTER)

    def hurry(self) -> None:
        """As of a `follower.Follower`: there is no link that could be lost."""

    async def messages(self) -> AsyncIterator[Message]:
        """As of a `follower.Follower`: what happens in the hall, also by itself."""
        yield {"type": "resumed"}
        while True:
            next_ms = min([self._comes_ms, *(at_ms for at_ms, _ in self._due)])
            try:
                async with asyncio.timeout(max(0, next_ms - self._clock.now_ms()) / 1000):
                    message = await self._said.get()
            except TimeoutError:
                self._time_passes(self._clock.now_ms())
            else:
                yield message

    # ── what there is ────────────────────────────────────────────────────────────────────────────────────────────

    def _become(self, **changes: Any) -> None:
        self._hall = msgspec.structs.replace(self._hall, **changes)

    def _seat(self, **changes: Any) -> None:
        self._become(seat=msgspec.structs.replace(self._hall.seat, **changes))

    def _ticket(self, ticket: TicketView, **changes: Any) -> TicketView:
        changed = msgspec.structs.replace(ticket, **changes)
        self._become(tickets=tuple(changed if one.id == ticket.id else one for one in self._hall.tickets))
        return changed

    def _in_hand(self) -> TicketView | None:
        return next((ticket for ticket in self._hall.tickets if ticket.id == self._hall.seat.ticket), None)

    def _held(self) -> TicketView:
        return self._in_hand() or _refuse("COUNTER_IDLE")

    def _waiting(self) -> list[TicketView]:
        """Who waits for this counter, the one who is due first."""
        now_ms = self._clock.now_ms()

        def counted(ticket: TicketView) -> int:
            return (now_ms - ticket.issued_at_ms) * (1 if ticket.cls == "standard" else PRIORITY_RATIO)

        here = [ticket for ticket in self._hall.of(State.WAITING) if ticket.announced == _at(COUNTER)]
        return sorted(here, key=counted, reverse=True)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────

    def _issue(self, service: str, issued_at_ms: int, ground: str | None = None) -> TicketView:
        department = self.building.department(self.building.service(service).department)
        n = self._issued[department.letter] = self._issued.get(department.letter, 0) + 1
        ticket = TicketView(
            id=f"practice-{department.letter}{n}",
            number=f"{department.letter}{n:03}",
            department=department.id,
            service=service,
            cls="standard" if ground is None else "priority",
            ground=ground,
            state=State.WAITING,
            issued_at_ms=issued_at_ms,
            printed=True,
            announced=_at(COUNTER),
        )
        self._become(tickets=(*self._hall.tickets, ticket))
        return ticket

    def _time_passes(self, now_ms: int) -> None:
        for at_ms, message in sorted(self._due, key=lambda due: due[0]):
            if at_ms > now_ms:
                continue
            self._due.remove((at_ms, message))
            if message is not None:
                self._said.put_nowait(message)
            else:
                self._help_comes(now_ms)
        if now_ms < self._comes_ms:
            return
        self._comes_ms = now_ms + SOMEBODY_COMES_MS
        if len(self._waiting()) < MOST_WAITING:
            ticket = self._issue("land" if self._seq % 3 == 0 else "civil", now_ms)
            self._tell("TicketIssued", service=ticket.service)
            if self._hall.seat.ready:
                self._invite(ticket, "ready", None)

    def _help_comes(self, now_ms: int) -> None:
        asked = self._hall.help
        if asked is None:
            return
        told = MessageView(message=self._seq + 1, at_ms=now_ms, sender="practice.chief", answers=asked.message)
        self._become(help=None, messages=(*self._hall.messages, told))
        self._tell("HelpAnswered", counter=COUNTER, answers=asked.message)

    def _tell(self, kind: str, **fact: Any) -> None:
        self._seq += 1
        event = {"type": kind, "seq": self._seq, "at_ms": self._clock.now_ms(), **fact}
        self._said.put_nowait({"type": "event", "event": event})

    def _invite(self, ticket: TicketView, rule: str, before: _Hall | None) -> None:
        now_ms = self._clock.now_ms()
        self._ticket(
            ticket,
            state=State.CALLED,
            counter=COUNTER,
            called_at_ms=now_ms,
            rings=1,
            started_at_ms=None,
            ended_at_ms=None,
            park_reason=None,
            park_until_ms=None,
        )
        self._seat(ticket=ticket.id, ready=False)
        self._remember("call-next", before)
        why = {
            "rule": rule,
            "class": ticket.cls,
            "ratio": 1 if ticket.cls == "standard" else PRIORITY_RATIO,
            "waited_ms": now_ms - ticket.issued_at_ms,
        }
        self._tell("TicketCalled", counter=COUNTER, ticket=ticket.id, call=self._seq + 1, why=why)
        shown = {"type": "shown", "calls": [{"call": self._seq, "shown": 2, "of": 2}]}
        self._due.append((now_ms + SHOWN_AFTER_MS, shown))

    def _remember(self, press: str, before: _Hall | None) -> None:
        """The step that undo takes back; a start keeps the call before it, so that both can be taken back."""
        if before is not None and press != "start":
            seat = msgspec.structs.replace(before.seat, undo=None)
            before = msgspec.structs.replace(before, before=None, seat=seat)
        self._become(before=before)
        self._seat(undo=None if before is None else UndoView(press=press, until_ms=self._clock.now_ms() + UNDO_MS))

    def _leave(self, state: State, press: str, before: _Hall) -> TicketView:
        ticket = self._ticket(self._held(), state=state, ended_at_ms=self._clock.now_ms())
        self._seat(ticket=None)
        self._remember(press, before)
        return ticket

    def _named(self, ticket: str) -> TicketView:
        found = (one for one in self._hall.tickets if ticket in (one.id, one.number))
        return next(found, None) or _refuse("UNKNOWN_TICKET")

    def _carry_out(self, button: str, body: Mapping[str, Any], before: _Hall) -> None:
        seat, now_ms = self._hall.seat, self._clock.now_ms()
        if button in ("call-next", "call", "resume"):
            if seat.ticket is not None:
                _refuse("COUNTER_BUSY")
            if seat.state in ("paused", "closed"):
                _refuse(f"COUNTER_{seat.state.upper()}")
        match button:
            case "open":
                self._seat(state="open", since_ms=now_ms, reason=None)
            case "pause":
                self._seat(state="paused", since_ms=now_ms, reason=body.get("reason"), ready=False)
            case "close":
                self._seat(state="closed", since_ms=now_ms, ready=False)
            case "call-next":
                waiting = self._waiting()
                if waiting:
                    self._invite(waiting[0], "oldest", before)
                else:
                    self._seat(ready=True)
            case "call":
                self._invite(self._named(body["ticket"]), "chosen", before)
            case "resume":
                self._invite(self._named(body["ticket"]), "resumed", before)
            case "recall":
                ticket = self._held()
                self._ticket(ticket, rings=ticket.rings + 1)
            case "start":
                self._ticket(self._held(), state=State.SERVING, started_at_ms=now_ms)
                self._remember("start", before)
            case "complete":
                self._leave(State.SERVED, "complete", before)
            case "no-show":
                if self._held().rings < self.building.policy.calls_before_no_show:
                    _refuse("TOO_EARLY_NO_SHOW")
                self._leave(State.NO_SHOW, "no-show", before)
            case "park":
                aside = {"park_reason": body.get("reason"), "park_until_ms": body.get("until_ms")}
                self._ticket(self._leave(State.PARKED, "park", before), **aside)
            case "transfer":
                ticket = self._leave(State.WAITING, "transfer", before)
                service = body.get("service", "land")
                to = COUNTER if service == "civil" else COLLEAGUE
                self._ticket(ticket, service=service, announced=_at(to), note=body.get("note", ticket.note))
            case "note":
                self._ticket(self._held(), note=body.get("text"))
            case "undo":
                if self._hall.before is None:
                    _refuse("NOTHING_TO_UNDO")
                self._hall = msgspec.structs.replace(
                    self._hall.before, messages=self._hall.messages, help=self._hall.help
                )
            case "ask-help":
                self._become(help=HelpView(message=self._seq, since_ms=now_ms, text=body.get("text")))
                self._due.append((now_ms + HELP_COMES_MS, None))
            case "answer-help":
                self._become(help=None)


def _at(counter: str) -> Announced:
    return Announced(counters=(counter,), label=counter[-1], zone="hall")


def _refuse(code: str) -> NoReturn:
    raise CODES[code](code)
