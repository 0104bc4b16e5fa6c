"""
The life of a ticket: its states and the law of their changes.

Rule 1: every legal change of a ticket's state is a row of TRANSITIONS; the Lua functions are tested against it, pair by
pair. Rule 2: this file knows no counter, no clock and no Redis.

A ticket waits in one line, is called to one counter, is served there and is done.  Three detours lead back into the
line: absent (``no_show``), sent away for a paper (``parked``), sent on to another service (``transfer``).  ``served``,
``cancelled`` and ``expired`` are ends; a cancelled ticket may be revived by the guidance desk, because people change
their minds within a minute.

``python -m queue_service.tickets`` draws the table as a Mermaid diagram (docs/protocol.md holds the drawing).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, NewType

import msgspec

from queue_service.commands import (
    CallChosen,
    CallNext,
    Cancel,
    Command,
    Complete,
    Expire,
    IssueTicket,
    MarkLate,
    MarkNoShow,
    MarkPrinted,
    Note,
    Park,
    Recall,
    Resume,
    Revive,
    SetPlace,
    Start,
    Transfer,
)

TicketId = NewType("TicketId", str)


class State(StrEnum):
    """Where a ticket is in its life."""

    WAITING = "waiting"
    CALLED = "called"
    SERVING = "serving"
    SERVED = "served"
    NO_SHOW = "no_show"
    PARKED = "parked"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TRANSITIONS: dict[State | None, dict[type[Command], State]] = {
    None: {IssueTicket: State.WAITING},
    State.WAITING: {
        CallNext: State.CALLED,
        CallChosen: State.CALLED,
        MarkPrinted: State.WAITING,
        MarkLate: State.WAITING,
        SetPlace: State.WAITING,
        Cancel: State.CANCELLED,
        Expire: State.EXPIRED,
    },
    State.CALLED: {
        Recall: State.CALLED,
        Start: State.SERVING,
        Complete: State.SERVED,
        MarkNoShow: State.NO_SHOW,
        Park: State.PARKED,
        Transfer: State.WAITING,
        Note: State.CALLED,
        MarkPrinted: State.CALLED,
    },
    State.SERVING: {
        Complete: State.SERVED,
        Park: State.PARKED,
        Transfer: State.WAITING,
        Note: State.SERVING,
        MarkPrinted: State.SERVING,
    },
    State.PARKED: {
        Resume: State.CALLED,
        Revive: State.WAITING,
        SetPlace: State.WAITING,
        Cancel: State.CANCELLED,
        Expire: State.EXPIRED,
        MarkPrinted: State.PARKED,
    },
    State.NO_SHOW: {
        CallChosen: State.CALLED,
        Revive: State.WAITING,
        SetPlace: State.WAITING,
        Expire: State.EXPIRED,
        MarkPrinted: State.NO_SHOW,
    },
    State.CANCELLED: {Revive: State.WAITING},
    State.SERVED: {},
    State.EXPIRED: {},
}
"""State -> command -> state after it.  A pair that is missing is refused with WRONG_STATE and changes nothing."""

FINAL = frozenset({State.SERVED, State.CANCELLED, State.EXPIRED})
"""States in which nobody waits for anything any more."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """
    One place in line, as it is stored, answered and shown to staff.  Times are Unix milliseconds.

    ``id`` is 128 random bits and is itself the right to look at and give up the ticket; boards never carry it.
    """

    id: str
    number: str
    department: str
    service: str
    cls: str = msgspec.field(name="class")
    state: State
    day: str
    issued_at_ms: int
    order: str
    """Place among all tickets of the centre ever issued; settles ties."""
    virtual_ms: int
    """Virtual arrival: what the waiting time is counted from."""
    counters: tuple[str, ...] = ()
    """The counters the slip names."""
    ground: str | None = None
    language: str = "vi"
    procedure: str | None = None
    printed: bool = False
    lines: tuple[str, ...] = ()
    """The services it may be called for now: more than one when a visit needs several in any order."""
    needs: tuple[str, ...] = ()
    """What is left of the visit, the service in hand included."""
    wait: dict[str, int] | None = None
    """The wait announced at issue: ``estimate.Estimate`` as a map."""
    counter: str | None = None
    called_at_ms: int | None = None
    call: int | None = None
    """Sequence number of the TicketCalled event that holds the explanation."""
    rings: int = 0
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    park_reason: str | None = None
    park_until_ms: int | None = None
    """When a parked visitor means to be back; nothing happens by itself."""
    note: str | None = None
    placed: dict[str, Any] | None = None
    """By whom and when a supervisor decided where the ticket stands: ``by``, ``at_ms``."""


def diagram(table: Mapping[Any, Mapping[type[Any], str]] = TRANSITIONS, final: Collection[str] = FINAL) -> str:
    """A table of transitions as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for state, row in table.items():
        for wish, after in row.items():
            lines.append(f"    {state or '[*]'} --> {after}: {wish.press_name()}")
    lines.extend(f"    {state} --> [*]" for state in sorted(final))
    return "\n".join(lines)


if __name__ == "__main__":
    print(diagram())
