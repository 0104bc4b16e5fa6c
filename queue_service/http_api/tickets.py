"""
Places in line: handing out, looking at, giving up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from queue_service import commands, views
from queue_service.authority import Identity, actor_of, allow
from queue_service.centre import TicketClass
from queue_service.codec import read_ticket
from queue_service.contract import operation
from queue_service.dispatch import Dispatch
from queue_service.errors import (
    GroundMissing,
    IssuingClosed,
    Malformed,
    NobodyServes,
    NumbersExhausted,
    UnknownProcedure,
    UnknownService,
    UnknownTicket,
    WrongState,
)
from queue_service.http_api.words import (
    BASE,
    ISSUERS,
    READERS,
    SUPERVISORS,
    Body,
    GivenReason,
    Language,
    Reason,
    Slug,
    Streams,
    TicketText,
)
from queue_service.tickets import State


class Issue(Body, frozen=True):
    """What the visitor comes for."""

    service: Slug
    further: Annotated[tuple[Slug, ...], Meta(max_length=8)] = ()
    any_order: bool = False
    appointment_ms: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    cls: TicketClass = msgspec.field(name="class", default="standard")
    ground: Slug | None = None
    language: Language = "vi"
    procedure: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")] | None = None


class WhyReply(Struct, frozen=True):
    """What decided the last call of a ticket; null while it was never called."""

    ticket: str
    why: dict[str, Any] | None
    called: dict[str, Any] | None


class PlaceBody(Body, frozen=True):
    """Where, and why: exactly one of *before*, *after* and *at_ms*."""

    reason: GivenReason
    service: Slug | None = None
    before: TicketText | None = None
    after: Annotated[int, Meta(ge=0, le=99)] | None = None
    at_ms: Annotated[int, Meta(ge=0, le=2**53)] | None = None


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
        refusals=(IssuingClosed, UnknownService, UnknownProcedure, GroundMissing, NobodyServes, NumbersExhausted),
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
            service=body.service,
            further=body.further,
            any_order=body.any_order,
            appointment_ms=body.appointment_ms,
            cls=cls,
            ground=body.ground,
            language=body.language,
            procedure=body.procedure,
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

        def concerns(event: Mapping[str, Any]) -> float | None:
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

    @operation(
        "POST",
        TICKET + "/place",
        summary="Decide where a ticket stands",
        roles=SUPERVISORS,
        press=True,
        body=PlaceBody,
        answers={200: views.TicketReply},
        refusals=(UnknownTicket, WrongState, UnknownService, NobodyServes),
        tags=("tickets",),
    )
    async def set_place(
        self, centre: str, ticket: str, body: PlaceBody, press_id: str, identity: Identity
    ) -> views.TicketReply:
        """
        A waiting ticket moves, a parked or absent one comes back: *before* a ticket (id or printed number), behind
        *after* people, or as if it had come at *at_ms*; in its own line or that of *service*.
        """
        command = commands.SetPlace(
            ticket=ticket,
            reason=body.reason,
            service=body.service,
            before=body.before,
            after=body.after,
            at_ms=body.at_ms,
        )
        return await self._press(centre, command, press_id, identity)

    async def _press(
        self, centre: str, command: commands.Command, press_id: str, identity: Identity
    ) -> views.TicketReply:
        over = allow(identity, SUPERVISORS, centre)
        reply = await self._dispatch.press(centre, command, actor=actor_of(identity), press_id=press_id, over=over)
        configured = await self._dispatch.centre(centre)
        view = views.ticket_view(configured, read_ticket(reply["ticket"]), ahead=reply.get("ahead"))
        view = views.for_the_visitor(view)
        return views.TicketReply(ticket=view, **views.anchor(reply))

    async def _look(self, centre: str, ticket: str) -> views.TicketReply:
        configured = await self._dispatch.centre(centre)
        store = self._dispatch.store
        found, day = await asyncio.gather(store.read_ticket(centre, ticket), store.read_day(centre))
        ahead = await store.count_ahead(configured, found) if found.state == State.WAITING else None
        wait = await self._dispatch.remaining(configured, ticket) if found.state == State.WAITING else None
        view = views.for_the_visitor(views.ticket_view(configured, found, ahead=ahead, wait=wait))
        return views.TicketReply(ticket=view, **views.day_anchor(day, self._dispatch.clock.now_ms()))
