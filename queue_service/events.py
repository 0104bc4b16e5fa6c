"""
Facts as data: what each event of a centre's feed carries, for staff and for everybody.

Events are recorded by the Lua functions in the same step as the change (lua/21_events.lua) and numbered without gaps
(``seq``) within an ``epoch``.  Boards and phones get the public form only: numbers and counters, never ticket ids,
officers or reasons.
"""

from __future__ import annotations

from typing import Any, Final

Event = dict[str, Any]
"""A msgpack map: epoch, seq, at_ms, type, and the fields of its type."""

ENVELOPE: Final = ("epoch", "seq", "at_ms", "type")

PUBLIC_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "TicketIssued": ("number", "department", "service", "counters", "lines"),
    "TicketPrinted": ("number",),
    "TicketCalled": ("number", "department", "service", "counter", "call", "language", "was", "lines"),
    "TicketRecalled": ("number", "department", "counter", "rings", "language"),
    "ServiceStarted": ("number", "counter"),
    "TicketServed": ("number", "counter"),
    "TicketNoShow": ("number", "counter"),
    "TicketParked": ("number", "counter"),
    "TicketTransferred": (
        "number",
        "counter",
        "department",
        "service",
        "from_department",
        "from_service",
        "counters",
        "lines",
    ),
    "TicketMovedBack": ("number", "department", "service"),
    "TicketReassigned": ("number", "counters"),
    "TicketCancelled": ("number", "department", "service", "was", "lines"),
    "TicketRevived": ("number", "department", "service", "was", "counters", "lines"),
    "TicketPlaced": (
        "number",
        "department",
        "service",
        "from_department",
        "from_service",
        "was",
        "counters",
        "left",
        "lines",
    ),
    "TicketExpired": ("number", "department", "service", "was", "lines"),
    "TicketNoted": (),
    "StepUndone": ("number", "department", "service", "counter", "was", "now", "left", "lines", "call_before"),
    "CounterOpened": ("counter",),
    "CounterPaused": ("counter",),
    "CounterClosed": ("counter", "draining"),
    "CounterAssigned": ("counter",),
    "HelpAsked": (),
    "HelpAnswered": (),
    "MessageSent": (),
    "MessageRead": (),
    "IssuingSwitched": ("open", "text"),
    "DossierChanged": ("code", "department", "was", "state", "due_ms", "step", "done_ms"),
    "DayAdvanced": ("day",),
    "CentreChanged": ("version",),
    "EpochRenewed": (),
}
"""Type -> the fields that may leave the building.  A test holds this against what the Lua functions record."""

STANDING: Final = ("ticket", "class", "group", "announced_for", "virtual_ms", "order")
"""Where a ticket that waits stands: enough to know from the log alone who is due (mirror.py)."""

STAFF_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "TicketIssued": (*STANDING, "ground", "actor", "procedure", "wait"),
    "TicketPrinted": ("ticket", "actor"),
    "TicketCalled": ("ticket", "class", "actor", "why", "reason"),
    "TicketRecalled": ("ticket", "actor"),
    "ServiceStarted": ("ticket", "actor"),
    "TicketServed": (
        "ticket",
        "class",
        "actor",
        "service",
        "department",
        "called_at_ms",
        "started_at_ms",
        "mean_ms",
        "done",
        "outcome",
    ),
    "TicketNoShow": ("ticket", "actor", "service", "department"),
    "TicketParked": ("ticket", "actor", "service", "department", "reason", "until_ms"),
    "TicketTransferred": (*STANDING, "actor", "note"),
    "TicketMovedBack": (*STANDING, "actor", "counters", "lines"),
    "TicketReassigned": (*STANDING, "actor", "department", "service", "lines"),
    "TicketCancelled": ("ticket", "actor", "reason"),
    "TicketRevived": (*STANDING, "actor", "reason"),
    "TicketPlaced": (*STANDING, "actor", "reason", "was_virtual_ms"),
    "TicketExpired": ("ticket", "actor"),
    "TicketNoted": ("ticket", "number", "counter", "note", "actor"),
    "StepUndone": (*STANDING, "actor", "counters", "mean_ms"),
    "CounterOpened": ("actor", "officer", "taken_from", "reason"),
    "CounterPaused": ("actor", "reason"),
    "CounterClosed": ("actor", "reason"),
    "CounterAssigned": ("serves", "actor", "reason"),
    "HelpAsked": ("counter", "text", "actor"),
    "HelpAnswered": ("counter", "answers", "text", "actor"),
    "MessageSent": ("counter", "to", "text", "actor"),
    "MessageRead": ("counter", "message", "actor"),
    "IssuingSwitched": ("actor",),
    "DossierChanged": ("change", "procedure", "was_late", "ticket", "on_time", "actor"),
    "DayAdvanced": ("actor",),
    "CentreChanged": ("actor",),
    "EpochRenewed": ("actor",),
}
"""Type -> the further fields that staff and integrators see."""


def public_form(event: Event) -> Event:
    """*event* with nothing but its envelope and the public fields of its type."""
    return {name: event[name] for name in (*ENVELOPE, *PUBLIC_FIELDS[event["type"]]) if name in event}
