"""
Proves from a recorded history that the hall kept its promises, or names what it broke.

Pure.  The promises are those of docs/protocol.md: a ticket is called once, none is lost, one key has one answer, who
waited longest is called first, "nobody waits" is true, and every screen misses nothing and repeats nothing.  The
checks lean on what was seen from outside (answers and frames) and hold the service's own event log against it.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Any

import msgspec

from displays.board import View, apply
from loadtest.record import AnyRow, BoardTruth, Fact, Frame, Joined, Pressed, Run, Truth
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
    Park,
    Recall,
    Resume,
    Revive,
    SetPlace,
    Start,
    Transfer,
)
from queue_service.events import public_form
from queue_service.tickets import FINAL, TRANSITIONS, State

CAUSES: Mapping[str, tuple[type[Command], ...]] = {
    "TicketIssued": (IssueTicket,),
    "TicketPrinted": (MarkPrinted,),
    "TicketCalled": (CallNext, CallChosen, Resume),
    "TicketRecalled": (Recall,),
    "ServiceStarted": (Start,),
    "TicketServed": (Complete,),
    "TicketNoShow": (MarkNoShow,),
    "TicketParked": (Park,),
    "TicketTransferred": (Transfer,),
    "TicketMovedBack": (MarkLate, MarkNoShow),
    "TicketCancelled": (Cancel,),
    "TicketRevived": (Revive,),
    "TicketPlaced": (SetPlace,),
    "TicketExpired": (Expire,),
}
"""Event -> the presses that may have caused it; what they make of a ticket is in TRANSITIONS."""

JOIN_LINE = frozenset({"TicketIssued", "TicketTransferred", "TicketRevived", "TicketPlaced"})
LEAVE_LINE = frozenset({"TicketCalled", "TicketCancelled", "TicketExpired", "StepUndone"})

CLOCK_SLACK_MS = 5.0
"""Two clocks of one machine are compared: milliseconds are cut off on one side and calls take time on the other."""


class Kind(StrEnum):
    """What can be wrong."""

    CALLED_TWICE = "called twice"
    LOST = "ticket lost"
    UNTOLD = "called, and no officer was told"
    NUMBER_TWICE = "number given twice"
    DIFFERENT_ANSWERS = "one key, different answers"
    OUT_OF_ORDER = "passed by a later ticket"
    NOT_NOBODY = "nobody waits, though somebody did"
    ILLEGAL_STEP = "step that the life of a ticket does not have"
    LOG_GAP = "gap in the event log"
    GAP = "screen missed an event"
    REPEATED = "screen was shown an event twice"
    DIFFERENT_EVENTS = "one number, different events"
    NEEDLESS_SNAPSHOT = "screen lost its place without need"
    NOT_CONVERGED = "screen ended apart from the truth"
    SERVICE_BROKE = "answer 5xx that is no polite refusal"


class Fault(msgspec.Struct, frozen=True):
    """One broken promise, in a sentence."""

    kind: Kind
    sentence: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """All faults, and how much was looked at: a clean verdict over nothing proves nothing."""

    faults: tuple[Fault, ...]
    looked_at: dict[str, int]

    @property
    def is_clean(self) -> bool:
        """Whether no promise was broken."""
        return not self.faults

    def counts(self) -> Counter[Kind]:
        """Faults by kind."""
        return Counter(fault.kind for fault in self.faults)


class History:
    """The rows of one run, sorted by what they tell."""

    def __init__(self, rows: Iterable[AnyRow]) -> None:
        self.run: Run | None = None
        self.presses: list[Pressed] = []
        self.screens: dict[str, list[Joined | Frame]] = defaultdict(list)
        self.facts: list[Fact] = []
        self.truth: Truth | None = None
        self.boards: dict[str, BoardTruth] = {}
        for row in rows:
            match row:
                case Run():
                    self.run = row
                case Pressed():
                    self.presses.append(row)
                case Joined() | Frame():
                    self.screens[row.screen].append(row)
                case Fact():
                    self.facts.append(row)
                case Truth():
                    self.truth = row
                case BoardTruth():
                    self.boards[row.board] = row
                case _:
                    pass
        self.facts.sort(key=lambda fact: fact.event["seq"])
        self.presses.sort(key=lambda press: press.sent_ns)

    def answered(self) -> Iterator[Pressed]:
        """Presses that were granted."""
        return (press for press in self.presses if 200 <= press.status < 300)


def verify(rows: Iterable[AnyRow], *, margin_ms: Mapping[str, float] | None = None) -> Verdict:
    """
    Judge a history.

    Args:
        margin_ms: by how much a later ticket of a class may pass an earlier one of its line; by default what the
        centre's
            allocation window allows.
    """
    history = History(rows)
    faults = [
        *_same_answers(history),
        *_polite(history),
        *_lives(history),
        *_numbers(history),
        *_none_lost(history),
        *_all_told(history),
        *_order(history, margin_ms if margin_ms is not None else allowed_margin_ms(history.run)),
        *_nobody(history),
        *_screens(history),
    ]
    return Verdict(
        faults=tuple(faults),
        looked_at={
            "requests": len(history.presses),
            "presses": len({press.key for press in history.presses}),
            "events": len(history.facts),
            "screens": len(history.screens),
            "frames": sum(isinstance(row, Frame) for rows in history.screens.values() for row in rows),
        },
    )


def allowed_margin_ms(run: Run | None) -> dict[str, float]:
    """
    ``window * P_class / P_standard`` for each class: how far a slip that names the counter may pass an earlier one
    (docs/allocation.md).  The widest window of the centre's departments counts.
    """
    policy = run.centre.get("policy", {}) if run is not None else {}
    modes = (
        {department.get("mode", "cluster") for department in run.centre.get("departments", [])}
        if run is not None
        else set()
    )
    windows = policy.get("window_s", {})
    window_s = max((windows.get(mode, 0) for mode in modes), default=0)
    promises = {row["id"]: row["promise_s"] for row in policy.get("classes", [])}
    standard = promises.get("standard", 1)
    return {name: 1000.0 * window_s * promise / standard for name, promise in promises.items()}


def _same_answers(history: History) -> Iterator[Fault]:
    """One key, one status and one answer, however often and by whatever way it was sent."""
    first: dict[str, Pressed] = {}
    for press in history.answered():
        earlier = first.setdefault(press.key, press)
        if (earlier.status, earlier.answer) != (press.status, press.answer):
            yield Fault(
                Kind.DIFFERENT_ANSWERS,
                f"{press.who} {press.press}, key {press.key}: {_short(earlier)} and then {_short(press)}",
            )


def _polite(history: History) -> Iterator[Fault]:
    """Of the 5xx only 503 is an answer."""
    for press in history.presses:
        if press.status >= 500 and press.status != 503:
            yield Fault(Kind.SERVICE_BROKE, f"{press.who} {press.press}, key {press.key}: status {press.status}")


def _steps(facts: Sequence[Fact]) -> Iterator[tuple[dict[str, Any], State | None, State | None]]:
    """
    Each event about a ticket with the state before and after it; after an illegal step that is None, and the ticket
    stays.

    A log whose beginning is no longer kept speaks of tickets that it does not issue: their first step is taken as
    given.
    """
    states: dict[str, State] = {}
    is_whole = next((fact.event["seq"] for fact in facts), 1) == 1
    for fact in facts:
        event = fact.event
        if event["type"] == "StepUndone":
            states[event["ticket"]] = State(event["now"])
        elif event["type"] in CAUSES:
            before = states.get(event["ticket"])
            rows = [TRANSITIONS[before]] if before is not None or is_whole else list(TRANSITIONS.values())
            after = next((row[cause] for row in rows for cause in CAUSES[event["type"]] if cause in row), None)
            if after is not None:
                states[event["ticket"]] = after
            yield event, before, after


def _lives(history: History) -> Iterator[Fault]:
    """Every step of a ticket is a row of TRANSITIONS, and the log itself has no hole."""
    for earlier, later in pairwise(fact.event["seq"] for fact in history.facts):
        if later != earlier + 1:
            yield Fault(Kind.LOG_GAP, f"event {earlier} is followed by {later}")
    for event, before, after in _steps(history.facts):
        if after is None:
            kind = Kind.CALLED_TWICE if event["type"] == "TicketCalled" else Kind.ILLEGAL_STEP
            yield Fault(
                kind, f"event {event['seq']}: {event['type']} of {event['number']}, which is {before or 'not issued'}"
            )
    yield from _calls_in_answers(history)


def _calls_in_answers(history: History) -> Iterator[Fault]:
    """Two presses that were answered with the same call of the same ticket, whatever the log says."""
    told: dict[tuple[str, int], Pressed] = {}
    for press in history.answered():
        ticket = _ticket_of(press)
        if press.press != "call-next" or ticket is None:
            continue
        earlier = told.setdefault((ticket["id"], ticket["called_at_ms"]), press)
        if earlier.key != press.key:
            yield Fault(Kind.CALLED_TWICE, f"{ticket['number']} was given to {earlier.who} and to {press.who}")


def _numbers(history: History) -> Iterator[Fault]:
    """A printed number belongs to one ticket on its day."""
    holders: dict[tuple[str, str], str] = {}
    for press in history.answered():
        ticket = _ticket_of(press)
        if press.press != "issue" or ticket is None:
            continue
        holder = holders.setdefault((ticket["day"], ticket["number"]), ticket["id"])
        if holder != ticket["id"]:
            yield Fault(Kind.NUMBER_TWICE, f"{ticket['number']} belongs to {holder} and to {ticket['id']}")


def _none_lost(history: History) -> Iterator[Fault]:
    """Every ticket that was handed out is in the log, and in the end it is in one place or done."""
    if history.truth is None:
        return
    logged = {fact.event["ticket"] for fact in history.facts if fact.event["type"] == "TicketIssued"}
    states = {event["ticket"]: after for event, _, after in _steps(history.facts) if after is not None}
    found = Counter(_places(history.truth.state))
    handed_out = {
        t["id"]: t["number"] for p in history.answered() if p.press == "issue" and (t := _ticket_of(p)) is not None
    }
    for ticket, number in handed_out.items():
        if ticket not in logged:
            yield Fault(Kind.LOST, f"{number} was handed out and is not in the event log")
        elif found[ticket] == 0 and states.get(ticket) not in FINAL:
            yield Fault(Kind.LOST, f"{number} is {states.get(ticket)} by the log and nowhere in the hall")
        elif found[ticket] > 1:
            yield Fault(Kind.LOST, f"{number} is in {found[ticket]} places at once")


def _places(state: Mapping[str, Any]) -> Iterator[str]:
    """Ids of the tickets in the hall, once for each place they are in."""
    for counter in state.get("counters", []):
        ticket = _id(counter.get("ticket"))
        if ticket is not None:
            yield ticket
    for line in state.get("lines", []):
        yield from (ticket["id"] for ticket in line["tickets"])
    for aside in ("parked", "no_show"):
        yield from (ticket["id"] for ticket in state.get(aside, []))


def _all_told(history: History) -> Iterator[Fault]:
    """No ticket leaves the line without an officer being told: some answer at that counter, or its view, names it."""
    told: set[tuple[str, str]] = set()
    for press in history.answered():
        ticket = _ticket_of(press)
        if ticket is not None and press.who.startswith("counter:"):
            told.add((press.who.removeprefix("counter:"), ticket["id"]))
    still = (
        {seat["id"]: _id(seat.get("ticket")) for seat in history.truth.state.get("counters", [])}
        if history.truth
        else {}
    )
    after_seq = history.run.after_seq if history.run is not None else 0
    for fact in history.facts:
        event = fact.event
        if event["type"] != "TicketCalled" or event["seq"] <= after_seq or (event["counter"], event["ticket"]) in told:
            continue
        if still.get(event["counter"]) != event["ticket"]:
            yield Fault(Kind.UNTOLD, f"event {event['seq']}: {event['number']} to {event['counter']}")


def _order(history: History, margin_ms: Mapping[str, float]) -> Iterator[Fault]:
    """
    Within one line and class nobody is passed by a ticket that came later by more than the margin.

    Tickets that were sent on, came back or let others pass are left out, and so are calls out of turn, which are on
    record.
    """
    waiting: dict[tuple[str, str], dict[str, tuple[int, str]]] = defaultdict(dict)
    draining: set[str] = set()
    for fact in history.facts:
        event = fact.event
        match event["type"]:
            case "TicketIssued":
                line = waiting[(event["service"], event["class"])]
                line[event["ticket"]] = (event.get("virtual_ms", event["at_ms"]), event["number"])
            case "CounterClosed":
                draining.add(event["counter"])
            case "CounterOpened":
                draining.discard(event["counter"])
            case "TicketCalled":
                line = waiting[(event["service"], event["class"])]
                mine = line.pop(event["ticket"], None)
                if mine is None or event.get("why") is None or event["counter"] in draining:
                    continue
                oldest_ms, number = min(line.values(), default=(mine[0], ""))
                passed_ms = mine[0] - oldest_ms
                if passed_ms > margin_ms.get(event["class"], 0.0):
                    sentence = f"event {event['seq']}: {event['number']} before {number}, {passed_ms} ms older"
                    yield Fault(Kind.OUT_OF_ORDER, sentence)
            case "TicketCancelled" | "TicketExpired" | "TicketMovedBack" | "TicketTransferred" | "TicketPlaced":
                for line in waiting.values():
                    line.pop(event["ticket"], None)
            case _:
                pass


def _nobody(history: History) -> Iterator[Fault]:
    """
    "Nobody waits" is false when somebody whom that counter serves waited from before the press until after its answer.

    A press sent several times was decided somewhere between its first sending and its first answer.
    """
    if history.run is None:
        return
    stays = _stays(history.facts)
    serves = {c["id"]: {row["service"] for row in c["serves"]} for c in history.run.centre.get("counters", [])}
    first_sent: dict[str, int] = {}
    judged: set[str] = set()
    closing = {fact.event["counter"] for fact in history.facts if fact.event["type"] == "CounterClosed"}
    for press in history.presses:
        first_sent.setdefault(press.key, press.sent_ns)
        counter = press.who.removeprefix("counter:")
        if press.press != "call-next" or press.status != 200 or _ticket_of(press) is not None or press.key in judged:
            continue
        judged.add(press.key)
        if counter in closing:
            continue
        from_ms = history.run.wall_ms(first_sent[press.key]) - CLOCK_SLACK_MS
        until_ms = history.run.wall_ms(press.done_ns) + CLOCK_SLACK_MS
        for service in serves.get(counter, ()):
            for since_ms, left_ms, number in stays.get(service, ()):
                if since_ms < from_ms and until_ms < left_ms:
                    yield Fault(Kind.NOT_NOBODY, f"{counter} was told nobody waits while {number} waited for {service}")
                    break


def _stays(facts: Iterable[Fact]) -> dict[str, list[tuple[int, float, str]]]:
    """Service -> (since, until, number) of every wait in its line; until is infinite for those who wait still."""
    since: dict[str, tuple[str, int, str]] = {}
    stays: dict[str, list[tuple[int, float, str]]] = defaultdict(list)
    for fact in facts:
        event = fact.event
        ticket = event.get("ticket")
        if ticket in since and event["type"] in LEAVE_LINE:
            service, from_ms, number = since.pop(ticket)
            stays[service].append((from_ms, event["at_ms"], number))
        if event["type"] in JOIN_LINE or (event["type"] == "StepUndone" and event["now"] == State.WAITING):
            since[event["ticket"]] = (event["service"], event["at_ms"], event["number"])
    for service, from_ms, number in since.values():
        stays[service].append((from_ms, float("inf"), number))
    return stays


def _screens(history: History) -> Iterator[Fault]:
    """Each screen saw every event after its place, once, in order, the same as everybody, and ended at the truth."""
    log = {fact.event["seq"]: public_form(fact.event) for fact in history.facts}
    digests: dict[int, int] = {}
    events: dict[int, dict[str, Any]] = {}
    for rows in history.screens.values():
        for row in rows:
            if not isinstance(row, Frame):
                continue
            if row.event is not None:
                events[row.seq] = row.event
                if row.seq in log and row.event != log[row.seq]:
                    yield Fault(Kind.DIFFERENT_EVENTS, f"event {row.seq} at {row.screen} is not the one in the log")
            if digests.setdefault(row.seq, row.digest) != row.digest:
                yield Fault(Kind.DIFFERENT_EVENTS, f"event {row.seq} at {row.screen} is not what the others saw")
    for screen, rows in history.screens.items():
        yield from _one_screen(screen, rows, events, history.boards)


def _one_screen(
    screen: str, rows: Iterable[Joined | Frame], events: Mapping[int, dict[str, Any]], boards: Mapping[str, BoardTruth]
) -> Iterator[Fault]:
    seq, epoch, board = 0, "", ""
    view: View | None = None
    for row in rows:
        if isinstance(row, Joined):
            board = row.board
            if row.asked_seq is not None and row.asked_epoch == row.epoch and not row.recovered:
                yield Fault(
                    Kind.NEEDLESS_SNAPSHOT, f"{screen} asked for {row.asked_seq} and got a snapshot at {row.seq}"
                )
            if row.recovered and row.seq != row.asked_seq:
                yield Fault(Kind.GAP, f"{screen} asked for {row.asked_seq} and was continued from {row.seq}")
            seq, epoch = row.seq, row.epoch
            if row.view is not None:
                view = copy.deepcopy(row.view)
        elif row.seq <= seq:
            yield Fault(Kind.REPEATED, f"{screen} had {seq} and was shown {row.seq} again")
        else:
            if row.seq != seq + 1:
                yield Fault(Kind.GAP, f"{screen} had {seq} and was shown {row.seq}")
            seq = row.seq
            if view is not None and row.seq in events:
                apply(view, events[row.seq])
    truth = boards.get(board)
    if truth is None:
        return
    if (epoch, seq) != (truth.epoch, truth.seq):
        yield Fault(Kind.NOT_CONVERGED, f"{screen} ended at {epoch}:{seq}, the board is at {truth.epoch}:{truth.seq}")
    elif view != truth.view:
        yield Fault(Kind.NOT_CONVERGED, f"{screen} folded another view than board {board} shows at {seq}")


def _ticket_of(press: Pressed) -> dict[str, Any] | None:
    ticket = press.answer.get("ticket") if press.answer is not None else None
    return ticket if isinstance(ticket, dict) else None


def _id(ticket: dict[str, Any] | str | None) -> str | None:
    """The id of a ticket that is given whole or by its id."""
    return ticket["id"] if isinstance(ticket, dict) else ticket


def _short(press: Pressed) -> str:
    ticket = _ticket_of(press)
    return f"{press.status} {ticket['number'] + ' ' + ticket['state'] if ticket else press.answer}"[:120]
