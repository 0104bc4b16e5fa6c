"""
The mirror: what a hall looks like now, as a fold of its events.

Fed by the staff form of the feed (or by one reading of the store), feeds announced waits and explanations.  It knows
who waits where and which counter is busy since when, and nothing that the event log does not say; a test folds whole
days and compares with the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from queue_service.centre import Centre
from queue_service.estimate import Calibration, Discipline, Estimate, Serving, Waiting, forecast, free_at

Event = Mapping[str, Any]


@dataclass(slots=True)
class Seat:
    """A counter as a forecast needs it."""

    state: str = "closed"
    since_ms: int = 0
    has_left: bool = False
    service: str | None = None
    called_at_ms: int | None = None
    """Of the visitor in hand; None when there is none."""


@dataclass(slots=True)
class Mirror:
    """One centre's hall after the event numbered ``seq`` of ``epoch``."""

    epoch: str = ""
    seq: int = 0
    waiting: dict[str, Waiting] = field(default_factory=dict)
    seats: dict[str, Seat] = field(default_factory=dict)
    parked: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Ticket set aside -> its service and the counter that did it."""
    done: dict[str, str] = field(default_factory=dict)
    """Ticket served or missed today -> the counter where that was, newest last."""
    means_ms: dict[str, float] = field(default_factory=dict)
    worst_overtaking_ms: int = 0
    """
    The most by which a ticket called today had begun to wait after one of its own line and class that was left waiting.
    Chosen, resumed and moved tickets aside; the discipline bounds it by the window (docs/allocation.md).
    """
    calibration: Calibration = field(default_factory=Calibration)
    _announced: dict[str, tuple[str, int, Estimate]] = field(default_factory=dict)

    def read(
        self,
        day: Mapping[str, str],
        counters: Mapping[str, Mapping[str, Any]],
        tickets: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Begin anew from one reading of the store; what first calls have taught stays."""
        self.epoch, self.seq = day["epoch"], int(day["seq"])
        self.means_ms = {
            name.removeprefix("mean:"): float(text.partition(" ")[0])
            for name, text in day.items()
            if name.startswith("mean:")
        }
        self.waiting = {id: _waiting(record) for id, record in tickets.items() if record["state"] == "waiting"}
        for id, record in tickets.items():
            if id in self.waiting and record.get("wait") and record.get("call") is None:
                self._announced[id] = record["class"], record["issued_at_ms"], Estimate(**record["wait"])
        self.parked = {
            id: (record["service"], record["counter"]) for id, record in tickets.items() if record["state"] == "parked"
        }
        self.done = {}
        ended = [record for record in tickets.values() if record["state"] in ("served", "no_show")]
        for record in sorted(ended, key=lambda record: int(record["ended_at_ms"])):
            self.done[record["id"]] = record["counter"]
        self.seats = {}
        for id, record in counters.items():
            is_busy = bool(record.get("ticket"))
            self.seats[id] = Seat(
                record["state"],
                record["since_ms"],
                bool(record.get("has_left")),
                record.get("service") if is_busy else None,
                record.get("called_at_ms") if is_busy else None,
            )

    def apply(self, event: Event) -> None:
        """Take in the next event; one that was taken in before changes nothing."""
        if event["seq"] <= self.seq and event["epoch"] == self.epoch:
            return
        self.epoch, self.seq = event["epoch"], event["seq"]
        if "ticket" in event and event["type"] not in ("TicketPrinted", "TicketMovedBack", "TicketReassigned"):
            self.parked.pop(event["ticket"], None)
            self.done.pop(event["ticket"], None)
        match event["type"]:
            case "TicketIssued":
                self._stand(event)
                if event.get("wait"):
                    self._announced[event["ticket"]] = event["class"], event["at_ms"], Estimate(**event["wait"])
            case "TicketTransferred":
                self._free(event)
                self._stand(event)
            case "TicketRevived" | "TicketMovedBack" | "TicketReassigned" | "TicketPlaced":
                self._stand(event)
            case "TicketCalled":
                self._overtake(event)
                self.waiting.pop(event["ticket"], None)
                seat = self._seat(event)
                seat.service, seat.called_at_ms = event["service"], event["at_ms"]
                self._learn(event)
            case "TicketServed":
                self.means_ms[event["service"]] = event["mean_ms"]
                self._free(event)
                self.done[event["ticket"]] = event["counter"]
            case "TicketNoShow":
                self._free(event)
                self.done[event["ticket"]] = event["counter"]
            case "TicketParked":
                self._free(event)
                self.parked[event["ticket"]] = event["service"], event["counter"]
            case "TicketCancelled" | "TicketExpired":
                self.waiting.pop(event["ticket"], None)
                self._announced.pop(event["ticket"], None)
            case "StepUndone":
                self._undo(event)
            case "DayAdvanced":
                self.worst_overtaking_ms = 0
                self.done.clear()
            case "CounterOpened" | "CounterPaused" | "CounterClosed":
                self._change(event)
            case _:
                pass

    def _seat(self, event: Event) -> Seat:
        return self.seats.setdefault(event["counter"], Seat())

    def _free(self, event: Event) -> None:
        seat = self._seat(event)
        seat.service = seat.called_at_ms = None

    def _stand(self, event: Event) -> None:
        self.waiting[event["ticket"]] = _waiting({"id": event["ticket"], **event})

    def _undo(self, event: Event) -> None:
        seat = self._seat(event)
        self.waiting.pop(event["ticket"], None)
        if event["now"] == "parked":
            self.parked[event["ticket"]] = event["service"], event["counter"]
        if event.get("mean_ms") is not None:
            self.means_ms[event["service"]] = event["mean_ms"]
        if event["now"] in ("called", "serving"):
            call = event.get("call_before")
            seat.service, seat.called_at_ms = event["service"], call["at_ms"] if call else event["at_ms"]
            return
        seat.service = seat.called_at_ms = None
        if event["now"] == "waiting":
            self._stand(event)

    def _change(self, event: Event) -> None:
        seat = self._seat(event)
        states = {"CounterOpened": "open", "CounterPaused": "paused"}
        state = states.get(event["type"], "draining" if event.get("draining") else "closed")
        if state != seat.state:
            seat.state, seat.since_ms = state, event["at_ms"]
        seat.has_left = state == "closed" or (seat.has_left and state != "open")

    def _overtake(self, event: Event) -> None:
        called = self.waiting.get(event["ticket"])
        if called is None or event["why"]["rule"] not in ("own", "oldest", "only"):
            return
        left = (
            entry.virtual_ms
            for entry in self.waiting.values()
            if entry.cls == called.cls and event["service"] in entry.lines and entry.virtual_ms < called.virtual_ms
        )
        self.worst_overtaking_ms = max(
            self.worst_overtaking_ms, called.virtual_ms - min(left, default=called.virtual_ms)
        )

    def _learn(self, event: Event) -> None:
        announced = self._announced.pop(event["ticket"], None)
        if announced is not None:
            cls, issued_at_ms, estimate = announced
            self.calibration.learn(cls, estimate, event["at_ms"] - issued_at_ms)

    # -- announcing ----------------------------------------------------------------------------------------------------

    def announce(
        self, centre: Centre, cls: str, lines: tuple[str, ...], virtual_ms: int, now_ms: int
    ) -> Estimate | None:
        """
        The wait of a ticket of *cls* that would begin to wait in *lines* now; None where no counter is expected to call
        it.

        O(tickets waiting in lines that share counters with *lines*).
        """
        new = Waiting("", cls, virtual_ms, "~", lines)  # after every order there is
        return self._estimate(centre, new, [*self.waiting.values(), new], now_ms)

    def remaining(self, centre: Centre, ticket: str, now_ms: int) -> Estimate | None:
        """What is left of the wait of *ticket*; None when it does not wait."""
        entry = self.waiting.get(ticket)
        return self._estimate(centre, entry, self.waiting.values(), now_ms) if entry else None

    def _estimate(self, centre: Centre, ticket: Waiting, waiting: Iterable[Waiting], now_ms: int) -> Estimate | None:
        services, counters = component(centre, ticket.lines)
        opening_ms = next_opening_ms(centre, now_ms)
        means_ms = {id: self.means_ms.get(id, centre.service(id).mean_service_s * 1000.0) for id in services}
        promise_s = {rule.id: rule.promise_s for rule in centre.policy.classes}
        standard = centre.policy.classes[0].promise_s
        discipline = Discipline(
            {cls: standard / promise for cls, promise in promise_s.items()},
            centre.policy.handicap_s * 1000.0,
            centre.policy.kappa,
            means_ms,
        )
        places = {counter.id: place for place, counter in enumerate(centre.counters)}
        serving, open_counters = [], 0
        for id in counters:
            counter, seat = centre.counter(id), self.seats.get(id, Seat())
            if seat.state == "draining" or (seat.state == "closed" and (seat.has_left or opening_ms <= now_ms)):
                continue
            lines = tuple((line.service, line.level) for line in counter.serves if line.service in means_ms)
            mean_ms = means_ms.get(seat.service or "", 0.0)
            free_ms = free_at(now_ms, seat.state, seat.called_at_ms, mean_ms, seat.since_ms, opening_ms)
            serving.append(Serving(free_ms, places[id], lines))
            open_counters += any(service in ticket.lines for service, _ in lines)
        called_ms = forecast(discipline, (w for w in waiting if services.issuperset(w.lines)), serving, ticket.id)
        if called_ms is None:
            return None
        return self.calibration.announce(
            ticket.cls, called_ms - now_ms, max(opening_ms - now_ms, 0), means_ms[ticket.lines[0]], open_counters
        )


