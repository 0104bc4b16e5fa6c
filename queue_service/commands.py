"""
Presses as data: one frozen value per wish, imperative.

A command says what somebody wants done and to what; who wants it, with which press id and when is the envelope
(``Press``). Field names are the names the Lua functions read.  Knows no rule: whether a wish may be granted is decided
in the Function.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, NewType

import msgspec

PressId = NewType("PressId", str)
CentreId = NewType("CentreId", str)
CounterId = NewType("CounterId", str)
PressName = NewType("PressName", str)
"""What a wish is called in addresses, steps, metrics and the audit: ``call-next``."""

_WORD = re.compile(r"(?<!^)(?=[A-Z])")


class Wish(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody wants done."""

    @classmethod
    def press_name(cls) -> PressName:
        """The wish's name: ``CallNext`` -> ``call-next``."""
        return PressName(_WORD.sub("-", cls.__name__).lower())


class Command(Wish, frozen=True, kw_only=True, omit_defaults=True):
    """A wish about the hall.  The Function named after it carries it out: ``CallNext`` by ``qs_call_next``."""

    function: ClassVar[str]

    def __init_subclass__(cls, **config: Any) -> None:
        super().__init_subclass__(**config)
        cls.function = "qs_" + cls.press_name().replace("-", "_")


class TicketCommand(Command, frozen=True, kw_only=True, omit_defaults=True):
    """A wish about one ticket, from a kiosk, a desk or the visitor's phone."""

    ticket: str


class CounterCommand(Command, frozen=True, kw_only=True, omit_defaults=True):
    """A wish of whoever sits at one counter."""

    counter: str


