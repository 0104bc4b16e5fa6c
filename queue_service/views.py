"""
What the doors show of tickets, counters and lines: the shapes of the public API, made from records and the centre.

Every reply is a pure function of what the store answered, so a repeated press gets the same bytes.  Knows no transport.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal

import msgspec

from queue_service.centre import Centre, counter_label
from queue_service.errors import NotFound
from queue_service.tickets import State, Ticket


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """What the slip names: one counter, or a few neighbouring ones."""

    counters: tuple[str, ...]
    label: str
    """Their numbers as people read them: ``5``, ``5–7``."""
    zone: str | None
    """Where they stand, when all stand in one zone."""


class WaitView(msgspec.Struct, frozen=True, kw_only=True):
    """An honest wait: it is between the two ends four times in five (docs/allocation.md, "Announced waiting time")."""

    lo_s: int
    mid_s: int
    hi_s: int


class TicketView(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket as the API shows it.  Times are Unix milliseconds."""

    id: str
    number: str
    department: str
    service: str
    cls: str = msgspec.field(name="class")
    ground: str | None
    state: State
    day: str
    issued_at_ms: int
    language: str
    procedure: str | None
    printed: bool
    announced: Announced
    ahead: int | None
    """People of the same line who are due before; null when the ticket does not wait."""
    wait: WaitView | None
    """Until the first call; null when the ticket does not wait, or nobody is there to call it."""
    needs: tuple[str, ...]
    """What is left of the visit, the service in hand included."""
    counter: str | None
    counter_number: int | None
    called_at_ms: int | None
    rings: int
    started_at_ms: int | None
    ended_at_ms: int | None
    park_reason: str | None
    park_until_ms: int | None
    """When a parked visitor means to be back."""
    note: str | None
    placed: dict[str, Any] | None
    """By whom, when and why a supervisor decided where it stands."""


class UndoView(msgspec.Struct, frozen=True, kw_only=True):
    """The step a counter could take back."""

    press: str
    until_ms: int


class CounterView(msgspec.Struct, frozen=True, kw_only=True):
    """A counter as the API shows it."""

    id: str
    number: int
    zone: str
    state: Literal["closed", "open", "paused", "draining"]
    officer: str | None
    """Account name of whoever holds the seat."""
    since_ms: int
    reason: str | None
    ready: bool
    """Asked and got nobody: the next suitable visitor is called for it."""
    ticket: str | None
    undo: UndoView | None


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """One line a counter may call from."""

    service: str
    department: str
    level: int
    waiting: int
    priority: int
    """Those of the waiting who have a ground to go first."""
    appointments: int
    """Those of the waiting who have booked."""
    oldest_at_ms: int | None
    """When the one who waits longest began to wait."""


class IssuingView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether numbers are handed out, and what the kiosk says if not."""

    open: bool
    text: str


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the event order an answer stands."""

    epoch: str
    seq: int
    day: str
    now_ms: int


class TicketReply(Anchor, frozen=True, kw_only=True):
    """The answer to a press on a ticket."""

    ticket: TicketView


class CounterReply(Anchor, frozen=True, kw_only=True):
    """The answer to a press at a counter; ``ticket`` is null when nobody waits or none is in hand."""

    ticket: TicketView | None
    counter: CounterView


