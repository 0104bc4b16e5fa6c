"""
The HTTP door of the service: parse, dispatch, answer.

Declares every operation of ``/api/v1`` (contract.py checks requests and writes OpenAPI from the declarations).  Holds
no rule of the queue: presses go to dispatch, reading goes to the store, and streams are somebody else's, handed in as
``Streams``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, Protocol

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from queue_service import commands, metrics, views
from queue_service.centre import Centre, TicketClass
from queue_service.clock import Clock
from queue_service.codec import read_ticket
from queue_service.contract import Answer, clean_text, operation
from queue_service.dispatch import Dispatch
from queue_service.errors import (
    CounterBusy,
    CounterClosed,
    CounterIdle,
    CounterPaused,
    DayNotLater,
    IssuingClosed,
    Malformed,
    NobodyServes,
    NothingToUndo,
    NotYourSeat,
    NumbersExhausted,
    SeatTaken,
    TicketElsewhere,
    TooEarlyNoShow,
    UndoExpired,
    UnknownBoard,
    UnknownProcedure,
    UnknownService,
    UnknownTicket,
    WrongPassword,
    WrongState,
)
from queue_service.events import Event
from queue_service.identity import Identities, Identity, allow
from queue_service.procedures import Catalogue, FieldCount, Procedure, fee_text, time_text
from queue_service.store import Reply
from queue_service.tickets import State, Ticket

BASE: Final = "/api/v1/centres/{centre}"
COOKIE: Final = "qs_staff"
OFFICERS: Final = ("officer", "supervisor", "admin")
SUPERVISORS: Final = ("supervisor", "admin")
ISSUERS: Final = ("kiosk", "desk", "supervisor", "admin")
DESKS: Final = ("kiosk", "desk", "officer", "supervisor", "admin")
READERS: Final = ("officer", "desk", "supervisor", "admin", "integrator")
RECENT: Final = 12
SESSION_S: Final = 24 * 3600

Slug = Annotated[str, Meta(pattern=r"\A[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")]
TicketIdText = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{22}\Z")]
Line = Annotated[str, clean_text(200)]
Language = Annotated[str, Meta(pattern=r"\A[a-z]{2,3}\Z")]


class Body(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a request says; nothing that is not listed."""


class SignIn(Body, frozen=True):
    """A name, a password, and whether to answer with a bearer token instead of a cookie."""

    name: Annotated[str, Meta(max_length=64)]
    password: Annotated[str, Meta(max_length=200)]
    bearer: bool = False


class Issue(Body, frozen=True):
    """What the visitor comes for."""

    service: Slug
    cls: TicketClass = msgspec.field(name="class", default="standard")
    ground: Slug | None = None
    language: Language = "vi"
    procedure: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")] | None = None


class Reason(Body, frozen=True):
    """Why, in a few words."""

    reason: Line | None = None


class OpenBody(Body, frozen=True):
    """Whether to take the seat from whoever holds it."""

    take_over: bool = False


class CloseBody(Body, frozen=True):
    """Whether to call first those whose slip names this counter."""

    drain: bool = False


class ChosenBody(Body, frozen=True):
    """Which ticket, by id or printed number, and why."""

    ticket: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,22}\Z")]
    reason: Line | None = None


class ResumeBody(Body, frozen=True):
    """Which parked ticket."""

    ticket: TicketIdText


class TransferBody(Body, frozen=True):
    """To which service or counter."""

    service: Slug | None = None
    counter: Slug | None = None
    note: Line | None = None


class IssuingBody(Body, frozen=True):
    """Whether numbers are handed out, and what the kiosks say."""

    open: bool
    text: Line = ""


class DayBody(Body, frozen=True):
    """The business day to begin."""

    day: Annotated[str, Meta(pattern=r"\A20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\Z")]