class IssueTicket(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Hand out a place in the line of *service*; the envelope brings the id to give it."""

    service: str
    further: tuple[str, ...] = ()
    """More services of the same visit, in this order unless *any_order*."""
    any_order: bool = False
    cls: str = msgspec.field(name="class")
    appointment_ms: int | None = None
    ground: str | None = None
    language: str = "vi"
    procedure: str | None = None


class MarkPrinted(TicketCommand, frozen=True, kw_only=True, omit_defaults=True):
    """The slip is on paper."""


class MarkLate(TicketCommand, frozen=True, kw_only=True, omit_defaults=True):
    """The visitor will be late: let some people pass."""


class Cancel(TicketCommand, frozen=True, kw_only=True, omit_defaults=True):
    """The visitor gives up the place."""

    reason: str | None = None


class Revive(TicketCommand, frozen=True, kw_only=True, omit_defaults=True):
    """The visitor is back: let a parked, absent or cancelled ticket wait again."""

    reason: str | None = None


class SetPlace(TicketCommand, frozen=True, kw_only=True, omit_defaults=True):
    """
    A supervisor decides where the ticket stands, and says why.  Exactly one of *before*, *after* and *at_ms*.

    Args:
        service: the line; None: that of the ticket. before: the ticket, by id or number, that is to be next behind it.
        after: how many people of the line will be ahead, at most 99. at_ms: as if it had come then.
    """

    reason: str
    service: str | None = None
    before: str | None = None
    after: int | None = None
    at_ms: int | None = None


class Expire(TicketCommand, frozen=True, kw_only=True, omit_defaults=True):
    """The day of the ticket is over."""


class Open(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """Take the seat (or keep it) and be ready to call; also ends a pause."""

    take_over: bool = False
    keep_officer: bool = False
    """A supervisor opens the counter for whoever holds the seat."""
    reason: str | None = None


class Pause(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """Stop calling for a while; the seat and the visitor at the counter stay."""

    reason: str | None = None


class Close(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """Stop calling and leave the seat.  With *drain*: first call those whose slip names this counter."""

    drain: bool = False
    reason: str | None = None


class Assign(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """What the counter serves for the rest of the business day, service -> level; None: what the file says."""

    serves: dict[str, int] | None = None
    reason: str


class CallNext(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """
    Invite whoever is due (lua/26_select.lua).

    Args:
        yields: leave the ticket to a counter that asked in vain, is named on the slip and would call it, too.
    """

    yields: bool = False


class CallChosen(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """Invite this ticket, by id, out of turn and on record."""

    ticket: str
    reason: str | None = None


class Recall(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """Announce the called ticket again, everywhere."""


class Start(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """The visitor has sat down."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A procedure that was handled, and how many dossiers of it."""

    procedure: str
    """The national code in the centre's catalogue."""
    dossiers: int = 1


class Complete(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """The visitor is served; what was done is checked by ``dispatch.check_record``."""

    done: tuple[Done, ...] | None = None
    outcome: str | None = None


class MarkNoShow(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """Called and absent."""


class Park(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """Set aside: the visitor fetches a paper and comes back to this counter."""

    reason: str | None = None
    until_ms: int | None = None
    """When the visitor means to be back."""


class Resume(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """Call a parked ticket back to the counter."""

    ticket: str


class Transfer(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """Send the visitor on to *service*, to a counter, or to where an officer sits, keeping number and age."""

    service: str | None = None
    further: tuple[str, ...] | None = None
    """All that is left of the visit after *service*; None: what was left before."""
    served: bool = False
    """The service here was completed."""
    to_counter: str | None = None
    to_officer: str | None = None
    """As an actor: ``staff:lan``."""
    note: str | None = None


class Note(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """Keep *text* on the ticket in hand for whoever serves it next; nothing takes the note away."""

    text: str | None = None


class Undo(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """Take back this counter's last step."""


class AskHelp(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """The officer asks for a supervisor to come."""

    text: str | None = None


class AnswerHelp(CounterCommand, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody comes to the counter that asked, or nobody is needed any more."""

    text: str | None = None


class SendMessage(Command, frozen=True, kw_only=True, omit_defaults=True):
    """A few words: to the counters in *to*, or to the supervisors when none is named."""

    text: str
    to: tuple[str, ...] | None = None
    counter: str | None = None
    """Where the sender sits."""


class MarkRead(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Put the message with this seq away, at *counter* or in the control room."""

    message: int
    counter: str | None = None


class SwitchIssuing(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Switch the handing out of numbers on or off, with a text for the kiosks."""

    open: bool
    text: str = ""


class AdvanceDay(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Begin the business day *day* (``YYYY-MM-DD``)."""

    day: str


class Configure(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Put a centre's configuration in force: packed pieces as ``codec.centre_pieces`` makes them."""

    new_version: str
    day: str
    epoch: str
    """Used only for a centre that has none yet."""
    pieces: dict[str, bytes]
    file: bytes
    """The centre's file, from which every process reads it (``centre.to_json``)."""
    assigned: str = ""
    """What of the pieces is only today's (``assignments.Assignments.text``)."""
    was_assigned: str = ""
    """The same as it was when the pieces were made."""
    was_version: str = ""
    """Only while this version is in force; empty: whatever is."""


class RenewEpoch(Command, frozen=True, kw_only=True, omit_defaults=True):
    """The event order may have gone back (restore, fail-over): begin a new one."""

    epoch: str


class Publish(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Record a fact about a dossier that the archive has decided (``dossiers.fact_of``)."""

    fact: dict[str, Any]


class Forget(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Drop finished tickets of days before yesterday.  At most 200 at a time."""

    tickets: list[str]


class Press(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    The envelope of a command.

    Args:
        press_id: made where the finger is; repeating it returns the first answer. actor: who presses: ``staff:lan``,
        ``device:k1``, ``phone``, ``system``. now_ms: Unix milliseconds, from the service's clock. over: whether the
        actor may act on a seat that is not theirs (supervisors). new_ticket: the id for a ticket this press may make:
        128 random bits. wait: the wait to announce. after: the centre as an assignment would leave it
        (``assignments.After``).  The last three are not part of what the press says, so a repeat may bring others.
    """

    press_id: str
    actor: str
    now_ms: int
    over: bool = False
    new_ticket: str = ""
    wait: dict[str, int] | None = None
    after: dict[str, Any] | None = None