def _waiting(record: Mapping[str, Any]) -> Waiting:
    lines = record.get("lines") or (record["service"],)
    return Waiting(record["id"], record["class"], record["virtual_ms"], record["order"], tuple(lines))


def component(centre: Centre, lines: Iterable[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The services that share counters with *lines*, directly or through others, and those counters."""
    services, counters, todo = set(lines), dict[str, None](), list(lines)
    while todo:
        for counter in centre.counters_of(todo.pop()):
            if counter.id not in counters:
                counters[counter.id] = None
                for line in counter.serves:
                    if line.service not in services:
                        services.add(line.service)
                        todo.append(line.service)
    return frozenset(services), tuple(counters)


def next_opening_ms(centre: Centre, now_ms: int) -> int:
    """
    When counters work next (Unix ms); *now_ms* itself inside the hours, and for a centre that does not keep to its
    hours.
    """
    if not centre.policy.enforce_hours:
        return now_ms
    zone = ZoneInfo(centre.timezone)
    local = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone)
    for days in range(8):
        day = (local + timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
        for span in sorted(centre.hours.sessions, key=lambda span: span.start_minute):
            start = day + timedelta(minutes=span.start_minute)
            if not centre.hours.is_open(day.weekday(), span.start_minute):
                continue
            if days == 0 and start <= local < day + timedelta(minutes=span.end_minute):
                return now_ms
            if start > local:
                return int(start.timestamp() * 1000)
    return now_ms