class SeatsReply(Anchor, frozen=True, kw_only=True):
    """Who sits where."""

    counters: tuple[CounterView, ...]
    names: dict[str, str]
    """Account -> what its owner is called, of the accounts that are named here."""


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message that nobody has read yet."""

    message: int
    """Its name: the seq of the event that told of it."""
    at_ms: int
    sender: str
    """Account name."""
    counter: str | None
    """Where the sender sits."""
    counter_number: int | None
    text: str | None
    answers: int | None
    """The call for help that this answers."""


class HelpView(msgspec.Struct, frozen=True, kw_only=True):
    """A counter asks for help."""

    counter: str
    counter_number: int | None
    message: int
    since_ms: int
    officer: str
    """Account name of whoever asked."""
    text: str | None


class MessagesReply(msgspec.Struct, frozen=True, kw_only=True):
    """What the control room has not read yet, oldest first, and who asks for help, the longest first."""

    messages: tuple[MessageView, ...]
    help: tuple[HelpView, ...]
    names: dict[str, str]
    """Account -> what its owner is called, of the accounts that are named here."""


class MessageReply(Anchor, frozen=True, kw_only=True):
    """The answer to a message that was sent or put away."""

    message: int


class DeskReply(Anchor, frozen=True, kw_only=True):
    """What the officer at a counter looks at."""

    counter: CounterView
    ticket: TicketView | None
    lines: tuple[LineView, ...]
    next: TicketView | None
    """Whoever would be called now."""
    parked: tuple[TicketView, ...]
    recent: tuple[TicketView, ...]
    """The last tickets of today that ended here, newest first."""
    messages: tuple[MessageView, ...]
    """What was written to this counter and not read yet, oldest first."""
    help: HelpView | None
    """The call for help that nobody has answered."""
    names: dict[str, str]
    """Account -> what its owner is called, of the accounts that are named here."""


class CounterState(CounterView, frozen=True, kw_only=True):
    """A counter with the ticket in hand."""

    in_hand: TicketView | None


class TicketState(TicketView, frozen=True, kw_only=True):
    """A ticket with what decides where it stands; events of the staff feed go on from there."""

    virtual_ms: int
    order: str
    lines: tuple[str, ...]


class Today(msgspec.Struct, frozen=True, kw_only=True):
    """What one service has done today; who was transferred counts where it is now."""

    issued: int
    called: int
    waited_ms: int
    """Of those called, from virtual arrival to the last call."""
    served: int
    no_show: int
    cancelled: int


class LineState(msgspec.Struct, frozen=True, kw_only=True):
    """Who waits in one line and class, in calling order."""

    service: str
    cls: str = msgspec.field(name="class")
    tickets: tuple[TicketState, ...]


class StateReply(Anchor, frozen=True, kw_only=True):
    """The whole truth of one centre, read in one step."""

    issuing: IssuingView
    counters: tuple[CounterState, ...]
    lines: tuple[LineState, ...]
    parked: tuple[TicketState, ...]
    no_show: tuple[TicketState, ...]
    today: dict[str, Today]
    """By service."""
    assigned: tuple[str, ...]
    """Counters that serve something else today than the centre's file says."""
    names: dict[str, str]
    """Account -> what its owner is called, of the accounts that are named here."""


class IssuingReply(Anchor, frozen=True, kw_only=True):
    """The answer to switching the handing out of numbers."""

    issuing: IssuingView


class DayReply(Anchor, frozen=True, kw_only=True):
    """The answer to beginning a business day."""


