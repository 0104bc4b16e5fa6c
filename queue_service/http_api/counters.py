"""
The presses of counter staff, and what they look at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Final, cast

from msgspec import Meta, Struct

from queue_service import commands, views
from queue_service.authority import Identity, actor_of, allow
from queue_service.centre import Centre, TicketClass
from queue_service.codec import Reply, read_ticket
from queue_service.contract import H, clean_text, operation
from queue_service.dispatch import Dispatch
from queue_service.errors import (
    AlreadyHere,
    CounterBusy,
    CounterClosed,
    CounterIdle,
    CounterPaused,
    InboxFull,
    Malformed,
    NobodyServes,
    NothingToUndo,
    NotYourSeat,
    OfficerNotSeated,
    QueueError,
    RecordMissing,
    SeatTaken,
    TicketElsewhere,
    TooEarlyNoShow,
    UndoExpired,
    UnknownProcedure,
    UnknownService,
    UnknownTicket,
    WrongState,
)
from queue_service.http_api.words import (
    BASE,
    OFFICERS,
    RECENT,
    SUPERVISORS,
    Body,
    GivenReason,
    Line,
    Names,
    Reason,
    Slug,
    TicketIdText,
    TicketText,
)
from queue_service.tickets import State, Ticket


class OpenBody(Body, frozen=True):
    """Whether to take the seat from whoever holds it, or, as a supervisor, to open the counter for them."""

    take_over: bool = False
    keep_officer: bool = False
    reason: Line | None = None


class CloseBody(Body, frozen=True):
    """Whether to call first those whose slip names this counter."""

    drain: bool = False
    reason: Line | None = None


class AssignBody(Body, frozen=True):
    """What the counter serves for the rest of the day, service -> level, and why; null: what the centre's file says."""

    reason: GivenReason
    serves: Annotated[dict[Slug, Annotated[int, Meta(ge=1, le=9)]], Meta(max_length=100)] | None = None


class ChosenBody(Body, frozen=True):
    """Which ticket, by id or printed number, and why."""

    ticket: TicketText
    reason: Line | None = None


class DoneItem(Body, frozen=True):
    """A procedure that was handled, and how many dossiers of it."""

    procedure: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
    dossiers: Annotated[int, Meta(ge=0, le=999)] = 1


class CompleteBody(Body, frozen=True):
    """What was done, where the centre records it."""

    done: Annotated[tuple[DoneItem, ...], Meta(max_length=20)] = ()
    outcome: Slug | None = None


class ParkBody(Body, frozen=True):
    """Why, and when the visitor means to be back."""

    reason: Line | None = None
    until_ms: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class NoteBody(Body, frozen=True):
    """What the next colleague should know; nothing takes the note away."""

    text: Line | None = None


class ResumeBody(Body, frozen=True):
    """Which parked ticket."""

    ticket: TicketIdText


class TransferBody(Body, frozen=True):
    """To which service, counter or officer."""

    service: Slug | None = None
    counter: Slug | None = None
    officer: Annotated[str, clean_text(64, 1)] | None = None
    """Account name; the ticket goes to the counter where this officer sits now."""
    note: Line | None = None


class HelpBody(Body, frozen=True):
    """What it is about."""

    text: Line | None = None


COUNTER: Final = BASE + "/counters/{counter}"
SEAT: Final = (NotYourSeat,)
IN_HAND: Final = (NotYourSeat, CounterIdle, WrongState)
UNDOING: Final = (NotYourSeat, NothingToUndo, UndoExpired, TicketElsewhere, CounterBusy)
SENDING: Final = (*IN_HAND, UnknownService, NobodyServes, OfficerNotSeated, AlreadyHere)
CALLING: Final = (NotYourSeat, CounterBusy, CounterPaused, CounterClosed)


def press_operation(
    path: str, summary: str, refusals: tuple[type[QueueError], ...], body: type[Struct] | None = None
) -> Callable[[H], H]:
    """The declaration that all presses at a counter share."""
    return operation(
        "POST",
        f"{COUNTER}/{path}",
        summary=summary,
        roles=OFFICERS,
        press=True,
        body=body,
        answers={200: views.CounterReply},
        refusals=refusals,
        tags=("counters",),
    )


