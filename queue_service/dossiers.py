"""
The life of a dossier (hồ sơ): its states, the law of their changes, and what each change does to its time limit.

Rule 1: every legal change of a dossier's state is a row of TRANSITIONS.  Rule 2: this file knows no database, no clock
and no HTTP; ``decide`` turns a dossier and a wish into the dossier after it and the step that is written down.

A dossier is received, handed over to its agency, worked on step by step, and its result goes back to the person.
Detours: missing papers are asked for (the limit stands still), it is refused, stopped on the person's wish, or promised
for a later day with an apology.  Reception and the start of the limit are two moments: they part when another
agency is competent, whose time begins when it has the dossier.  Sources: docs/dossiers.md.

``python -m queue_service.dossiers`` draws the table as a Mermaid diagram (docs/dossiers.md holds the drawing).
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Any, Literal

import msgspec
from msgspec import Struct

from queue_service.centre import Centre
from queue_service.commands import Wish
from queue_service.errors import CauseNeeded, ExtendedAlready, Malformed, SupplementAgain, WrongState
from queue_service.tickets import diagram
from queue_service.working_days import Limit, Unit, WorkingDays

Outcome = Literal["result", "refused", "stopped"]
Way = Literal["counter", "post", "online"]


class State(StrEnum):
    """Where a dossier is in its life."""

    RECEIVED = "received"
    HANDED_OVER = "handed_over"
    IN_PROGRESS = "in_progress"
    SUPPLEMENT = "supplement"
    READY = "ready"
    REFUSED = "refused"
    STOPPED = "stopped"
    RETURNED = "returned"


class Paper(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the checklist: a paper that was brought, or that a database replaces, or that is missing."""

    name: str
    originals: int = 0
    copies: int = 0
    status: Literal["brought", "data", "missing"] = "brought"


class Missing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is missing, why, and how to complete it (the law wants all three, fully and once)."""

    paper: str
    reason: str
    how: str


class Receive(Wish, frozen=True, kw_only=True, omit_defaults=True):
    """
    Take a complete dossier in.

    Args:
        procedure: the record of the catalogue, as it is today, by its digest.
        starts: whether the limit begins now; otherwise when the competent agency has the dossier.
        received_ms, due_ms: of a dossier that another system received.
    """

    department: str
    procedure: str
    procedure_name: str
    procedure_version: str
    limit: Limit
    starts: bool = True
    agency: str | None = None
    return_place: str | None = None
    papers: tuple[Paper, ...] = ()
    fee_vnd: int | None = None
    fee_paid: bool = False
    ticket: str | None = None
    language: str = "vi"
    received_ms: int | None = None
    due_ms: int | None = None


class HandOver(Wish, frozen=True, kw_only=True, omit_defaults=True):
    """Give the dossier to *department*, with its share of the limit; a limit that has not begun begins."""

    department: str
    receiver: str | None = None
    limit: Limit | None = None
    note: str | None = None


class Progress(Wish, frozen=True, kw_only=True, omit_defaults=True):
    """A step inside the agency has begun, with its share of the limit."""

    title: str
    limit: Limit | None = None
    note: str | None = None


class RequestSupplement(Wish, frozen=True, kw_only=True, omit_defaults=True):
    """Ask for what is missing, fully and once; a second time needs a reason."""

    missing: tuple[Missing, ...]
    reason: str | None = None


class TakeSupplement(Wish, frozen=True, kw_only=True, omit_defaults=True):
    """The missing papers have come; the limit goes on."""

    note: str | None = None


class Refuse(Wish, frozen=True, kw_only=True, omit_defaults=True):
    """Refuse the dossier, with the reason that the person is told."""

    reason: str
    cause: str | None = None


class Stop(Wish, frozen=True, kw_only=True, omit_defaults=True):
    """Stop on the person's own wish."""

    reason: str


class Extend(Wish, frozen=True, kw_only=True, omit_defaults=True):
    """Apologise and promise another day; late already, it needs a cause."""

    until: str
    reason: str
    cause: str | None = None


class MarkReady(Wish, frozen=True, kw_only=True, omit_defaults=True):
    """The result lies ready; if it is late, with a cause."""

    cause: str | None = None
    note: str | None = None


class Return(Wish, frozen=True, kw_only=True, omit_defaults=True):
    """The person has the result, or the papers of what was refused or stopped."""

    way: Way = "counter"
    note: str | None = None


