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
    "TicketIssued": ("number", "department", "service", "counters"),
    "TicketPrinted": ("number",),
    "TicketCalled": ("number", "department", "service", "counter", "call", "language", "was"),
    "TicketRecalled": ("number", "department", "counter", "rings", "language"),
    "ServiceStarted": ("number", "counter"),
    "TicketServed": ("number", "counter"),
    "TicketNoShow": ("number", "counter"),
    "TicketParked": ("number", "counter"),
    "TicketTransferred": ("number", "counter", "department", "service", "from_department", "from_service", "counters"),
    "TicketMovedBack": ("number", "department", "service"),
    "TicketReassigned": ("number", "counters"),
    "TicketCancelled": ("number", "department", "service", "was"),
    "TicketRevived": ("number", "department", "service", "was", "counters"),
    "TicketExpired": ("number", "department", "service", "was"),
    "StepUndone": ("number", "department", "service", "counter", "was", "now", "left_line", "call_before"),
    "CounterOpened": ("counter",),
    "CounterPaused": ("counter",),
    "CounterClosed": ("counter", "draining"),
    "IssuingSwitched": ("open", "text"),
    "DayAdvanced": ("day",),
    "CentreChanged": ("version",),
    "EpochRenewed": (),
}
"""Type -> the fields that may leave the building.  A test holds this against what the Lua functions record."""

STAFF_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "TicketIssued": ("ticket", "class", "ground", "actor", "procedure", "virtual_ms"),
    "TicketPrinted": ("ticket", "actor"),
    "TicketCalled": ("ticket", "class", "actor", "why", "reason"),
    "TicketRecalled": ("ticket", "actor"),
    "ServiceStarted": ("ticket", "actor"),
    "TicketServed": ("ticket", "actor", "service", "department", "called_at_ms", "started_at_ms"),
    "TicketNoShow": ("ticket", "actor", "service", "department"),
    "TicketParked": ("ticket", "actor", "service", "department", "reason"),
    "TicketTransferred": ("ticket", "actor", "note", "class"),
    "TicketMovedBack": ("ticket", "actor"),
    "TicketReassigned": ("ticket", "actor"),
    "TicketCancelled": ("ticket", "actor", "reason"),
    "TicketRevived": ("ticket", "actor", "reason", "class"),
    "TicketExpired": ("ticket", "actor"),
    "StepUndone": ("ticket", "actor"),
    "CounterOpened": ("actor", "taken_from"),
    "CounterPaused": ("actor", "reason"),
    "CounterClosed": ("actor",),
    "IssuingSwitched": ("actor",),
    "DayAdvanced": ("actor",),
    "CentreChanged": ("actor",),
    "EpochRenewed": ("actor",),
}
"""Type -> the further fields that staff and integrators see."""


def public_form(event: Event) -> Event:
    """*event* with nothing but its envelope and the public fields of its type."""
    return {name: event[name] for name in (*ENVELOPE, *PUBLIC_FIELDS[event["type"]]) if name in event}