class Counters:
    """The presses of counter staff, and what they look at."""

    def __init__(self, dispatch: Dispatch, names: Names) -> None:
        self._dispatch, self._names = dispatch, names

    @press_operation("open", "Take the seat and begin to call", (SeatTaken,), OpenBody)
    async def open_counter(
        self, centre: str, counter: str, body: OpenBody, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """Also ends a pause.  A ticket in hand stays in hand."""
        command = commands.Open(
            counter=counter, take_over=body.take_over, keep_officer=body.keep_officer, reason=body.reason
        )
        return await self._press(centre, command, press_id, identity)

    @press_operation("pause", "Stop calling for a while", (*SEAT, CounterClosed), Reason)
    async def pause_counter(
        self, centre: str, counter: str, body: Reason, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """The visitor at the counter and the seat stay."""
        return await self._press(centre, commands.Pause(counter=counter, reason=body.reason), press_id, identity)

    @press_operation("close", "Stop calling and leave the seat", SEAT, CloseBody)
    async def close_counter(
        self, centre: str, counter: str, body: CloseBody, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """A service under way is not cut; slips that name only this counter are announced anew."""
        command = commands.Close(counter=counter, drain=body.drain, reason=body.reason)
        return await self._press(centre, command, press_id, identity)

    @operation(
        "POST",
        COUNTER + "/assign",
        summary="Change what a counter serves today",
        roles=SUPERVISORS,
        press=True,
        body=AssignBody,
        answers={200: views.CounterReply},
        refusals=(UnknownService, NobodyServes),
        tags=("counters",),
    )
    async def assign_counter(
        self, centre: str, counter: str, body: AssignBody, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """
        Until the business day is over; the centre's file stays as it is.  Slips that would name the wrong counters
        choose again, and nobody who waits may be left without a counter.
        """
        command = commands.Assign(counter=counter, serves=body.serves, reason=body.reason)
        return await self._press(centre, command, press_id, identity)

    @press_operation("call-next", "Invite whoever is due", CALLING)
    async def call_next(self, centre: str, counter: str, press_id: str, identity: Identity) -> views.CounterReply:
        """
        ``ticket`` is null when nobody waits: the counter is ready then, and the next suitable visitor is called for it.
        """
        return await self._press(centre, commands.CallNext(counter=counter), press_id, identity)

    @press_operation("call", "Invite this ticket out of turn", (*CALLING, UnknownTicket, WrongState), ChosenBody)
    async def call_chosen(
        self, centre: str, counter: str, body: ChosenBody, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """By id or printed number; recorded with the reason."""
        command = commands.CallChosen(counter=counter, ticket=body.ticket, reason=body.reason)
        return await self._press(centre, command, press_id, identity)

    @press_operation("recall", "Announce the called ticket again", IN_HAND)
    async def recall(self, centre: str, counter: str, press_id: str, identity: Identity) -> views.CounterReply:
        """Rings on every board of the zone."""
        return await self._press(centre, commands.Recall(counter=counter), press_id, identity)

    @press_operation("start", "The visitor has come", IN_HAND)
    async def start(self, centre: str, counter: str, press_id: str, identity: Identity) -> views.CounterReply:
        """From called to serving."""
        return await self._press(centre, commands.Start(counter=counter), press_id, identity)

    @press_operation("complete", "The visitor is served", (*IN_HAND, UnknownProcedure, RecordMissing), CompleteBody)
    async def complete(
        self, centre: str, counter: str, body: CompleteBody, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """The counter is free.  What was done is recorded, and by the centre's rule must be said."""
        done = tuple(commands.Done(procedure=item.procedure, dossiers=item.dossiers) for item in body.done) or None
        command = commands.Complete(counter=counter, done=done, outcome=body.outcome)
        return await self._press(centre, command, press_id, identity)

    @press_operation("no-show", "Called and absent", (*IN_HAND, TooEarlyNoShow))
    async def mark_no_show(self, centre: str, counter: str, press_id: str, identity: Identity) -> views.CounterReply:
        """After the centre's number of calls; by its policy the ticket is missed or waits again some places back."""
        return await self._press(centre, commands.MarkNoShow(counter=counter), press_id, identity)

    @press_operation("park", "Set the ticket aside", IN_HAND, ParkBody)
    async def park(
        self, centre: str, counter: str, body: ParkBody, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """The visitor fetches something and keeps the place.  Nothing happens by itself when the time has come."""
        command = commands.Park(counter=counter, reason=body.reason, until_ms=body.until_ms)
        return await self._press(centre, command, press_id, identity)

    @press_operation("note", "Note something about the visitor", IN_HAND, NoteBody)
    async def note(
        self, centre: str, counter: str, body: NoteBody, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """For staff only; it stays on the ticket and is shown at the next counter."""
        return await self._press(centre, commands.Note(counter=counter, text=body.text or None), press_id, identity)

    @press_operation("resume", "Call a parked ticket", (*CALLING, UnknownTicket, WrongState), ResumeBody)
    async def resume(
        self, centre: str, counter: str, body: ResumeBody, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """One's own or another counter's."""
        return await self._press(centre, commands.Resume(counter=counter, ticket=body.ticket), press_id, identity)

    @press_operation("transfer", "Send the visitor on", SENDING, TransferBody)
    async def transfer(
        self, centre: str, counter: str, body: TransferBody, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """To a service, a counter or an officer; number and class stay, and up to a quarter of an hour of age."""
        if body.counter is not None and body.officer is not None:
            raise Malformed("Say to which counter or to which officer, not both.")
        officer = f"staff:{body.officer}" if body.officer is not None else None
        command = commands.Transfer(
            counter=counter, service=body.service, to_counter=body.counter, to_officer=officer, note=body.note
        )
        return await self._press(centre, command, press_id, identity)

    @press_operation("ask-help", "Ask a supervisor to come", SEAT, HelpBody)
    async def ask_help(
        self, centre: str, counter: str, body: HelpBody, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """One call a counter, until it is answered; asking again with other words changes the words."""
        return await self._press(centre, commands.AskHelp(counter=counter, text=body.text), press_id, identity)

    @press_operation("answer-help", "Say who comes, or that nobody is needed", (*SEAT, InboxFull), HelpBody)
    async def answer_help(
        self, centre: str, counter: str, body: HelpBody, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """A supervisor answers, the officer withdraws.  Nobody asks: nothing happens."""
        return await self._press(centre, commands.AnswerHelp(counter=counter, text=body.text), press_id, identity)

    @press_operation("undo", "Take back the last step", UNDOING)
    async def undo(self, centre: str, counter: str, press_id: str, identity: Identity) -> views.CounterReply:
        """While nobody has built on it, and within the centre's time."""
        return await self._press(centre, commands.Undo(counter=counter), press_id, identity)

    @operation(
        "GET",
        BASE + "/counters",
        summary="Who sits where",
        roles=OFFICERS,
        answers={200: views.SeatsReply},
        tags=("counters",),
    )
    async def read_seats(self, centre: str) -> views.SeatsReply:
        """All counters, for an officer who looks for a seat."""
        configured = await self._dispatch.centre(centre)
        day, records = await self._dispatch.store.read_counters(centre)
        seats = [views.counter_view(configured, counter.id, records.get(counter.id)) for counter in configured.counters]
        names = await self._names({seat.officer for seat in seats if seat.officer is not None})
        return views.SeatsReply(
            counters=tuple(seats), names=names, **views.day_anchor(day, self._dispatch.clock.now_ms())
        )

    @operation(
        "GET",
        COUNTER,
        summary="What the officer looks at",
        roles=OFFICERS,
        answers={200: views.DeskReply},
        tags=("counters",),
    )
    async def read_desk(self, centre: str, counter: str) -> views.DeskReply:
        """The counter, its ticket, its lines, who is due next, who is parked, and what was done."""
        configured = await self._dispatch.centre(centre)
        store = self._dispatch.store
        day, record, heads = await store.read_desk(configured, counter)
        if day["version"] != configured.version:  # the console asks because it has heard of another one
            configured = await self._dispatch.read_again(centre)
            day, record, heads = await store.read_desk(configured, counter)
        now_ms = max(self._dispatch.clock.now_ms(), int(day["clock"]))
        in_hand = await store.read_tickets(centre, [record["ticket"]] if record.get("ticket") else [])
        parked, recent = await self._aside(configured, counter)
        messages, calls = await store.read_messages(centre, counter)
        asked = {id: call for id, call in calls.items() if id == counter}
        due = await store.read_tickets(centre, _most_due(configured, counter, day, heads, now_ms))
        seat, letters = views.counter_view(configured, counter, record), views.message_views(configured, messages)
        people = {letter.sender for letter in letters} | ({seat.officer} if seat.officer is not None else set())
        return views.DeskReply(
            counter=seat,
            ticket=views.ticket_view(configured, in_hand[0]) if in_hand else None,
            lines=views.line_views(configured, counter, heads),
            next=views.ticket_view(configured, due[0]) if due else None,
            parked=tuple(views.ticket_view(configured, ticket) for ticket in parked),
            recent=tuple(views.ticket_view(configured, ticket) for ticket in recent),
            messages=letters,
            help=next(iter(views.help_views(configured, asked)), None),
            names=await self._names(people),
            **views.day_anchor(day, now_ms),
        )

    async def _aside(self, centre: Centre, counter: str) -> tuple[list[Ticket], list[Ticket]]:
        """Tickets parked where this counter could resume them, and the last that ended at this counter."""
        ids = await self._dispatch.set_aside(centre, counter)
        tickets = await self._dispatch.store.read_tickets(centre.id, ids)
        parked = [ticket for ticket in tickets if ticket.state == State.PARKED]
        ended = [ticket for ticket in tickets if ticket.ended_at_ms is not None and ticket.state != State.PARKED]
        parked.sort(key=lambda ticket: ticket.virtual_ms)
        ended.sort(key=lambda ticket: ticket.ended_at_ms or 0, reverse=True)
        return parked, ended[:RECENT]

    async def _press(
        self, centre: str, command: commands.CounterCommand, press_id: str, identity: Identity
    ) -> views.CounterReply:
        over = allow(identity, SUPERVISORS, centre)
        reply = await self._dispatch.press(centre, command, actor=actor_of(identity), press_id=press_id, over=over)
        return _counter_reply(await self._dispatch.centre(centre), reply)


def _counter_reply(centre: Centre, reply: Reply) -> views.CounterReply:
    ticket = reply.get("ticket")
    record = reply["counter"]
    return views.CounterReply(
        ticket=views.ticket_view(centre, read_ticket(ticket)) if ticket else None,
        counter=views.counter_view(centre, record["id"], record),
        **views.anchor(reply),
    )


def _most_due(
    centre: Centre, counter: str, day: Mapping[str, str], heads: list[tuple[str, str, int, str | None]], now_ms: int
) -> list[str]:
    """The id of the head with the largest counted wait (lua/26_select.lua, without the window), or none."""
    policy = centre.policy
    best: tuple[float, str, str] | None = None
    for service, cls, _, member in heads:
        if member is None:
            continue
        _, _, virtual, order, id = member.split("/")
        mean = day.get(f"mean:{service}")
        mean_ms = float(mean.partition(" ")[0]) if mean else centre.service(service).mean_service_s * 1000
        ratio = policy.classes[0].promise_s / policy.promise_s(cast(TicketClass, cls))
        level = centre.counter(counter).level(service) or 1
        counted = ratio * (now_ms - int(virtual)) - policy.handicap_s * 1000 * (level - 1) - policy.kappa * mean_ms
        if best is None or counted > best[0] or (counted == best[0] and order < best[1]):
            best = (counted, order, id)
    return [best[2]] if best else []