TRANSITIONS: dict[State | None, dict[type[Wish], State]] = {
    None: {Receive: State.RECEIVED},
    State.RECEIVED: {
        HandOver: State.HANDED_OVER,
        Progress: State.IN_PROGRESS,
        RequestSupplement: State.SUPPLEMENT,
        Refuse: State.REFUSED,
        Stop: State.STOPPED,
        Extend: State.RECEIVED,
        MarkReady: State.READY,
    },
    State.HANDED_OVER: {
        HandOver: State.HANDED_OVER,
        Progress: State.IN_PROGRESS,
        RequestSupplement: State.SUPPLEMENT,
        Refuse: State.REFUSED,
        Stop: State.STOPPED,
        Extend: State.HANDED_OVER,
        MarkReady: State.READY,
    },
    State.IN_PROGRESS: {
        HandOver: State.HANDED_OVER,
        Progress: State.IN_PROGRESS,
        RequestSupplement: State.SUPPLEMENT,
        Refuse: State.REFUSED,
        Stop: State.STOPPED,
        Extend: State.IN_PROGRESS,
        MarkReady: State.READY,
    },
    State.SUPPLEMENT: {
        TakeSupplement: State.IN_PROGRESS,
        Refuse: State.REFUSED,
        Stop: State.STOPPED,
    },
    State.READY: {Return: State.RETURNED},
    State.REFUSED: {Return: State.RETURNED},
    State.STOPPED: {Return: State.RETURNED},
    State.RETURNED: {},
}
"""State -> wish -> state after it.  A pair that is missing is refused with WRONG_STATE and changes nothing."""

OPEN = frozenset({State.RECEIVED, State.HANDED_OVER, State.IN_PROGRESS, State.SUPPLEMENT})
"""States in which somebody still owes the person a result."""

NEVER_MS = 1 << 52
"""Stands behind every due date: dossiers whose limit does not run come last."""

OUTCOMES: dict[State, Outcome] = {State.READY: "result", State.REFUSED: "refused", State.STOPPED: "stopped"}


class Dossier(Struct, frozen=True, kw_only=True):
    """
    A dossier as it is kept, without the person it belongs to.  Times are Unix milliseconds.

    The place of reception (``centre``), the competent agency (``agency``, None: of this centre) and the place of return
    are three things.  ``department`` has it in hand.
    """

    code: str
    centre: str
    department: str
    state: State
    procedure: str
    procedure_name: str
    procedure_version: str
    agency: str | None = None
    return_place: str | None = None
    ticket: str | None = None
    language: str = "vi"
    fee_vnd: int | None = None
    fee_paid: bool = False
    received_ms: int
    clock_started_ms: int | None = None
    limit_unit: Unit
    limit_value: int
    promised_ms: int | None = None
    """The first promise; None until the limit begins."""
    due_ms: int | None = None
    """The promise in force; None while the limit does not run."""
    warn_ms: int | None = None
    paused_ms: int | None = None
    left: int | None = None
    """While the limit stands still: what is left of it (``WorkingDays.left``)."""
    step_due_ms: int | None = None
    """When the share of the step in hand ends."""
    supplements: int = 0
    extensions: int = 0
    was_late: bool = False
    """A promise in force has passed before it was kept or moved."""
    cause: str | None = None
    """Why it was late."""
    late_department: str | None = None
    """Who had it in hand when it was found to be late."""
    outcome: Outcome | None = None
    ended_ms: int | None = None
    returned_ms: int | None = None
    steps: int = 1
    updated_ms: int

    @property
    def limit(self) -> Limit:
        """The limit it was received under."""
        return Limit(self.limit_unit, self.limit_value)

    def late_at(self, now_ms: int) -> bool:
        """Whether a promise was broken: of an open dossier now, of another ever."""
        return self.was_late or (self.state in OPEN and self.due_ms is not None and now_ms > self.due_ms)

    def warning_at(self, now_ms: int, calendar: WorkingDays) -> Literal["late", "last_day", "share"] | None:
        """
        What somebody should be warned of: it is late, due by the end of the next working day, or three quarters used.
        """
        if self.state not in OPEN or self.due_ms is None or self.warn_ms is None or now_ms < self.warn_ms:
            return None
        if now_ms > self.due_ms:
            return "late"
        before = calendar.before(calendar.day_of(self.due_ms))
        return "last_day" if calendar.day_of(now_ms) >= before else "share"


class Step(Struct, frozen=True, kw_only=True):
    """One line of the trace (the law's form 06 and what the person may see of it)."""

    n: int
    at_ms: int
    change: str
    """The wish by name."""
    actor: str
    was: State | None
    state: State
    department: str
    title: str | None = None
    receiver: str | None = None
    due_ms: int | None = None
    """When the share of this step ends."""
    on_time: bool | None = None
    """Whether the step before kept its share; None where it had none."""
    reason: str | None = None
    """Told to the person."""
    missing: tuple[Missing, ...] = ()
    note: str | None = None
    """For staff."""