class ProcedureQuery(Body, frozen=True):
    """What to look for."""

    q: Annotated[str, clean_text(120)] = ""
    department: Slug | None = None
    field: Annotated[str, Meta(max_length=40)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    language: Language = "vi"


class FieldQuery(Body, frozen=True):
    """Of which department."""

    department: Slug | None = None


class EventQuery(Body, frozen=True):
    """After which event, and how many."""

    after: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


class User(Struct, frozen=True):
    """Whoever is signed in."""

    name: str
    display_name: str
    roles: tuple[str, ...]
    centres: tuple[str, ...]


class SessionReply(Struct, frozen=True, omit_defaults=True):
    """A session."""

    user: User
    token: str | None = None


class CentreItem(Struct, frozen=True):
    """One centre of the installation."""

    id: str
    name: str
    name_en: str
    level: str


class CentreList(Struct, frozen=True):
    """All centres of the installation."""

    centres: tuple[CentreItem, ...]


class ProcedureItem(Struct, frozen=True):
    """One procedure in a list."""

    code: str
    name: str
    department: str
    field: str
    time_text: str
    fee_text: str
    online: str


class ProcedureList(Struct, frozen=True):
    """Procedures found, best first."""

    procedures: tuple[ProcedureItem, ...]
    total: int


class EventPage(Struct, frozen=True):
    """Events in order; ask for those after ``next`` to go on."""

    epoch: str
    events: tuple[dict[str, Any], ...]
    next: int


class WhyReply(Struct, frozen=True):
    """What decided the last call of a ticket; null while it was never called."""

    ticket: str
    why: dict[str, Any] | None
    called: dict[str, Any] | None


class Streams(Protocol):
    """Whoever answers for a long time: the boards' door (displays/screen_door.py)."""

    async def board(self, request: web.Request) -> web.StreamResponse:
        """The board as it is now."""
        ...

    async def board_stream(self, request: web.Request) -> web.StreamResponse:
        """The board's events."""
        ...

    async def staff_stream(self, request: web.Request, centre: str, identity: Identity) -> web.StreamResponse:
        """The centre's events in the staff form."""
        ...

    async def follow(
        self,
        request: web.Request,
        centre: str,
        concerns: Callable[[Event], float | None],
        read: Callable[[], Awaitable[Mapping[str, Any]]],
        kind: str,
    ) -> web.StreamResponse:
        """What *read* says, now and whenever it changes."""
        ...


def actor_of(identity: Identity) -> str:
    """Whose press it is: part of what a press id is remembered by, and the name in events."""
    if identity.kind == "nobody":
        return "phone"
    return identity.name if identity.kind == "device" else f"staff:{identity.name}"


class Sessions:
    """Signing in and out."""

    def __init__(self, identities: Identities, clock: Clock, *, secure: bool) -> None:
        self._identities = identities
        self._clock = clock
        self._secure = secure

    @operation(
        "POST",
        "/api/v1/session",
        summary="Sign in",
        body=SignIn,
        answers={200: SessionReply},
        refusals=(WrongPassword,),
        tags=("session",),
    )
    async def sign_in(self, body: SignIn, address: str) -> Answer:
        """Answers with a cookie for browsers, or with a token for programs that ask for a bearer."""
        try:
            token, identity = await self._identities.sign_in(body.name, body.password, address, self._clock.now_ms())
        except WrongPassword:
            metrics.REFUSED_SIGN_INS.inc()
            raise
        if body.bearer:
            return Answer(SessionReply(_user(identity), token))
        return Answer(SessionReply(_user(identity)), headers={"Set-Cookie": self._cookie(token, SESSION_S)})

    @operation(
        "GET",
        "/api/v1/session",
        summary="Who is signed in",
        roles=("officer", "desk", "supervisor", "admin", "integrator"),
        answers={200: SessionReply},
        tags=("session",),
    )
    async def who(self, identity: Identity) -> SessionReply:
        """The account of the cookie or bearer token."""
        return SessionReply(_user(identity))

    @operation("DELETE", "/api/v1/session", summary="Sign out", answers={204: None}, tags=("session",))
    async def sign_out(self, request: web.Request) -> Answer:
        """Ends the session everywhere."""
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        token = bearer or request.cookies.get(COOKIE, "")
        if token:
            await self._identities.sign_out(token)
        return Answer(None, headers={"Set-Cookie": self._cookie("", 0)})

    def _cookie(self, token: str, seconds: int) -> str:
        secure = "; Secure" if self._secure else ""
        return f"{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def _user(identity: Identity) -> User:
    return User(identity.name, identity.display_name, tuple(sorted(identity.roles)), tuple(sorted(identity.centres)))


class Centres:
    """What a centre is, and what can be looked up there."""

    def __init__(self, dispatch: Dispatch, catalogues: Mapping[str, Catalogue]) -> None:
        self._dispatch = dispatch
        self._catalogues = catalogues

    @operation("GET", "/api/v1/centres", summary="All centres", answers={200: CentreList}, tags=("centre",))
    async def list_centres(self) -> CentreList:
        """The centres of this installation."""
        centres = [await self._dispatch.centre(id) for id in await self._dispatch.store.centre_ids()]
        return CentreList(tuple(CentreItem(c.id, c.name, c.name_en, c.level) for c in centres))

    @operation("GET", BASE, summary="A centre", answers={200: dict[str, Any]}, tags=("centre",))
    async def read_centre(self, centre: str) -> Answer:
        """
        Departments, services, counters, boards and grounds as configured, whether numbers are handed out, the business
        day.
        """
        configured = await self._dispatch.centre(centre)
        day = await self._dispatch.store.read_day(centre)
        value = msgspec.to_builtins(configured)
        value |= {"version": configured.version, "issuing": views.issuing_view(day), "day": day["day"]}
        return Answer(value, etag=f"{configured.version}-{day['day']}-{hash((day['issuing'], day['issuing_text'])):x}")

    @operation(
        "GET",
        BASE + "/procedures",
        summary="Find procedures",
        query=ProcedureQuery,
        answers={200: ProcedureList},
        tags=("procedures",),
    )
    async def find_procedures(self, centre: str, query: ProcedureQuery) -> ProcedureList:
        """Accents may be left out, and one slip a word is forgiven."""
        catalogue = await self._catalogue(centre)
        found = catalogue.search(query.q, query.department, query.field, query.limit)
        return ProcedureList(tuple(_procedure_item(p, query.language) for p in found.procedures), found.total)

    @operation(
        "GET",
        BASE + "/procedures/{code}",
        summary="A procedure",
        answers={200: Procedure},
        refusals=(UnknownProcedure,),
        tags=("procedures",),
    )
    async def read_procedure(self, centre: str, code: str) -> Procedure:
        """Papers, fee, time limit, legal basis and source of one procedure."""
        procedure = (await self._catalogue(centre)).get(code)
        if procedure is None:
            raise UnknownProcedure(f"There is no procedure {code} at this centre.")
        return procedure

    @operation(
        "GET",
        BASE + "/fields",
        summary="Fields of procedures",
        query=FieldQuery,
        answers={200: tuple[FieldCount, ...]},
        tags=("procedures",),
    )
    async def list_fields(self, centre: str, query: FieldQuery) -> tuple[FieldCount, ...]:
        """The fields (lĩnh vực) of a department, with the number of procedures in each."""
        return (await self._catalogue(centre)).fields(query.department)

    async def _catalogue(self, centre: str) -> Catalogue:
        await self._dispatch.centre(centre)
        return self._catalogues.get(centre) or Catalogue(())


def _procedure_item(procedure: Procedure, language: str) -> ProcedureItem:
    return ProcedureItem(
        code=procedure.code,
        name=procedure.name,
        department=procedure.department,
        field=procedure.field.name,
        time_text=time_text(procedure, language),
        fee_text=fee_text(procedure, language),
        online=procedure.online,
    )


TICKET: Final = BASE + "/tickets/{ticket}"


class Tickets:
    """Places in line: handing out, looking at, giving up."""

    def __init__(self, dispatch: Dispatch, streams: Streams) -> None:
        self._dispatch = dispatch
        self._streams = streams

    @operation(
        "POST",
        BASE + "/tickets",
        summary="Take a number",
        roles=ISSUERS,
        press=True,
        body=Issue,
        answers={201: views.TicketReply},
        refusals=(IssuingClosed, UnknownService, NobodyServes, NumbersExhausted),
        tags=("tickets",),
        issues=True,
    )
    async def issue_ticket(self, centre: str, body: Issue, press_id: str, identity: Identity) -> views.TicketReply:
        """Answers with the number, the counters it names and how many are before it."""
        configured = await self._dispatch.centre(centre)
        cls = body.cls
        if body.ground is not None:
            cls = configured.ground(body.ground).cls
        if body.language not in configured.languages:
            raise Malformed(f"This centre speaks {', '.join(configured.languages)}.")
        command = commands.IssueTicket(
            service=body.service, cls=cls, ground=body.ground, language=body.language, procedure=body.procedure
        )
        return await self._press(centre, command, press_id, identity)

    @operation(
        "GET",
        TICKET,
        summary="Look at a ticket",
        answers={200: views.TicketReply},
        refusals=(UnknownTicket,),
        tags=("tickets",),
    )
    async def look_at_ticket(self, centre: str, ticket: str) -> views.TicketReply:
        """State, place and counter; whoever knows the id may ask."""
        return await self._look(centre, ticket)

    @operation(
        "GET",
        TICKET + "/stream",
        summary="Follow a ticket",
        answers={200: views.TicketReply},
        refusals=(UnknownTicket,),
        tags=("tickets",),
        stream=True,
    )
    async def follow_ticket(self, centre: str, ticket: str, request: web.Request) -> web.StreamResponse:
        """Server-sent events ``ticket``: the ticket, now and whenever it changes."""
        looked_at = (await self._look(centre, ticket)).ticket

        def concerns(event: Event) -> float | None:
            if event.get("ticket") == ticket:
                return 0.0
            moves = looked_at.service in (event.get("service"), event.get("from_service"))
            return 5.0 if moves or event["type"] in ("DayAdvanced", "CentreChanged") else None

        async def read() -> Mapping[str, Any]:
            reply = msgspec.to_builtins(await self._look(centre, ticket))
            return {"ticket": reply["ticket"]}

        return await self._streams.follow(request, centre, concerns, read, "ticket")

    @operation(
        "GET",
        TICKET + "/why",
        summary="Why this ticket was called",
        roles=READERS,
        answers={200: WhyReply},
        refusals=(UnknownTicket,),
        tags=("tickets",),
    )
    async def explain_call(self, centre: str, ticket: str) -> WhyReply:
        """What decided the last call, from the event log."""
        found = await self._dispatch.store.read_ticket(centre, ticket)
        if found.call is None:
            return WhyReply(ticket, None, None)
        events = await self._dispatch.store.read_events(centre, found.call - 1, 1)
        event = next((event for event in events if event["seq"] == found.call), None)
        return WhyReply(ticket, event.get("why") if event else None, event)

    @operation(
        "POST",
        TICKET + "/printed",
        summary="The slip is on paper",
        roles=ISSUERS,
        press=True,
        answers={200: views.TicketReply},
        refusals=(UnknownTicket, WrongState),
        tags=("tickets",),
    )
    async def mark_printed(self, centre: str, ticket: str, press_id: str, identity: Identity) -> views.TicketReply:
        """Printing again changes nothing."""
        return await self._press(centre, commands.MarkPrinted(ticket=ticket), press_id, identity)

    @operation(
        "POST",
        TICKET + "/cancel",
        summary="Give up the place",
        press=True,
        body=Reason,
        answers={200: views.TicketReply},
        refusals=(UnknownTicket, WrongState),
        tags=("tickets",),
    )
    async def cancel(
        self, centre: str, ticket: str, body: Reason, press_id: str, identity: Identity
    ) -> views.TicketReply:
        """The visitor's own right: whoever knows the id may."""
        return await self._press(centre, commands.Cancel(ticket=ticket, reason=body.reason), press_id, identity)

    @operation(
        "POST",
        TICKET + "/late",
        summary="Let some people pass",
        press=True,
        answers={200: views.TicketReply},
        refusals=(UnknownTicket, WrongState),
        tags=("tickets",),
    )
    async def mark_late(self, centre: str, ticket: str, press_id: str, identity: Identity) -> views.TicketReply:
        """The visitor's own right: whoever knows the id may."""
        return await self._press(centre, commands.MarkLate(ticket=ticket), press_id, identity)

    @operation(
        "POST",
        TICKET + "/revive",
        summary="Wait again",
        roles=("desk", "officer", "supervisor", "admin"),
        press=True,
        body=Reason,
        answers={200: views.TicketReply},
        refusals=(UnknownTicket, WrongState, NobodyServes),
        tags=("tickets",),
    )
    async def revive(
        self, centre: str, ticket: str, body: Reason, press_id: str, identity: Identity
    ) -> views.TicketReply:
        """For a parked, absent or cancelled ticket whose visitor is back."""
        return await self._press(centre, commands.Revive(ticket=ticket, reason=body.reason), press_id, identity)

    async def _press(
        self, centre: str, command: commands.Command, press_id: str, identity: Identity
    ) -> views.TicketReply:
        over = allow(identity, SUPERVISORS, centre)
        reply = await self._dispatch.press(centre, command, actor=actor_of(identity), press_id=press_id, over=over)
        configured = await self._dispatch.centre(centre)
        return views.TicketReply(ticket=views.ticket_view(configured, read_ticket(reply["ticket"])), **views.anchor(reply))

    async def _look(self, centre: str, ticket: str) -> views.TicketReply:
        configured = await self._dispatch.centre(centre)
        store = self._dispatch.store
        found, day = await asyncio.gather(store.read_ticket(centre, ticket), store.read_day(centre))
        ahead = await store.count_ahead(configured, found) if found.state == State.WAITING else None
        view = views.ticket_view(configured, found, ahead=ahead)
        return views.TicketReply(ticket=view, **views.day_anchor(day, self._dispatch.clock.now_ms()))


COUNTER: Final = BASE + "/counters/{counter}"
SEAT: Final = (NotYourSeat,)
IN_HAND: Final = (NotYourSeat, CounterIdle, WrongState)
CALLING: Final = (NotYourSeat, CounterBusy, CounterPaused, CounterClosed)


def press_operation(path: str, summary: str, refusals: tuple[type[Exception], ...], body: type[Struct] | None = None) -> Any:
    """The declaration that all presses at a counter share."""
    return operation(
        "POST",
        f"{COUNTER}/{path}",
        summary=summary,
        roles=OFFICERS,
        press=True,
        body=body,
        answers={200: views.CounterReply},
        refusals=refusals,  # type: ignore[arg-type]  # all of them are refusals
        tags=("counters",),
    )


class Counters:
    """The presses of counter staff, and what they look at."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    @press_operation("open", "Take the seat and begin to call", (SeatTaken,), OpenBody)
    async def open_counter(
        self, centre: str, counter: str, body: OpenBody, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """Also ends a pause.  A ticket in hand stays in hand."""
        return await self._press(centre, commands.Open(counter=counter, take_over=body.take_over), press_id, identity)

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
        return await self._press(centre, commands.Close(counter=counter, drain=body.drain), press_id, identity)

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

    @press_operation("complete", "The visitor is served", IN_HAND)
    async def complete(self, centre: str, counter: str, press_id: str, identity: Identity) -> views.CounterReply:
        """The counter is free."""
        return await self._press(centre, commands.Complete(counter=counter), press_id, identity)

    @press_operation("no-show", "Called and absent", (*IN_HAND, TooEarlyNoShow))
    async def mark_no_show(self, centre: str, counter: str, press_id: str, identity: Identity) -> views.CounterReply:
        """After the centre's number of calls; by its policy the ticket is missed or waits again some places back."""
        return await self._press(centre, commands.MarkNoShow(counter=counter), press_id, identity)

    @press_operation("park", "Set the ticket aside", IN_HAND, Reason)
    async def park(
        self, centre: str, counter: str, body: Reason, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """The visitor fetches something and keeps the place."""
        return await self._press(centre, commands.Park(counter=counter, reason=body.reason), press_id, identity)

    @press_operation("resume", "Call a parked ticket", (*CALLING, UnknownTicket, WrongState), ResumeBody)
    async def resume(
        self, centre: str, counter: str, body: ResumeBody, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """One's own or another counter's."""
        return await self._press(centre, commands.Resume(counter=counter, ticket=body.ticket), press_id, identity)

    @press_operation("transfer", "Send the visitor on", (*IN_HAND, UnknownService, NobodyServes), TransferBody)
    async def transfer(
        self, centre: str, counter: str, body: TransferBody, press_id: str, identity: Identity
    ) -> views.CounterReply:
        """To a service or a counter; number and class stay, and up to a quarter of an hour of age."""
        command = commands.Transfer(counter=counter, service=body.service, to_counter=body.counter, note=body.note)
        return await self._press(centre, command, press_id, identity)

    @press_operation("undo", "Take back the last step", (*SEAT, NothingToUndo, UndoExpired, TicketElsewhere,
    CounterBusy)) async def undo(self, centre: str, counter: str, press_id: str, identity: Identity) ->
    views.CounterReply:
        """While nobody has built on it, and within the centre's time."""
        return await self._press(centre, commands.Undo(counter=counter), press_id, identity)

    @operation(
        "GET", COUNTER, summary="What the officer looks at", roles=OFFICERS, answers={200: views.DeskReply},
        tags=("counters",)
    )
    async def read_desk(self, centre: str, counter: str) -> views.DeskReply:
        """The counter, its ticket, its lines, who is due next, who is parked, and what was done."""
        configured = await self._dispatch.centre(centre)
        configured.counter(counter)
        store = self._dispatch.store
        day, record, heads = await store.read_desk(configured, counter)
        now_ms = max(self._dispatch.clock.now_ms(), int(day["clock"]))
        classes = tuple(cls.id for cls in configured.policy.classes)
        in_hand = await store.read_tickets(centre, [record["ticket"]] if record.get("ticket") else [])
        parked, recent = await self._aside(configured, counter)
        due = await store.read_tickets(centre, _most_due(configured, counter, day, heads, now_ms))
        return views.DeskReply(
            counter=views.counter_view(configured, counter, record),
            ticket=views.ticket_view(configured, in_hand[0]) if in_hand else None,
            lines=views.line_views(configured, counter, heads, classes),
            next=views.ticket_view(configured, due[0]) if due else None,
            parked=tuple(views.ticket_view(configured, ticket) for ticket in parked),
            recent=tuple(views.ticket_view(configured, ticket) for ticket in recent),
            **views.day_anchor(day, now_ms),
        )

    async def _aside(self, centre: Centre, counter: str) -> tuple[list[Ticket], list[Ticket]]:
        """Tickets parked where this counter could resume them, and the last that ended at this counter."""
        _, _, records, _ = await self._dispatch.store.read_all(centre.id)
        serves = {line.service for line in centre.counter(counter).serves}
        parked, ended = [], []
        for record in records.values():
            if record["state"] == State.PARKED and (record["service"] in serves or record.get("counter") == counter):
                parked.append(read_ticket(record))
            elif record.get("ended_at_ms") and record.get("counter") == counter:
                ended.append(read_ticket(record))
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
        _, _, virtual, order, id = member.split("/") mean = day.get(f"mean:{service}") mean_ms = float(mean.partition("
        ")[0]) if mean else centre.service(service).mean_service_s * 1000 ratio = policy.classes[0].promise_s /
        policy.promise_s(cls)  # type: ignore[arg-type]  # heads name known classes level =
        centre.counter(counter).level(service) or 1 counted = ratio * (now_ms - int(virtual)) - policy.handicap_s * 1000
        * (level - 1) - policy.kappa * mean_ms if best is None or (counted, best[1]) > (best[0], order):
            best = (counted, order, id)
    return [best[2]] if best else []


class Halls:
    """The whole of a centre: for supervisors, boards and integrators."""

    def __init__(self, dispatch: Dispatch, streams: Streams) -> None:
        self._dispatch = dispatch
        self._streams = streams

    @operation(
        "GET", BASE + "/state", summary="The whole truth", roles=SUPERVISORS, answers={200: views.StateReply},
        tags=("centre",)
    )
    async def read_state(self, centre: str) -> views.StateReply:
        """Who is served where, who waits in each line in order, who is parked or absent, read in one step."""
        configured = await self._dispatch.centre(centre)
        day, counters, records, waiting = await self._dispatch.store.read_all(centre)
        tickets = {id: read_ticket(record) for id, record in records.items()}
        lines: dict[tuple[str, str], list[views.TicketView]] = {}
        for member in waiting:
            service, cls, _, _, id = member.split("/")
            lines.setdefault((service, cls), []).append(views.ticket_view(configured, tickets[id]))

        def aside(state: State) -> tuple[views.TicketView, ...]:
            found = sorted((t for t in tickets.values() if t.state == state), key=lambda t: (t.virtual_ms, t.order))
            return tuple(views.ticket_view(configured, ticket) for ticket in found)

        states = []
        for counter in configured.counters:
            record = counters.get(counter.id)
            in_hand = tickets.get(record["ticket"]) if record and record.get("ticket") else None
            states.append(views.counter_state(configured, counter.id, record, in_hand))
        return views.StateReply(
            issuing=views.issuing_view(day),
            counters=tuple(states),
            lines=tuple(views.LineState(service=s, cls=c, tickets=tuple(found)) for (s, c), found in lines.items()),
            parked=aside(State.PARKED),
            no_show=aside(State.NO_SHOW),
            **views.day_anchor(day, self._dispatch.clock.now_ms()),
        )

    @operation(
        "POST",
        BASE + "/issuing",
        summary="Hand out numbers, or not",
        roles=SUPERVISORS,
        press=True,
        body=IssuingBody,
        answers={200: views.IssuingReply},
        tags=("centre",),
    )
    async def switch_issuing(
        self, centre: str, body: IssuingBody, press_id: str, identity: Identity
    ) -> views.IssuingReply:
        """With a text for the kiosks."""
        command = commands.SwitchIssuing(open=body.open, text=body.text)
        reply = await self._dispatch.press(centre, command, actor=actor_of(identity), press_id=press_id, over=True)
        return views.IssuingReply(issuing=views.IssuingView(**reply["issuing"]), **views.anchor(reply))

    @operation(
        "POST",
        BASE + "/day",
        summary="Begin a business day",
        roles=SUPERVISORS,
        press=True,
        body=DayBody,
        answers={200: views.DayReply},
        refusals=(DayNotLater,),
        tags=("centre",),
    )
    async def advance_day(self, centre: str, body: DayBody, press_id: str, identity: Identity) -> views.DayReply:
        """Numbers begin again; whoever waits keeps place and number."""
        command = commands.AdvanceDay(day=body.day)
        reply = await self._dispatch.press(centre, command, actor=actor_of(identity), press_id=press_id, over=True)
        return views.DayReply(**views.anchor(reply))

    @operation(
        "GET",
        BASE + "/events",
        summary="Events in order",
        roles=READERS,
        query=EventQuery,
        answers={200: EventPage},
        tags=("events",),
    )
    async def read_events(self, centre: str, query: EventQuery) -> EventPage:
        """A page of the numbered log, in the staff form."""
        await self._dispatch.centre(centre)
        store = self._dispatch.store
        events, day = await asyncio.gather(store.read_events(centre, query.after, query.limit), store.read_day(centre))
        return EventPage(day["epoch"], tuple(events), events[-1]["seq"] if events else query.after)

    @operation(
        "GET",
        BASE + "/events/stream",
        summary="Events as they happen",
        roles=READERS,
        answers={200: dict[str, Any]},
        tags=("events",),
        stream=True,
    )
    async def stream_events(self, centre: str, request: web.Request, identity: Identity) -> web.StreamResponse:
        """WebSocket (``queue.v1.msgpack``, ``queue.v1.json``) or server-sent events, by the protocol of the boards."""
        await self._dispatch.centre(centre)
        return await self._streams.staff_stream(request, centre, identity)

    @operation(
        "GET",
        BASE + "/boards/{board}",
        summary="A board as it is now",
        answers={200: dict[str, Any]},
        refusals=(UnknownBoard,),
        tags=("boards",),
        stream=True,
    )
    async def read_board(self, centre: str, request: web.Request) -> web.StreamResponse:
        """What the board shows, with epoch and seq to go on from.  For the board's token or staff."""
        await self._dispatch.centre(centre)
        return await self._streams.board(request)

    @operation(
        "GET",
        BASE + "/boards/{board}/stream",
        summary="A board's events",
        answers={200: dict[str, Any]},
        refusals=(UnknownBoard,),
        tags=("boards",),
        stream=True,
    )
    async def stream_board(self, centre: str, request: web.Request) -> web.StreamResponse:
        """
        WebSocket (``queue.v1.msgpack``, ``queue.v1.json``) or server-sent events; docs/protocol.md has the frames.
        """
        await self._dispatch.centre(centre)
        return await self._streams.board_stream(request)


class Health:
    """For whoever watches the service."""

    def __init__(self, ready: Callable[[], Awaitable[dict[str, str]]]) -> None:
        self._ready = ready

    @operation("GET", "/health/live", summary="The process runs", answers={200: dict[str, str]}, tags=("health",))
    async def live(self) -> dict[str, str]:
        """Always answers while the event loop turns."""
        return {"status": "live"}

    @operation("GET", "/health/ready", summary="The service can answer", answers={200: dict[str, str], 503: dict[str,
    str]}, tags=("health",)) async def ready(self) -> Answer:
        """Which part is not ready, and the durability in force."""
        parts = await self._ready()
        return Answer(parts, status=200 if parts["status"] == "ready" else 503)


