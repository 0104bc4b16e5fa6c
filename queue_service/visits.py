"""
A visit: what the events of one ticket tell when it is over.

Reports count visits.  Whatever came in between – undone steps, returns, several services, a day in between – is in the
events, so a visit can be told again from them at any time.  Knows no store and no database.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from queue_service.events import Event
from queue_service.tickets import FINAL, State

ENDS: Final = FINAL | {State.NO_SHOW}
"""States after which a visit counts as over, until the visitor comes back."""

AFTER: Final = {
    "TicketIssued": State.WAITING,
    "TicketCalled": State.CALLED,
    "ServiceStarted": State.SERVING,
    "TicketServed": State.SERVED,
    "TicketNoShow": State.NO_SHOW,
    "TicketParked": State.PARKED,
    "TicketTransferred": State.WAITING,
    "TicketCancelled": State.CANCELLED,
    "TicketRevived": State.WAITING,
    "TicketExpired": State.EXPIRED,
}
"""Event -> the state it leaves the ticket in; a StepUndone says so itself, other events change none."""

TURNS: Final = {kind for kind, state in AFTER.items() if state in ENDS} | {
    "TicketCalled", "TicketTransferred", "TicketRevived", "StepUndone",
}  # fmt: skip
"""Events with which a visit ends, or may turn out not to have ended."""


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """
    One ticket's story.  Times are Unix milliseconds, spans milliseconds.

    ``department`` and ``service`` are the last, ``counter`` and ``officer`` the last that had the visitor; ``called``
    and ``started`` are the first of their kind.  ``waited_ms`` is all time in line, ``served_ms`` all time at counters
    from the call on.  ``announced_`` is the interval the slip promised, counted from the issue.
    """

    ticket: str
    number: str
    department: str
    service: str
    cls: str = msgspec.field(name="class")
    ground: str | None
    procedure: str | None
    end: State
    counter: str | None
    officer: str | None
    issued_at_ms: int
    called_at_ms: int | None
    started_at_ms: int | None
    ended_at_ms: int
    calls: int
    rings: int
    no_shows: int
    transfers: int
    waited_ms: int
    served_ms: int
    announced_low_ms: int | None
    announced_high_ms: int | None


def read_visit(events: Iterable[Event]) -> Visit | None:
    """
    The visit that the *events* of one ticket tell, in their order.

    Returns:
        None while it goes on, and when its beginning is not among the events.
    """
    state: State | None = None
    since_ms = 0
    spent = dict.fromkeys(State, 0)
    counts = dict.fromkeys(("TicketCalled", "TicketRecalled", "TicketNoShow", "TicketTransferred"), 0)
    first: dict[str, Event] = {}
    said: dict[str, str] = {}
    starts: list[int] = []
    for event in events:
        kind = event["type"]
        if kind in counts:
            counts[kind] += 1
        first.setdefault(kind, event)
        said |= {name: event[name] for name in ("department", "service", "class", "counter") if event.get(name)}
        if "counter" in event and event["actor"].startswith("staff:"):
            said["officer"] = event["actor"].removeprefix("staff:")
        if kind == "ServiceStarted":
            starts.append(event["at_ms"])
        elif starts and kind == "StepUndone" and event["was"] == State.SERVING:  # it had not begun after all
            starts.pop()
        after = State(event["now"]) if kind == "StepUndone" else AFTER.get(kind)
        if after is not None:
            if state is not None:
                spent[state] += event["at_ms"] - since_ms
            state, since_ms = after, event["at_ms"]
    issued = first.get("TicketIssued")
    if issued is None or state not in ENDS:
        return None
    wait = issued.get("wait") or {}
    return Visit(
        ticket=issued["ticket"],
        number=issued["number"],
        department=said["department"],
        service=said["service"],
        cls=said["class"],
        ground=issued.get("ground"),
        procedure=issued.get("procedure"),
        end=state,
        counter=said.get("counter"),
        officer=said.get("officer"),
        issued_at_ms=issued["at_ms"],
        called_at_ms=first["TicketCalled"]["at_ms"] if "TicketCalled" in first else None,
        started_at_ms=starts[0] if starts else None,
        ended_at_ms=since_ms,
        calls=counts["TicketCalled"],
        rings=counts["TicketCalled"] + counts["TicketRecalled"],
        no_shows=counts["TicketNoShow"],
        transfers=counts["TicketTransferred"],
        waited_ms=spent[State.WAITING],
        served_ms=spent[State.CALLED] + spent[State.SERVING],
        announced_low_ms=wait.get("low_ms"),
        announced_high_ms=wait.get("high_ms"),
    )
