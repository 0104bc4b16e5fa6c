"""
What a centre's boards show: a fold of its public events, and the same thing read off the store in one step.

Rule 1: `snapshot` of the store after some events equals `apply` of those events to the snapshot before them; a
property test holds the two against each other.  Rule 2: nothing here knows a socket, a clock or Redis.  The hub keeps
one view a centre, so that a screen that comes late costs the store nothing.

A counter keeps its latest call until it calls again, closes, or the day advances.  What says nothing is left out: a
counter that is closed and has no call, a line in which nobody waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

View = dict[str, Any]
"""BoardView: {day, issuing {open, text}, waiting {service: people}, counters {counter: state and latest call}}."""

Event = Mapping[str, Any]

CALL_FIELDS: Final = ("number", "called_at_ms", "call", "rings", "ticket_state", "language", "department")
"""What a counter shows of its latest call; all None when it has none."""

_NO_CALL: Final[dict[str, Any]] = dict.fromkeys(CALL_FIELDS)
_WAITING: Final = "waiting:"


def snapshot(day: Mapping[str, str], counters: Mapping[str, Mapping[str, Any]]) -> View:
    """
    The view as the store holds it.

    Args:
        day: the fields of the centre's `day` hash, as text.
        counters: counter id to its live record (`state`, `call`).
    """
    lines = {
        name.removeprefix(_WAITING): int(people) for name, people in sorted(day.items()) if name.startswith(_WAITING)
    }
    seats = {id_: {"state": record["state"], **_shown(record.get("call"))} for id_, record in sorted(counters.items())}
    return {
        "day": day["day"],
        "issuing": {"open": day["issuing"] == "open", "text": day["issuing_text"]},
        "waiting": {service: people for service, people in lines.items() if people},
        "counters": {id_: seat for id_, seat in seats.items() if not _says_nothing(seat)},
    }


def apply(view: View, event: Event) -> None:
    """
    Change *view* by one public event, in place.

    Types that are not in CHANGES do not touch a board; the feed's audit mends the view should a newer service think
    otherwise.
    """
    change = CHANGES.get(event["type"])
    if change is not None:
        change(view, event)


def _shown(call: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of a stored call under the names of the view."""
    if call is None:
        return _NO_CALL
    return {
        "number": call["number"],
        "called_at_ms": call["at_ms"],
        "call": call["seq"],
        "rings": call["rings"],
        "ticket_state": call["ticket_state"],
        "language": call.get("language"),
        "department": call.get("department"),
    }


def _says_nothing(seat: Mapping[str, Any]) -> bool:
    return seat["state"] == "closed" and seat["number"] is None


def _set(view: View, counter: str, **changed: Any) -> None:
    """Change what *counter* shows; a counter not in the view is closed and has no call."""
    seat = {**view["counters"].get(counter, {"state": "closed", **_NO_CALL}), **changed}
    if _says_nothing(seat):
        view["counters"].pop(counter, None)
    else:
        view["counters"][counter] = seat


def _mark(view: View, event: Event, **changed: Any) -> None:
    """Change the call a counter shows, if it still shows the one of this ticket."""
    seat = view["counters"].get(event["counter"])
    if seat is not None and seat["number"] == event["number"]:
        seat.update(changed)


def _wait(view: View, services: Iterable[str], people: int) -> None:
    for service in services:
        waiting = view["waiting"].get(service, 0) + people
        if waiting:
            view["waiting"][service] = waiting
        else:
            view["waiting"].pop(service, None)


def _lines(event: Event) -> Sequence[str]:
    """
    The lines a ticket enters or leaves: usually that of its service, several when it may be called for any of them.
    """
    lines: Sequence[str] = event.get("lines") or (event["service"],)
    return lines


def _begins_to_wait(view: View, event: Event) -> None:
    _wait(view, _lines(event), 1)


def _gives_up(view: View, event: Event) -> None:
    if event["was"] == "waiting":
        _wait(view, _lines(event), -1)


def _called(view: View, event: Event) -> None:
    _gives_up(view, event)
    call = {
        "number": event["number"],
        "called_at_ms": event["at_ms"],
        "call": event["call"],
        "rings": 1,
        "ticket_state": "called",
    }
    _set(view, event["counter"], **call, language=event.get("language"), department=event["department"])


def _transferred(view: View, event: Event) -> None:
    _mark(view, event, ticket_state="waiting")
    _begins_to_wait(view, event)


def _placed(view: View, event: Event) -> None:
    _wait(view, event.get("left") or (), -1)
    _begins_to_wait(view, event)


def _step_undone(view: View, event: Event) -> None:
    _wait(view, event.get("left") or (), -1)
    _wait(view, event.get("lines") or (), 1)
    _set(view, event["counter"], **_shown(event.get("call_before")))


def _counter_closed(view: View, event: Event) -> None:
    if event["draining"]:
        _set(view, event["counter"], state="draining")
    else:
        _set(view, event["counter"], state="closed", **_NO_CALL)


def _day_advanced(view: View, event: Event) -> None:
    view["day"] = event["day"]
    for counter in list(view["counters"]):
        _set(view, counter, **_NO_CALL)


CHANGES: Final[Mapping[str, Callable[[View, Event], None]]] = {
    "TicketIssued": _begins_to_wait,
    "TicketCalled": _called,
    "TicketRecalled": lambda view, event: _mark(view, event, rings=event["rings"]),
    "ServiceStarted": lambda view, event: _mark(view, event, ticket_state="serving"),
    "TicketServed": lambda view, event: _mark(view, event, ticket_state="served"),
    "TicketNoShow": lambda view, event: _mark(view, event, ticket_state="no_show"),
    "TicketParked": lambda view, event: _mark(view, event, ticket_state="parked"),
    "TicketTransferred": _transferred,
    "TicketCancelled": _gives_up,
    "TicketExpired": _gives_up,
    "TicketRevived": _begins_to_wait,
    "TicketPlaced": _placed,
    "StepUndone": _step_undone,
    "CounterOpened": lambda view, event: _set(view, event["counter"], state="open"),
    "CounterPaused": lambda view, event: _set(view, event["counter"], state="paused"),
    "CounterClosed": _counter_closed,
    "IssuingSwitched": lambda view, event: view.update(issuing={"open": event["open"], "text": event["text"]}),
    "DayAdvanced": _day_advanced,
}
"""Type -> what it changes.  Every public type is here or in UNSEEN."""

UNSEEN: Final = frozenset(
    {"TicketPrinted", "TicketMovedBack", "TicketReassigned", "CounterAssigned", "CentreChanged", "EpochRenewed"}
    | {"DossierChanged"}
    | {"TicketNoted", "HelpAsked", "HelpAnswered", "MessageSent", "MessageRead"}
)
"""Types that change nothing on a board (which counters a slip names is the slip's and the phone's matter)."""
