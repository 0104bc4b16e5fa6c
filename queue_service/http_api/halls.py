"""
The whole of a centre: for supervisors, boards and integrators.
"""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct

from queue_service import commands, views
from queue_service.assignments import read_assignments
from queue_service.authority import Identity, actor_of
from queue_service.clock import business_day
from queue_service.codec import read_ticket
from queue_service.contract import operation
from queue_service.dispatch import Dispatch
from queue_service.errors import (
    DayNotLater,
    Malformed,
    NotAllowed,
    NotFound,
    SignInRequired,
    UnknownBoard,
)
from queue_service.http_api.words import BASE, READERS, SUPERVISORS, Body, Line, Names, Streams
from queue_service.tickets import State


class IssuingBody(Body, frozen=True):
    """Whether numbers are handed out, and what the kiosks say."""

    open: bool
    text: Line = ""


class DayBody(Body, frozen=True):
    """The business day to begin."""

    day: Annotated[str, Meta(pattern=r"\A20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\Z")]


class EventQuery(Body, frozen=True):
    """After which event, and how many."""

    after: Annotated[int, Meta(ge=0, le=2**53)] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


class EventPage(Struct, frozen=True):
    """Events in order; ask for those after ``next`` to go on."""

    epoch: str
    events: tuple[dict[str, Any], ...]
    next: int


class Halls:
    """The whole of a centre: for supervisors, boards and integrators."""

    def __init__(self, dispatch: Dispatch, streams: Streams, names: Names) -> None:
        self._dispatch, self._names = dispatch, names
        self._streams = streams

    @operation(
        "GET",
        BASE + "/state",
        summary="The whole truth",
        roles=SUPERVISORS,
        answers={200: views.StateReply},
        tags=("centre",),
    )
    async def read_state(self, centre: str) -> views.StateReply:
        """Who is served where, who waits in each line in order, who is parked or absent, read in one step."""
        configured = await self._dispatch.centre(centre)
        day, counters, records, waiting = await self._dispatch.store.read_all(centre)
        if day["version"] != configured.version:  # the page asks because it has heard of another one
            configured = await self._dispatch.read_again(centre)
        tickets = {id: read_ticket(record) for id, record in records.items()}
        lines: dict[tuple[str, str], list[views.TicketState]] = {}
        for member in waiting:
            service, cls, _, _, id = member.split("/")
            lines.setdefault((service, cls), []).append(views.ticket_state(configured, tickets[id]))

        def aside(state: State) -> tuple[views.TicketState, ...]:
            found = sorted((t for t in tickets.values() if t.state == state), key=lambda t: (t.virtual_ms, t.order))
            return tuple(views.ticket_state(configured, ticket) for ticket in found)

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
            today=views.today_views(tickets.values(), day["day"]),
            assigned=tuple(sorted(read_assignments(day.get("assigned", "")).counters)),
            names=await self._names({seat.officer for seat in states if seat.officer is not None}),
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
        try:
            day = date.fromisoformat(body.day)
        except ValueError:
            raise Malformed(f"day: there is no {body.day} in the calendar.") from None
        configured = await self._dispatch.centre(centre)
        today = date.fromisoformat(business_day(self._dispatch.clock.now_ms(), configured.timezone))
        if day > today + timedelta(days=1):
            raise Malformed(f"day: {body.day} is later than tomorrow, and a day cannot be taken back.")
        command = commands.AdvanceDay(day=body.day)
        reply = await self._dispatch.press(centre, command, actor=actor_of(identity), press_id=press_id, over=True)
        await self._dispatch.return_to_file(centre)
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
        refusals=(UnknownBoard, SignInRequired, NotAllowed),
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
        refusals=(UnknownBoard, SignInRequired, NotAllowed),
        tags=("boards",),
        stream=True,
    )
    async def stream_board(self, centre: str, request: web.Request) -> web.StreamResponse:
        """
        WebSocket (``queue.v1.msgpack``, ``queue.v1.json``) or server-sent events; docs/protocol.md has the frames.
        """
        await self._dispatch.centre(centre)
        return await self._streams.board_stream(request)

    @operation(
        "GET",
        BASE + "/boards/{board}/sounds/{sound}",
        summary="What the voice says",
        answers={200: dict[str, Any]},
        refusals=(UnknownBoard, NotFound, SignInRequired, NotAllowed),
        tags=("boards",),
        stream=True,
    )
    async def read_sound(self, centre: str, request: web.Request) -> web.StreamResponse:
        """A WAV file: the words of one turn, as the board was told by ``speak``; a name is one sound for ever."""
        await self._dispatch.centre(centre)
        return await self._streams.board_sound(request)