class Person(Struct, frozen=True, kw_only=True):
    """Whose dossier it is, as far as somebody must know."""

    name: str
    phone: str | None = None
    identity_end: str | None = None
    identity: bytes | None = None


class Whole(Struct, frozen=True):
    """A dossier with everything that is kept about it."""

    dossier: Dossier
    steps: tuple[Step, ...]
    papers: tuple[Paper, ...]
    person: Person | None


class Search(Struct, frozen=True, kw_only=True):
    """
    What to list, most urgent first.

    Args:
        begins: of the code. due_before_ms: a limit that runs and ends before. late_at_ms, warned_at_ms: late, or worth
        a warning, at that moment.
        after: where the page before ended: due date (or NEVER_MS) and code.
    """

    centre: str
    states: tuple[State, ...] = ()
    department: str | None = None
    begins: str = ""
    due_before_ms: int | None = None
    late_at_ms: int | None = None
    warned_at_ms: int | None = None
    after: tuple[int, str] | None = None
    limit: int = 50


class Change(Struct, frozen=True):
    """What a wish does: the dossier after it, and its step."""

    dossier: Dossier
    step: Step


def receive(wish: Receive, code: str, centre: str, actor: str, now_ms: int, calendar: WorkingDays) -> Change:
    """A new dossier."""
    received_ms = wish.received_ms if wish.received_ms is not None else now_ms
    dossier = Dossier(
        code=code,
        centre=centre,
        department=wish.department,
        state=TRANSITIONS[None][Receive],
        procedure=wish.procedure,
        procedure_name=wish.procedure_name,
        procedure_version=wish.procedure_version,
        agency=wish.agency,
        return_place=wish.return_place,
        ticket=wish.ticket,
        language=wish.language,
        fee_vnd=wish.fee_vnd,
        fee_paid=wish.fee_paid,
        received_ms=received_ms,
        limit_unit=wish.limit.unit,
        limit_value=wish.limit.value,
        updated_ms=now_ms,
    )
    if wish.starts:
        dossier = _started(dossier, received_ms, calendar, wish.due_ms)
    step = Step(
        n=1,
        at_ms=now_ms,
        change=Receive.press_name(),
        actor=actor,
        was=None,
        state=dossier.state,
        department=dossier.department,
    )
    return Change(dossier, step)


def decide(dossier: Dossier, wish: Wish, actor: str, now_ms: int, calendar: WorkingDays, extensions: int) -> Change:
    """
    The dossier after *wish*, and the step that says so.

    Args:
        now_ms: a clock that runs backwards stands still for the dossier.
        calendar: of the centre that received it.
        extensions: how often the centre lets a dossier be promised for a later day.

    Raises:
        WrongState: its life has no such step.
        SupplementAgain: missing papers were asked for before, and no reason is given.
        ExtendedAlready: it has been promised for a later day as often as may be.
        CauseNeeded: it is late and nobody has said why.
        Malformed: the promised day is off, or no later.
    """
    after = TRANSITIONS[dossier.state].get(type(wish))
    if after is None:
        raise WrongState(f"Dossier {dossier.code} is {dossier.state}; {wish.press_name()} is no step from there.")
    now_ms = max(now_ms, dossier.updated_ms)
    on_time = None if dossier.step_due_ms is None else now_ms <= dossier.step_due_ms
    is_late = dossier.late_at(now_ms)
    changed: dict[str, Any] = {"state": after, "updated_ms": now_ms, "steps": dossier.steps + 1}
    told: dict[str, Any] = {}
    match wish:
        case HandOver() | Progress():
            share_ms = calendar.due_ms(now_ms, wish.limit) if wish.limit is not None else None
            changed["step_due_ms"] = told["due_ms"] = share_ms
            told["note"] = wish.note
            if isinstance(wish, HandOver):
                changed["department"], told["receiver"] = wish.department, wish.receiver
                if dossier.clock_started_ms is None:
                    dossier = _started(dossier, now_ms, calendar)
            else:
                told["title"] = wish.title
        case RequestSupplement():
            if dossier.supplements and not wish.reason:
                raise SupplementAgain(
                    f"Papers for dossier {dossier.code} were asked for before; a second time needs a reason."
                )
            changed |= _paused(dossier, now_ms, calendar)
            changed |= {"supplements": dossier.supplements + 1, "step_due_ms": None}
            told |= {"missing": wish.missing, "reason": wish.reason}
            on_time = None
        case TakeSupplement():
            changed |= _resumed(dossier, now_ms, calendar)
            told["note"] = wish.note
        case Extend():
            if dossier.extensions >= extensions:
                raise ExtendedAlready(f"Dossier {dossier.code} cannot be promised for a later day again.")
            changed |= _extended(dossier, wish, now_ms, calendar)
            told["reason"] = wish.reason
        case Refuse() | Stop() | MarkReady():
            changed |= {"outcome": OUTCOMES[after], "ended_ms": now_ms, "step_due_ms": None, "paused_ms": None}
            told["reason"] = None if isinstance(wish, MarkReady) else wish.reason
            told["note"] = wish.note if isinstance(wish, MarkReady) else None
        case Return():
            changed["returned_ms"] = now_ms
            told |= {"title": wish.way, "note": wish.note}
    if is_late and not dossier.was_late:
        changed |= {"was_late": True, "late_department": dossier.department}
    if isinstance(wish, Extend | Refuse | MarkReady):
        cause = wish.cause or dossier.cause
        if is_late and cause is None:
            raise CauseNeeded(f"Dossier {dossier.code} is late; say why.")
        changed["cause"] = cause if is_late else None
    was = dossier.state
    dossier = msgspec.structs.replace(dossier, **changed)
    step = Step(
        n=dossier.steps,
        at_ms=now_ms,
        change=wish.press_name(),
        actor=actor,
        was=was,
        state=after,
        department=dossier.department,
        on_time=on_time,
        **told,
    )
    return Change(dossier, step)


