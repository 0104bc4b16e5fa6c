"""
The words of the counter, shared by console and terminal: buttons, what an officer sees, and the press that waits for
its answer.

Pure: no clock, no socket.  Which buttons are live follows from ``queue_service.tickets.TRANSITIONS``, so a screen
never offers a press that the service would refuse for the ticket's state.  ``client`` sends the presses and brings the
replies that are folded in here.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from queue_service.commands import (
    CallChosen,
    CallNext,
    Complete,
    CounterCommand,
    MarkNoShow,
    Note,
    Park,
    PressId,
    Recall,
    Resume,
    Start,
    Transfer,
)
from queue_service.tickets import TRANSITIONS, State


class Button(StrEnum):
    """What an officer can press; the value is the last part of the address."""

    OPEN = "open"
    PAUSE = "pause"
    CLOSE = "close"
    CALL_NEXT = "call-next"
    CALL = "call"
    RECALL = "recall"
    START = "start"
    COMPLETE = "complete"
    NO_SHOW = "no-show"
    PARK = "park"
    RESUME = "resume"
    TRANSFER = "transfer"
    NOTE = "note"
    ASK_HELP = "ask-help"
    ANSWER_HELP = "answer-help"
    """At one's own counter: nobody is needed any more."""
    UNDO = "undo"


AT_THE_COUNTER: Mapping[Button, type[CounterCommand]] = {
    Button.RECALL: Recall,
    Button.START: Start,
    Button.COMPLETE: Complete,
    Button.NO_SHOW: MarkNoShow,
    Button.PARK: Park,
    Button.TRANSFER: Transfer,
    Button.NOTE: Note,
}
"""Presses about the ticket that is at the counter."""

INVITING: Mapping[Button, type[CounterCommand]] = {
    Button.CALL_NEXT: CallNext,
    Button.CALL: CallChosen,
    Button.RESUME: Resume,
}
"""Presses that bring a ticket to the counter, which must be free."""

SEAT: Mapping[str, frozenset[Button]] = {
    "closed": frozenset({Button.OPEN}),
    "open": frozenset({Button.PAUSE, Button.CLOSE, Button.ASK_HELP, *INVITING}),
    "paused": frozenset({Button.OPEN, Button.CLOSE, Button.ASK_HELP}),
    "draining": frozenset({Button.OPEN, Button.PAUSE, Button.CLOSE, Button.ASK_HELP, *INVITING}),
}
"""Counter state -> presses about the seat and the line.  A pause keeps the visitor who is at the counter."""


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """Where the slip sends the visitor."""

    counters: tuple[str, ...] = ()
    label: str = ""
    zone: str | None = None


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor decided where the ticket stood, and why."""

    reason: str = ""


class TicketView(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket as the service answers it.  Fields that later versions add are passed over."""

    id: str
    number: str
    department: str
    service: str
    cls: str = msgspec.field(name="class")
    state: State
    issued_at_ms: int
    day: str = ""
    ground: str | None = None
    language: str = "vi"
    procedure: str | None = None
    printed: bool = False
    announced: Announced | None = None
    ahead: int | None = None
    counter: str | None = None
    counter_number: int | None = None
    called_at_ms: int | None = None
    rings: int = 0
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    park_reason: str | None = None
    park_until_ms: int | None = None
    note: str | None = None
    placed: Placed | None = None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why this ticket was called, as the core recorded it."""

    rule: str = ""
    cls: str = msgspec.field(name="class", default="standard")
    ratio: float = 1.0
    """How much faster this class ages than the standard one."""
    waited_ms: int = 0
    placed: Placed | None = None


class UndoView(msgspec.Struct, frozen=True, kw_only=True):
    """The press that can still be taken back, and until when."""

    press: str
    until_ms: int


class SeatView(msgspec.Struct, frozen=True, kw_only=True):
    """The desk itself: who sits there and what it does."""

    id: str
    number: int
    state: str
    zone: str | None = None
    officer: str | None = None
    since_ms: int | None = None
    reason: str | None = None
    ready: bool = False
    """Asked and got nobody: the next suitable visitor is called for it."""
    ticket: str | None = None
    undo: UndoView | None = None


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """One line that this counter serves."""

    service: str
    department: str
    level: int
    waiting: int
    priority: int = 0
    appointments: int = 0
    oldest_at_ms: int | None = None


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message to this counter that nobody has read yet; ``message`` is its name."""

    message: int
    at_ms: int
    sender: str
    text: str | None = None
    answers: int | None = None
    """The call for help that this answers."""


class HelpView(msgspec.Struct, frozen=True, kw_only=True):
    """The call for help that nobody has answered."""

    message: int
    since_ms: int
    text: str | None = None