def anchor(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The fields every reply shares."""
    return {"epoch": reply["epoch"], "seq": reply["seq"], "day": reply["day"], "now_ms": reply["now_ms"]}


def day_anchor(day: Mapping[str, str], now_ms: int) -> dict[str, Any]:
    """The same, from the fields of the day HASH."""
    return {"epoch": day["epoch"], "seq": int(day["seq"]), "day": day["day"], "now_ms": max(now_ms, int(day["clock"]))}


def issuing_view(day: Mapping[str, str]) -> IssuingView:
    """Whether numbers are handed out."""
    return IssuingView(open=day["issuing"] == "open", text=day["issuing_text"])


def wait_view(wait: Mapping[str, int] | None) -> WaitView | None:
    """An estimate as the API shows it, in whole seconds."""
    if not wait:
        return None
    return WaitView(lo_s=wait["low_ms"] // 1000, mid_s=wait["mid_ms"] // 1000, hi_s=-(-wait["high_ms"] // 1000))


_label = lru_cache(maxsize=4096)(counter_label)  # the slips of a centre name the same few clusters all day


def ticket_view(
    centre: Centre, ticket: Ticket, *, ahead: int | None = None, wait: Mapping[str, int] | None = None
) -> TicketView:
    """*ticket* as the API shows it; *wait*, an estimate of now, goes before the announced one."""
    numbers, zones = [], set()
    for id in ticket.counters:
        try:
            counter = centre.counter(id)
        except NotFound:  # taken out of the configuration since the slip was printed
            continue
        numbers.append(counter.number)
        zones.add(counter.zone)
    zone = zones.pop() if len(zones) == 1 else None
    return TicketView(
        id=ticket.id,
        number=ticket.number,
        department=ticket.department,
        service=ticket.service,
        cls=ticket.cls,
        ground=ticket.ground,
        state=ticket.state,
        day=ticket.day,
        issued_at_ms=ticket.issued_at_ms,
        language=ticket.language,
        procedure=ticket.procedure,
        printed=ticket.printed,
        announced=Announced(counters=ticket.counters, label=_label(tuple(numbers)), zone=zone),
        ahead=ahead,
        wait=wait_view(wait or ticket.wait) if ticket.state == State.WAITING else None,
        needs=ticket.needs,
        counter=ticket.counter,
        counter_number=_number_of(centre, ticket.counter),
        called_at_ms=ticket.called_at_ms,
        rings=ticket.rings,
        started_at_ms=ticket.started_at_ms,
        ended_at_ms=ticket.ended_at_ms,
        park_reason=ticket.park_reason,
        park_until_ms=ticket.park_until_ms,
        note=ticket.note,
        placed=ticket.placed,
    )


def for_the_visitor(ticket: TicketView) -> TicketView:
    """*ticket* as the visitor may see it: notes and reasons are words among staff."""
    return msgspec.structs.replace(ticket, note=None, placed=None)


def ticket_state(centre: Centre, ticket: Ticket) -> TicketState:
    """*ticket* with where it stands."""
    return TicketState(
        **msgspec.structs.asdict(ticket_view(centre, ticket)),
        virtual_ms=ticket.virtual_ms,
        order=ticket.order,
        lines=ticket.lines,
    )


def today_views(tickets: Iterable[Ticket], day: str) -> dict[str, Today]:
    """What each service has done on *day*."""
    counts: dict[str, Counter[str]] = {}
    for ticket in tickets:
        if ticket.day != day:
            continue
        count = counts.setdefault(ticket.service, Counter())
        count["issued"] += 1
        if ticket.called_at_ms is not None:
            count["called"] += 1
            count["waited_ms"] += max(ticket.called_at_ms - ticket.virtual_ms, 0)
        count[ticket.state] += 1
    return {
        service: Today(**{field: count[field] for field in Today.__struct_fields__})
        for service, count in sorted(counts.items())
    }


def counter_view(centre: Centre, id: str, record: Mapping[str, Any] | None) -> CounterView:
    """The live *record* of counter *id* as the API shows it; a counter nobody ever opened has none."""
    return CounterView(**_counter_fields(centre, id, record or {}))


def counter_state(centre: Centre, id: str, record: Mapping[str, Any] | None, in_hand: Ticket | None) -> CounterState:
    """The same with the ticket in hand."""
    return CounterState(
        **_counter_fields(centre, id, record or {}), in_hand=ticket_view(centre, in_hand) if in_hand else None
    )


def message_views(centre: Centre, messages: Iterable[Mapping[str, Any]]) -> tuple[MessageView, ...]:
    """Stored *messages* as the API shows them."""
    return tuple(
        MessageView(
            message=stored["message"],
            at_ms=stored["at_ms"],
            sender=account_of(stored["actor"]),
            counter=stored.get("counter"),
            counter_number=_number_of(centre, stored.get("counter")),
            text=stored.get("text"),
            answers=stored.get("answers"),
        )
        for stored in messages
    )


def help_views(centre: Centre, calls: Mapping[str, Mapping[str, Any]]) -> tuple[HelpView, ...]:
    """The *calls* for help by counter as the API shows them, the longest first."""
    return tuple(
        HelpView(
            counter=counter,
            counter_number=_number_of(centre, counter),
            message=call["message"],
            since_ms=call["at_ms"],
            officer=account_of(call["actor"]),
            text=call.get("text"),
        )
        for counter, call in sorted(calls.items(), key=lambda item: (item[1]["at_ms"], item[0]))
    )


def account_of(actor: str) -> str:
    """``staff:lan`` -> ``lan``."""
    return actor.partition(":")[2]


def _counter_fields(centre: Centre, id: str, record: Mapping[str, Any]) -> dict[str, Any]:
    counter = centre.counter(id)
    officer = record.get("officer")
    undo = record.get("undo") or record.get("last")
    return {
        "id": id,
        "number": counter.number,
        "zone": counter.zone,
        "state": record.get("state", "closed"),
        "officer": account_of(officer) if officer else None,
        "since_ms": record.get("since_ms", 0),
        "reason": record.get("reason"),
        "ready": bool(record.get("ready")),
        "ticket": record.get("ticket"),
        "undo": UndoView(press=undo["press"], until_ms=undo["until_ms"]) if undo else None,
    }


def _number_of(centre: Centre, counter: str | None) -> int | None:
    if counter is None:
        return None
    try:
        return centre.counter(counter).number
    except NotFound:
        return None


def line_views(centre: Centre, counter: str, heads: list[tuple[str, str, int, str | None]]) -> tuple[LineView, ...]:
    """
    The lines of *counter* from the count and the first member of each (service, class).

    Args:
        heads: service, class, number waiting, first member of the waiting set or None.
    """
    views = []
    for line in centre.counter(counter).serves:
        rows = [row for row in heads if row[0] == line.service]
        starts = [int(member.split("/")[2]) for _, _, _, member in rows if member]
        views.append(
            LineView(
                service=line.service,
                department=centre.service(line.service).department,
                level=line.level,
                waiting=sum(count for _, _, count, _ in rows),
                priority=sum(count for _, cls, count, _ in rows if cls == "priority"),
                appointments=sum(count for _, cls, count, _ in rows if cls == "appointment"),
                oldest_at_ms=min(starts, default=None),
            )
        )
    return tuple(views)