def _started(dossier: Dossier, start_ms: int, calendar: WorkingDays, due_ms: int | None = None) -> Dossier:
    """The dossier with its limit running; *due_ms* is a promise that somebody else has made already."""
    due_ms = due_ms if due_ms is not None else calendar.due_ms(start_ms, dossier.limit)
    return msgspec.structs.replace(
        dossier,
        clock_started_ms=start_ms,
        promised_ms=due_ms,
        due_ms=due_ms,
        warn_ms=calendar.warn_ms(start_ms, due_ms),
    )


def _paused(dossier: Dossier, now_ms: int, calendar: WorkingDays) -> dict[str, Any]:
    """The limit stands still: the time until the papers come does not count."""
    left = None if dossier.due_ms is None else calendar.left(now_ms, dossier.due_ms, dossier.limit_unit)
    return {"paused_ms": now_ms, "left": left, "due_ms": None, "warn_ms": None}


def _resumed(dossier: Dossier, now_ms: int, calendar: WorkingDays) -> dict[str, Any]:
    """The limit goes on with what was left; one that had not begun begins in whole."""
    if dossier.left is None:
        started = _started(dossier, now_ms, calendar)
        names = ("clock_started_ms", "promised_ms", "due_ms", "warn_ms")
        return {"paused_ms": None, **{name: getattr(started, name) for name in names}}
    due_ms = calendar.resumed_ms(now_ms, dossier.left, dossier.limit_unit)
    return {"paused_ms": None, "left": None, "due_ms": due_ms, "warn_ms": calendar.warn_ms(now_ms, due_ms)}


def _extended(dossier: Dossier, wish: Extend, now_ms: int, calendar: WorkingDays) -> dict[str, Any]:
    day = date.fromisoformat(wish.until)
    if not calendar.is_working(day):
        raise Malformed(f"Nobody works on {wish.until}; promise a working day.")
    due_ms = calendar.closes_ms(day)
    if dossier.due_ms is None or due_ms <= max(now_ms, dossier.due_ms):
        raise Malformed(f"{wish.until} is no later than what was promised.")
    return {"extensions": dossier.extensions + 1, "due_ms": due_ms, "warn_ms": calendar.warn_ms(now_ms, due_ms)}


def fact_of(change: Change) -> dict[str, Any]:
    """What the centre's events say of a change (events.py, DossierChanged); nothing in it names a person."""
    dossier, step = change.dossier, change.step
    fact = {
        "code": dossier.code,
        "step": step.n,
        "change": step.change,
        "was": step.was,
        "state": step.state,
        "department": dossier.department,
        "procedure": dossier.procedure,
        "due_ms": dossier.due_ms,
        "was_late": dossier.was_late,
        "ticket": dossier.ticket,
        "on_time": step.on_time,
        "done_ms": step.at_ms,
        "actor": step.actor,
    }
    return {name: value for name, value in fact.items() if value is not None}


def code_prefix(centre: Centre, department: str, day: date) -> str:
    """The codes of one agency and day up to their number: the template of the centre, filled."""
    policy = centre.dossiers
    agency = centre.department(department).agency or policy.agency or centre.id.upper()
    filled = {"{agency}": agency, "{department}": department, "{yymmdd}": f"{day:%y%m%d}", "{sequence}": ""}
    template = policy.code
    for word, value in filled.items():
        template = template.replace(word, value)
    return template


if __name__ == "__main__":
    print(diagram(TRANSITIONS, {State.RETURNED}))