class CounterView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one officer sees: the answer to ``GET …/counters/{counter}``."""

    counter: SeatView
    ticket: TicketView | None = None
    lines: tuple[LineView, ...] = ()
    next: TicketView | None = None
    parked: tuple[TicketView, ...] = ()
    recent: tuple[TicketView, ...] = ()
    """The last tickets of today that ended here, newest first."""
    messages: tuple[MessageView, ...] = ()
    """Oldest first; ``CounterClient.mark_read`` puts one away."""
    help: HelpView | None = None
    names: dict[str, str] = {}
    """Account -> what its owner is called."""
    epoch: str = ""
    seq: int = 0
    now_ms: int = 0


class PressReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a press.  ``ticket`` is None when nobody waits: that is an answer, not a fault."""

    counter: SeatView
    ticket: TicketView | None = None
    epoch: str = ""
    seq: int = 0
    now_ms: int = 0


class PendingPress(msgspec.Struct, frozen=True, kw_only=True):
    """
    A press on its way.  Its key is made once, when the finger comes down, and kept until the answer is there:
    whatever is repeated in between, by a nervous finger or a broken line, is this same press.
    """

    button: Button
    body: dict[str, Any]
    key: PressId


def new_key() -> PressId:
    """A fresh press id: 128 random bits in hexadecimal, within the letters an ``Idempotency-Key`` may have."""
    return PressId(secrets.token_hex(16))


def pressed(pending: PendingPress | None, button: Button, body: Mapping[str, Any]) -> PendingPress:
    """The press for this finger: the pending one when it is the same wish, so that a key struck twice is one press."""
    wish = dict(body)
    if pending is not None and (pending.button, pending.body) == (button, wish):
        return pending
    return PendingPress(button=button, body=wish, key=new_key())


def live_buttons(view: CounterView, now_ms: int, *, calls_before_no_show: int = 1) -> frozenset[Button]:
    """
    The buttons that make sense now.

    Args:
        now_ms: the service's time, which ends the seconds for taking back.
        calls_before_no_show: how often a visitor must have been called before absence counts (the centre's policy).
    """
    live = set(SEAT.get(view.counter.state, frozenset()))
    if view.ticket is None:
        if not view.parked:
            live.discard(Button.RESUME)
    else:
        live -= INVITING.keys()
        row = TRANSITIONS[view.ticket.state]
        live |= {button for button, command in AT_THE_COUNTER.items() if command in row}
        if view.ticket.rings < calls_before_no_show:
            live.discard(Button.NO_SHOW)
    if view.help is not None:
        live.add(Button.ANSWER_HELP)
    undo = view.counter.undo
    if undo is not None and now_ms < undo.until_ms:
        live.add(Button.UNDO)
    return frozenset(live)


def can_bring(button: Button, ticket: TicketView) -> bool:
    """
    Whether *button* may bring this chosen ticket to a free counter: call who waits or was absent, resume who was
    parked.
    """
    return button in INVITING and INVITING[button] in TRANSITIONS[ticket.state]


def fold(view: CounterView, reply: PressReply) -> CounterView:
    """
    *view* after *reply*: the seat as answered, the ticket only while it is at the counter, parked tickets beside it.
    """
    ticket = reply.ticket
    parked = view.parked
    if ticket is not None:
        parked = tuple(other for other in parked if other.id != ticket.id)
        if ticket.state is State.PARKED:
            parked = (*parked, ticket)
    is_here = ticket is not None and ticket.state in (State.CALLED, State.SERVING)
    following = view.next if ticket is None or view.next is None or view.next.id != ticket.id else None
    return msgspec.structs.replace(
        view,
        counter=reply.counter,
        ticket=ticket if is_here else None,
        parked=parked,
        next=following,
        epoch=reply.epoch or view.epoch,
        seq=max(reply.seq, view.seq) if reply.epoch == view.epoch else reply.seq or view.seq,
    )


def is_newer(answer: CounterView | PressReply, shown: CounterView) -> bool:
    """
    Whether *answer* may replace what is shown: answers overtake one another, the order of events does not.  In another
    epoch the later question wins, which is the caller's to know.
    """
    return answer.epoch != shown.epoch or (answer.seq, answer.now_ms) >= (shown.seq, shown.now_ms)


def primary(view: CounterView) -> Button:
    """The natural next press: open, call, start, complete."""
    if view.ticket is not None:
        return Button.START if view.ticket.state is State.CALLED else Button.COMPLETE
    return Button.CALL_NEXT if view.counter.state in ("open", "draining") else Button.OPEN


def rings_left(view: CounterView, needed: int) -> int:
    """How often the visitor must still be announced before absence counts."""
    is_called = view.ticket is not None and view.ticket.state is State.CALLED
    return max(0, needed - view.ticket.rings) if is_called and view.ticket is not None else 0


def numbers_meant(typed: str, letters: Sequence[str]) -> tuple[str, ...]:
    """
    The printed numbers that typed digits may mean at this counter, letters of its own work first; a number typed with
    its letter means itself.
    """
    found = re.fullmatch(r"\s*([A-Za-z]?)(\d{1,4})\s*", typed, re.ASCII)
    if found is None:
        return ()
    digits = found[2].rjust(3, "0")
    return (found[1].upper() + digits,) if found[1] else tuple(letter + digits for letter in letters)
